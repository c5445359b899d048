/* db.c - SQLite as the journal of what is in memory: one exclusive connection, WAL, and only writes after the start.
 *
 * locking_mode=EXCLUSIVE: one agent owns the file, and the WAL's index needs no shared memory. synchronous is NORMAL, where a commit
 * is a write() and only a loss of power takes it back, in order and whole; it is FULL for a transaction that must be durable, whose
 * fsync takes everything before it along.
 *
 * What fails: a full disk leaves the connection usable, and every write tries again. Anything else closes it; it is
 * opened anew before the next write (once a retry_ns), compared with memory and, where it differs (after an fsync that failed, nobody
 * knows what is on the disk), written anew from memory. */
#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

#include "os/fault.h"
#include "os/fs.h"
#include "store/db_priv.h"

static const char *const statements[ST_N] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_PUT] = ("INSERT INTO objects(id, resource, namespace, name, uid, kind, rv, rv_at, crc, expires, json)"
               " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(id) DO UPDATE SET uid=excluded.uid,"
               " kind=excluded.kind, rv=excluded.rv, rv_at=excluded.rv_at, crc=excluded.crc, expires=excluded.expires,"
               " json=excluded.json"),
    [ST_DELETE] = "DELETE FROM objects WHERE id=?1",
    [ST_RESERVED] = "INSERT OR REPLACE INTO meta VALUES('reserved', ?1)",
    [ST_RESTART] = "INSERT OR REPLACE INTO restarts VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [ST_RESTART_TRIM] = ("DELETE FROM restarts WHERE uid=?1 AND attempt NOT IN"
                        " (SELECT attempt FROM restarts WHERE uid=?1 ORDER BY attempt DESC LIMIT ?2)"),
    [ST_FORGET] = "DELETE FROM restarts WHERE uid=?1",
    [ST_RESTARTS] = "SELECT attempt, container, code, rule, begun, done FROM restarts WHERE uid=?1 ORDER BY attempt",
};

bool objdb_is_corrupt(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static int errno_of(sqlite3 *h, int rc)
{
    int sys = objvfs_errno ? objvfs_errno : h ? sqlite3_system_errno(h) : 0;
    objvfs_errno = 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return sys;
    default:
        return 0;
    }
}

Err *objdb_error(sqlite3 *h, int rc, const char *path, const char *doing)
{
    if ((rc & 0xff) == SQLITE_BUSY)
        return err_new(ERR_EXISTS, 0, "the store %s is in use by another process", path);
    int sys = errno_of(h, rc);
    if (sys)
        return err_new(ERR_UNAVAILABLE, sys, "%s the store %s", doing, path);
    return err_new(ERR_UNAVAILABLE, 0, "%s the store %s: %s", doing, path, h ? sqlite3_errmsg(h) : sqlite3_errstr(rc));
}

void objdb_free(ObjDb *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < ST_N; i++)
        (void)sqlite3_finalize(d->st[i]);
    (void)sqlite3_close(d->h); /* brings the journal into the database where that can be done */
    free(d);
}

static int quick_check(sqlite3 *h, Err **ret, const char *path)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, "PRAGMA quick_check(1)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        const char *said = (const char *)sqlite3_column_text(st, 0);
        rc = SQLITE_OK;
        if (!str_eq(said, "ok")) {
            rc = SQLITE_CORRUPT;
            *ret = err_new(ERR_INVALID, 0, "the store %s is damaged: %.*s", path, (int)strcspn(str_or(said, "?"), "\n"), str_or(said, "?"));
        }
    }
    (void)sqlite3_finalize(st);
    return rc;
}

static int configure(sqlite3 *h, int wait_ms)
{
    int on = 1;
    (void)sqlite3_extended_result_codes(h, 1);
    (void)sqlite3_busy_timeout(h, wait_ms);
    /* An empty journal is left behind at close: what opens WAL on a read-only disk cannot make one. */
    (void)sqlite3_file_control(h, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    /* Nothing is read after the start, so the cache is small. The journal may grow to 16 MiB before it must be moved. */
    return sqlite3_exec(h,
                        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL;"
                        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=16777216;",
                        NULL, NULL, NULL);
}

Err *objdb_open(const char *path, int wait_ms, ObjDb **ret, bool *ret_corrupt)
{
    *ret_corrupt = false;
    objvfs_errno = 0;
    /* SQLite would make it readable for all, and open it for reading where it cannot write. */
    int fd = fault_hit("open") ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_new(ERR_UNAVAILABLE, errno, "open the store %s", path);
    fd_close(fd);
    SCOPED(objdb_free) ObjDb *d = NEW(ObjDb);
    Err *e = NULL;
    int rc = sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, objvfs_name());
    if (rc == SQLITE_OK)
        rc = configure(d->h, wait_ms);
    if (rc == SQLITE_OK)
        rc = quick_check(d->h, &e, path);
    if (rc == SQLITE_OK)
        e = objdb_migrate(d->h, path, &rc);
    for (size_t i = 0; rc == SQLITE_OK && !e && i < ST_N; i++)
        rc = sqlite3_prepare_v3(d->h, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &d->st[i], NULL);
    *ret_corrupt = objdb_is_corrupt(rc);
    if (rc != SQLITE_OK && !e)
        e = objdb_error(d->h, rc, path, "open");
    if (e)
        return e;
    d->full = true;
    *ret = MOVE(d, NULL);
    return NULL;
}

/* ---- statements ---- */

int objdb_run(ObjDb *d, ObjStatement st)
{
    int rc = sqlite3_step(d->st[st]);
    (void)sqlite3_reset(d->st[st]);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void bind(ObjDb *d, ObjStatement st, int at, const char *text)
{
    (void)sqlite3_bind_text(d->st[st], at, text, -1, SQLITE_STATIC);
}

int64_t objdb_crc(const char *resource, const char *key, const char *text, size_t n)
{
    uLong c = crc32_z(0, (const Bytef *)resource, strlen(resource) + 1);
    c = crc32_z(c, (const Bytef *)key, strlen(key) + 1);
    return (int64_t)crc32_z(c, (const Bytef *)text, n);
}

static void bind_moment(ObjDb *d, ObjStatement st, int at, int64_t ns)
{
    if (ns == NS_NONE)
        (void)sqlite3_bind_null(d->st[st], at);
    else
        (void)sqlite3_bind_int64(d->st[st], at, ns);
}

int objdb_put(ObjDb *d, const ObjItem *i)
{
    sqlite3_stmt *st = d->st[ST_PUT];
    (void)sqlite3_bind_int64(st, 1, i->id);
    bind(d, ST_PUT, 2, i->resource);
    bind(d, ST_PUT, 3, i->namespace_);
    bind(d, ST_PUT, 4, i->name);
    bind(d, ST_PUT, 5, i->uid);
    bind(d, ST_PUT, 6, i->kind);
    (void)sqlite3_bind_int64(st, 7, i->rv);
    (void)sqlite3_bind_int64(st, 8, (sqlite3_int64)i->rv_at);
    (void)sqlite3_bind_int64(st, 9, objdb_crc(i->resource, i->key, i->text, i->n));
    bind_moment(d, ST_PUT, 10, i->expires_ns);
    (void)sqlite3_bind_text64(st, 11, i->text, i->n, SQLITE_STATIC, SQLITE_UTF8);
    int rc = objdb_run(d, ST_PUT);
    (void)sqlite3_clear_bindings(st); /* nothing of ours is pointed at longer than the call */
    return rc;
}

static int put_restart(ObjDb *d, const ObjOp *op)
{
    sqlite3_stmt *st = d->st[ST_RESTART];
    bind(d, ST_RESTART, 1, op->uid);
    (void)sqlite3_bind_int64(st, 2, op->restart.attempt);
    bind(d, ST_RESTART, 3, op->restart.container);
    bind_moment(d, ST_RESTART, 4, op->restart.code); /* OBJ_CODE_UNKNOWN is NS_NONE */
    bind(d, ST_RESTART, 5, op->restart.rule);
    (void)sqlite3_bind_int64(st, 6, op->restart.begun_ns);
    bind_moment(d, ST_RESTART, 7, op->restart.done_ns);
    int rc = objdb_run(d, ST_RESTART);
    (void)sqlite3_clear_bindings(st);
    if (rc != SQLITE_OK)
        return rc;
    bind(d, ST_RESTART_TRIM, 1, op->uid);
    (void)sqlite3_bind_int64(d->st[ST_RESTART_TRIM], 2, OBJSTORE_RESTARTS);
    rc = objdb_run(d, ST_RESTART_TRIM);
    (void)sqlite3_clear_bindings(d->st[ST_RESTART_TRIM]);
    return rc;
}

int objdb_put_reserved(ObjDb *d, int64_t reserved)
{
    (void)sqlite3_bind_int64(d->st[ST_RESERVED], 1, reserved);
    return objdb_run(d, ST_RESERVED);
}

int objdb_sync(ObjDb *d, bool full)
{
    if (d->full == full)
        return SQLITE_OK;
    int rc = sqlite3_exec(d->h, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        d->full = full;
    return rc;
}

/* ---- writing ---- */

Err *objdb_unwritable(ObjStore *s, int sys, const char *why)
{
    SCOPED(mem_free) char *copy = mem_dup_str(why); /* it may be a part of s->error */
    Err *e = sys || !copy ? err_new(ERR_UNAVAILABLE, sys, "the store %s cannot be written", s->path)
                          : err_new(ERR_UNAVAILABLE, 0, "the store %s cannot be written: %s", s->path, copy);
    (void)err_reason(e, "ServiceUnavailable");
    s->failed++;
    if (!s->unwritable)
        s->since_ns = os_now_ns();
    s->unwritable = true;
    s->error_sys = sys;
    mem_set_str(&s->why, copy);
    free(s->error);
    s->error = err_text(e);
    return e;
}

static int write_op(ObjStore *s, const ObjOp *op)
{
    ObjDb *d = s->db;
    const ObjItem *now;
    switch (op->kind) {
    case OP_PUT:
        now = objres_item(op->r, op->item->key);
        /* Written once: what a later operation of this batch put or deleted is its affair. */
        return now == op->item ? objdb_put(d, now) : SQLITE_OK;
    case OP_DELETE:
        (void)sqlite3_bind_int64(d->st[ST_DELETE], 1, op->item->id);
        return objdb_run(d, ST_DELETE);
    case OP_RESTART:
        return put_restart(d, op);
    case OP_FORGET:
        bind(d, ST_FORGET, 1, op->uid);
        return objdb_run(d, ST_FORGET);
    }
    return SQLITE_INTERNAL;
}

/* The transaction failed with <rc>: whatever it was, it is rolled back, and a broken connection is let go. */
static Err *failed(ObjStore *s, int rc)
{
    ObjDb *d = s->db;
    int sys = errno_of(d->h, rc);
    SCOPED(mem_free) char *why = mem_dup_str(sqlite3_errmsg(d->h));
    if (!sqlite3_get_autocommit(d->h))
        (void)sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
    if ((rc & 0xff) != SQLITE_FULL || !sqlite3_get_autocommit(d->h)) {
        objdb_free(d);
        s->db = NULL;
    }
    return objdb_unwritable(s, sys, why);
}

Err *objdb_commit(ObjStore *s)
{
    ObjDb *d = s->db;
    if (!d)
        return objdb_unwritable(s, s->error_sys, s->why);
    objvfs_errno = 0;
    int rc = objdb_sync(d, s->durable);
    if (rc == SQLITE_OK)
        rc = objdb_run(d, ST_BEGIN);
    for (size_t i = 0; rc == SQLITE_OK && i < s->n_ops; i++)
        rc = write_op(s, &s->op[i]);
    if (rc == SQLITE_OK && s->reserved_dirty)
        rc = objdb_put_reserved(d, s->reserved);
    if (rc == SQLITE_OK)
        rc = objdb_run(d, ST_COMMIT);
    if (rc != SQLITE_OK)
        return failed(s, rc);
    s->reserved_dirty = false;
    if (s->unwritable) {
        s->unwritable = false;
        s->since_ns = os_now_ns();
        mem_set_str(&s->error, NULL);
    }
    return NULL;
}

int objdb_rewrite(ObjStore *s, ObjDb *d)
{
    int rc = objdb_sync(d, true);
    if (rc == SQLITE_OK)
        rc = objdb_run(d, ST_BEGIN);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(d->h, "DELETE FROM objects", NULL, NULL, NULL);
    for (size_t k = 0; k < s->n_resources; k++)
        for (size_t i = 0; rc == SQLITE_OK && i < s->resource[k]->n; i++)
            rc = objdb_put(d, s->resource[k]->v[i]);
    if (rc == SQLITE_OK)
        rc = objdb_put_reserved(d, s->reserved);
    if (rc == SQLITE_OK)
        rc = objdb_run(d, ST_COMMIT);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(d->h))
        (void)sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* A database that was opened anew: it must have what memory has. */
static Err *reconcile(ObjStore *s, ObjDb *d)
{
    bool same = false;
    int rc = objdb_compare(s, d->h, &same);
    if (rc == SQLITE_OK && !same) {
        rc = objdb_rewrite(s, d);
        if (rc == SQLITE_OK && !s->note)
            s->note = mem_dup_str("the database was not what had been written, and was written anew from memory");
    }
    return rc == SQLITE_OK ? NULL : objdb_error(d->h, rc, s->path, "write");
}

static Err *reopen(ObjStore *s)
{
    SCOPED(objdb_free) ObjDb *d = NULL;
    SCOPED(mem_free) char *aside = NULL;
    bool corrupt;
    Err *e = objdb_open(s->path, 0, &d, &corrupt);
    if (e && corrupt) {
        SCOPED(err_free) Err *why = e;
        e = objdb_move_aside(s, &aside);
        if (!e)
            e = objdb_open(s->path, 0, &d, &corrupt);
        if (!e) {
            SCOPED(mem_free) char *text = err_text(why);
            free(s->note);
            s->note = mem_fmt("%s; it was moved to %s and written anew from memory", text, aside);
        }
    }
    if (!e)
        e = reconcile(s, d);
    if (e)
        return e;
    s->db = MOVE(d, NULL);
    s->recovered++;
    return NULL;
}

Err *objdb_ready(ObjStore *s)
{
    if (s->db)
        return NULL;
    int64_t now = os_monotonic_ns();
    if (now < s->reopen_ns)
        return objdb_unwritable(s, s->error_sys, s->why);
    s->reopen_ns = now + s->o.retry_ns;
    SCOPED(err_free) Err *e = reopen(s);
    return e ? objdb_unwritable(s, err_errno(e), e->what) : NULL;
}

Err *objdb_checkpoint(ObjStore *s)
{
    Err *e = objdb_ready(s);
    if (e)
        return e;
    objvfs_errno = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db->h, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_OK)
        return NULL;
    return failed(s, rc);
}

bool objdb_close(ObjStore *s)
{
    if (!s->db)
        return false;
    objvfs_errno = 0;
    int rc = objdb_sync(s->db, true);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(s->db->h, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    objdb_free(MOVE(s->db, NULL));
    return rc == SQLITE_OK;
}

/* ---- restarts ---- */

Err *objdb_restarts(ObjStore *s, const char *uid, ObjRestarts *out)
{
    SCOPED(err_free) Err *e = objdb_ready(s);
    if (e)
        return err_new(ERR_UNAVAILABLE, s->error_sys, "read the restarts of Pod %s", uid);
    sqlite3_stmt *st = s->db->st[ST_RESTARTS];
    bind(s->db, ST_RESTARTS, 1, uid);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        out->v = mem_grow(out->v, out->n + 1, sizeof *out->v);
        out->v[out->n++] = (ObjRestart){
            .attempt = sqlite3_column_int64(st, 0),
            .container = mem_dup_str((const char *)sqlite3_column_text(st, 1)),
            .code = sqlite3_column_type(st, 2) == SQLITE_NULL ? OBJ_CODE_UNKNOWN : sqlite3_column_int64(st, 2),
            .rule = mem_dup_str((const char *)sqlite3_column_text(st, 3)),
            .begun_ns = sqlite3_column_int64(st, 4),
            .done_ns = sqlite3_column_type(st, 5) == SQLITE_NULL ? NS_NONE : sqlite3_column_int64(st, 5),
        };
    }
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    if (rc == SQLITE_DONE)
        return NULL;
    objrestarts_done(out);
    return objdb_error(s->db->h, rc, s->path, "read");
}
