/* load.c - from the file into memory: at the start, from a damaged file what can be had, and from a read-only disk by way of a copy. */
#include <stdio.h>
#include <unistd.h>

#include "os/fs.h"
#include "store/db_priv.h"

#define WAIT_MS 2000 /* the agent before this one may be on its way out */
#define COPY_MAX ((size_t)1 << 30)
/* How far numbers go on above what the tables know, when <path>.rv is lost. */
#define JUMP 1000000

/* ---- rows ---- */

static const char *text_of(sqlite3_stmt *st, int at)
{
    const char *s = (const char *)sqlite3_column_text(st, at);
    return s ? s : "";
}

/* A row of an older version: parsed, and encoded as we do. */
static bool encode_old(int64_t rv, Str *scratch, ObjItemParts *p)
{
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(err_free) Err *e = json_parse(p->text, p->n, &j);
    SCOPED(err_free) Err *bad = e ? NULL : objitem_encode(j, rv, scratch, &p->rv_at, &p->rv_n);
    if (e || bad)
        return false;
    p->text = scratch->p;
    p->n = scratch->n;
    return true;
}

/* NULL: the row is not sound. */
static ObjItem *item_of(sqlite3_stmt *st, Str *scratch)
{
    char key[KEY_MAX], digits[24];
    ObjItemParts p = {.id = sqlite3_column_int64(st, 0), .resource = text_of(st, 1), .namespace_ = text_of(st, 2),
                      .name = text_of(st, 3), .uid = text_of(st, 4), .kind = text_of(st, 5), .rv = sqlite3_column_int64(st, 6),
                      .rv_at = (size_t)sqlite3_column_int64(st, 7), .text = text_of(st, 10),
                      .n = (size_t)sqlite3_column_bytes(st, 10)};
    p.expires_ns = sqlite3_column_type(st, 9) == SQLITE_NULL ? NS_NONE : sqlite3_column_int64(st, 9);
    if (p.id <= 0 || p.rv <= 0 || !p.resource[0] || !objitem_key(p.namespace_, p.name, key))
        return NULL;
    if (sqlite3_column_type(st, 8) == SQLITE_NULL || !p.rv_at)
        return encode_old(p.rv, scratch, &p) ? objitem_new(&p) : NULL;
    if (objdb_crc(p.resource, key, p.text, p.n) != sqlite3_column_int64(st, 8))
        return NULL;
    p.rv_n = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)p.rv);
    if (p.rv_at > p.n || p.n - p.rv_at < p.rv_n || memcmp(p.text + p.rv_at, digits, p.rv_n) != 0)
        return NULL;
    return objitem_new(&p);
}

static void take(ObjStore *s, ObjItem *i)
{
    ObjResource *r = objres_get(s, i->resource);
    if (!objres_item(r, i->key)) { /* salvage comes from both ends */
        objres_put(s, r, i);
        s->rv = i->rv > s->rv ? i->rv : s->rv;
        s->next_id = i->id >= s->next_id ? i->id + 1 : s->next_id;
    }
    objitem_unref(i);
}

Err *objdb_load(ObjStore *s, sqlite3 *h, const char *path, bool salvage, bool backwards, bool *ret_corrupt)
{
    SCOPED(str_done) Str scratch = {0};
    SCOPED(mem_free) char *sql = mem_fmt("SELECT id, resource, namespace, name, uid, kind, rv, rv_at, crc, expires, json FROM objects"
                                         " ORDER BY id %s", backwards ? "DESC" : "ASC");
    sqlite3_stmt *st = NULL;
    Err *e = NULL;
    int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        ObjItem *i = item_of(st, &scratch);
        if (i) {
            take(s, i);
        } else if (!salvage) {
            e = err_new(ERR_INVALID, 0, "the store %s is damaged: row %lld (%s %s) is not what was written", path,
                        (long long)sqlite3_column_int64(st, 0), text_of(st, 1), text_of(st, 3));
            rc = SQLITE_CORRUPT;
            break;
        }
    }
    *ret_corrupt = objdb_is_corrupt(rc);
    if (rc != SQLITE_DONE && !e)
        e = objdb_error(h, rc, path, "read");
    (void)sqlite3_finalize(st);
    return e;
}

int objdb_compare(ObjStore *s, sqlite3 *h, bool *ret_same)
{
    sqlite3_stmt *st = NULL;
    size_t n = 0;
    bool same = true;
    int rc = sqlite3_prepare_v2(h, "SELECT resource, namespace, name, id, rv FROM objects", -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        const ObjItem *i = objstore_get(s, text_of(st, 0), text_of(st, 1), text_of(st, 2));
        same = same && i && i->id == sqlite3_column_int64(st, 3) && i->rv == sqlite3_column_int64(st, 4);
        n++;
    }
    (void)sqlite3_finalize(st);
    *ret_same = same && n == s->n_objects;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- a damaged file ---- */

Err *objdb_move_aside(const ObjStore *s, char **ret)
{
    char when[CLOCK_TEXT_MAX];
    SCOPED(mem_free) char *to = NULL;
    int64_t now = os_now_ns();
    do {
        free(to);
        to = mem_fmt("%s.corrupt-%s", s->path, clock_format(now, 0, when));
        now += NS_PER_S; /* two in one second: both are kept */
    } while (fs_exists(to));
    SCOPED(mem_free) char *wal = mem_fmt("%s-wal", s->path);
    SCOPED(mem_free) char *to_wal = mem_fmt("%s-wal", to);
    /* The journal first: a new database must not find the old one's. */
    if (rename(wal, to_wal) < 0 && errno != ENOENT)
        return err_new(ERR_UNAVAILABLE, errno, "move the journal of the damaged store to %s", to_wal);
    if (rename(s->path, to) < 0)
        return err_new(ERR_UNAVAILABLE, errno, "move the damaged store to %s", to);
    *ret = MOVE(to, NULL);
    return fs_sync_dir_of(s->path);
}

/* What can be read of it, from the front and from the back. The file stays as it is. */
static void salvage(ObjStore *s, const char *path)
{
    sqlite3 *h = NULL;
    bool corrupt;
    if (sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, objvfs_name()) == SQLITE_OK) {
        (void)sqlite3_db_config(h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_exec(h, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
        SCOPED(err_free) Err *front = objdb_load(s, h, path, true, false, &corrupt);
        SCOPED(err_free) Err *back = front ? objdb_load(s, h, path, true, true, &corrupt) : NULL;
    }
    (void)sqlite3_close(h);
}

static Err *start_anew(ObjStore *s, const Err *why, char **ret_note)
{
    bool corrupt;
    SCOPED(mem_free) char *aside = NULL;
    Err *e = objdb_move_aside(s, &aside);
    if (e)
        return e;
    s->anew = true;
    salvage(s, aside);
    e = objdb_open(s->path, WAIT_MS, &s->db, &corrupt);
    if (e)
        return e;
    int rc = objdb_rewrite(s, s->db);
    if (rc != SQLITE_OK)
        return objdb_error(s->db->h, rc, s->path, "write");
    SCOPED(mem_free) char *text = err_text(why);
    *ret_note = mem_fmt("%s; it was moved to %s, and %zu objects that could be read from it were kept", text, aside, s->n_objects);
    return NULL;
}

/* ---- a read-only disk ---- */

static Err *copy(const char *from, const char *to, bool may_miss)
{
    SCOPED(str_done) Str t = {0};
    Err *e = fs_read(from, COPY_MAX, &t);
    if (e && may_miss && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    return e ? e : fs_write_atomic(to, t.p, t.n, 0600, false);
}

/* A journal is replayed by writing: a copy in memory takes it. */
static Err *load_copy(ObjStore *s, const char *dir)
{
    SCOPED(mem_free) char *from_wal = mem_fmt("%s-wal", s->path);
    SCOPED(mem_free) char *to = mem_fmt("%s/store.db", dir);
    SCOPED(mem_free) char *to_wal = mem_fmt("%s-wal", to);
    SCOPED(objdb_free) ObjDb *d = NULL;
    bool corrupt;
    Err *e = copy(s->path, to, false);
    if (!e)
        e = copy(from_wal, to_wal, true);
    if (!e)
        e = objdb_open(to, 0, &d, &corrupt);
    return e ? e : objdb_load(s, d->h, s->path, false, false, &corrupt);
}

static Err *start_read_only(ObjStore *s, const Err *why, char **ret_note)
{
    static const char *const places[] = {"/run", "/dev/shm", "/tmp"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        SCOPED(mem_free) char *dir = mem_fmt("%s/reprise-store-XXXXXX", places[i]);
        if (!mkdtemp(dir))
            continue;
        Err *e = load_copy(s, dir);
        SCOPED(err_free) Err *left = fs_remove_tree(dir);
        if (e)
            return e;
        SCOPED(err_free) Err *state = objdb_unwritable(s, err_errno(why), why->what);
        s->failed = 0;
        *ret_note = err_text(state);
        return NULL;
    }
    return err_new(ERR_UNAVAILABLE, err_errno(why), "open the store %s", s->path);
}

/* ---- the start ---- */

static void start_numbers(ObjStore *s, char **ret_note)
{
    int64_t bound = 0, known = 0;
    objrv_read(s, &bound);
    if (s->db)
        (void)objdb_number(s->db->h, "SELECT v FROM meta WHERE k='reserved'", 0, &known);
    known = known > s->rv ? known : s->rv; /* s->rv: the largest that was loaded */
    if (!bound && known) {
        bound = known + JUMP;
        if (!*ret_note)
            *ret_note = mem_fmt("%s is missing: resource versions go on at %lld", s->rv_path, (long long)bound);
    }
    if (bound < s->rv)
        bound = s->rv;
    s->reserved = bound;
    s->open_rv = s->rv = bound ? bound : 1; /* 0 has a meaning of its own to clients */
    s->next_rv = s->rv + 1;
    for (size_t i = 0; i < s->n_resources; i++)
        s->resource[i]->compacted_rv = s->open_rv;
}

Err *objdb_start(ObjStore *s, char **ret_note)
{
    bool corrupt;
    Err *e = objdb_open(s->path, WAIT_MS, &s->db, &corrupt);
    if (e && err_errno(e) == EROFS && fs_exists(s->path)) {
        SCOPED(err_free) Err *why = e;
        e = start_read_only(s, why, ret_note);
    } else if (!e) {
        e = objdb_load(s, s->db->h, s->path, false, false, &corrupt);
        if (e && corrupt)
            objdb_free(MOVE(s->db, NULL));
    }
    if (e && corrupt) {
        SCOPED(err_free) Err *why = e;
        e = start_anew(s, why, ret_note);
    }
    if (!e)
        start_numbers(s, ret_note);
    return e;
}
