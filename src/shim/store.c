#include "shim/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

#include "os/fault.h"
#include "os/fs.h"
#include "wire/shimwire.h"

#define JOURNAL_MAX ((size_t)64u << 20)
#define RESERVE_BYTES (64 * 1024)
#define COMPACT_BYTES (256 * 1024) /* the journal is written anew when it has grown by this much and doubled */

static const char *const kinds[] = {"sandboxes", "containers", "trash"};

static json_t *doc_new(void)
{
    json_t *doc = json_object();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        (void)json_object_set_new(doc, kinds[i], json_object());
    return doc;
}

static bool apply(json_t *doc, const json_t *line)
{
    const json_t *set = json_object_get(line, "set"), *del = json_object_get(line, "del");
    const json_t *where = set ? set : del;
    json_t *kind = json_object_get(doc, str_or(json_string_value(json_array_get(where, 0)), ""));
    const char *id = json_string_value(json_array_get(where, 1));
    json_t *v = json_object_get(line, "v");
    if (!kind || str_empty(id))
        return false;
    if (!set) {
        (void)json_object_del(kind, id);
        return true;
    }
    if (!json_is_object(v))
        return false;
    json_t *object = json_object_get(kind, id);
    if (!object) {
        object = json_object();
        (void)json_object_set_new(kind, id, object);
    }
    shim_merge(object, v);
    return true;
}

static bool replay_line(json_t *doc, const char *p, size_t n)
{
    char head[9], *end;
    if (n < 10 || p[8] != ' ')
        return false;
    memcpy(head, p, 8);
    head[8] = '\0';
    unsigned long crc = strtoul(head, &end, 16);
    if (end != head + 8 || crc != crc32(0, (const Bytef *)p + 9, (uInt)(n - 9)))
        return false;
    SCOPED(json_unref) json_t *line = NULL;
    Err *e = json_parse(p + 9, n - 9, &line);
    err_free(e);
    return !e && apply(doc, line);
}

json_t *store_replay(const char *text, size_t n, size_t *ret_bad)
{
    json_t *doc = doc_new();
    *ret_bad = 0;
    for (size_t i = 0; i < n;) {
        const char *nl = memchr(text + i, '\n', n - i);
        size_t len = nl ? (size_t)(nl - (text + i)) : n - i;
        if (!nl || (len > 0 && !replay_line(doc, text + i, len))) /* without its end a line is torn, even if the CRC fits */
            (*ret_bad)++;
        i += len + 1;
    }
    return doc;
}

static void line_put(Str *out, const json_t *line)
{
    SCOPED(mem_free) char *text = json_dumps(line, JSON_COMPACT);
    str_fmt(out, "%08lx %s\n", crc32(0, (const Bytef *)text, (uInt)strlen(text)), text);
}

static json_t *line_set(const char *kind, const char *id, json_t *v)
{
    return json_pack("{s:[s,s],s:o}", "set", kind, id, "v", v);
}

static Err *journal_reopen(Store *s)
{
    fd_close(MOVE(s->fd, -EBADF));
    s->fd = fault_hit("open") ? -1 : open(s->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (s->fd < 0)
        return err_new(ERR_SYS, errno, "open %s", s->path);
    (void)fallocate(s->fd, FALLOC_FL_KEEP_SIZE, s->size, RESERVE_BYTES);
    return NULL;
}

static Err *compact(Store *s)
{
    SCOPED(str_done) Str out = {0};
    str_add(&out, "");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *id;
        json_t *v;
        json_object_foreach(json_object_get(s->doc, kinds[i]), id, v) {
            SCOPED(json_unref) json_t *line = line_set(kinds[i], id, json_incref(v));
            line_put(&out, line);
        }
    }
    Err *e = fs_write_atomic(s->path, out.p ? out.p : "", out.n, 0600, true);
    if (e)
        return e;
    s->size = s->compacted = (int64_t)out.n;
    str_clear(&s->pending); /* it is in the document */
    return journal_reopen(s);
}

Err *store_open(Store *s, const char *path, size_t *ret_bad)
{
    SCOPED(str_done) Str text = {0};
    *s = (Store){.path = mem_dup_str(path), .fd = -EBADF};
    *ret_bad = 0;
    Err *e = fs_read(path, JOURNAL_MAX, &text);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        e = NULL;
    }
    if (!e) {
        s->doc = store_replay(text.p ? text.p : "", text.n, ret_bad);
        e = compact(s);
    }
    if (e)
        store_done(s);
    return e ? err_wrap(e, "open journal %s", path) : NULL;
}

void store_done(Store *s)
{
    if (s->fd >= 0 && s->doc)
        err_free(store_flush(s));
    fd_close(s->fd);
    mem_free(s->path);
    json_decref(s->doc);
    str_done(&s->pending);
    *s = (Store){.fd = -EBADF};
}

/* All of pending, or nothing: what a failed write left half-done is cut off again. */
static Err *flush(Store *s, bool durable)
{
    size_t done = 0;
    while (done < s->pending.n) {
        ssize_t n = fault_hit("write") ? -1 : write(s->fd, s->pending.p + done, s->pending.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            Err *e = err_new(ERR_SYS, errno, "write journal %s", s->path);
            if (done && ftruncate(s->fd, s->size) < 0) { /* the half line stays: end it before the next try */
                SCOPED(mem_free) char *lines = str_take(&s->pending);
                str_fmt(&s->pending, "\n%s", lines);
            }
            return e;
        }
        done += (size_t)n;
    }
    s->size += (int64_t)done;
    str_clear(&s->pending);
    if (durable && (fault_hit("fsync") || fdatasync(s->fd) < 0))
        return err_new(ERR_SYS, errno, "fsync journal %s", s->path);
    return NULL;
}

static Err *append(Store *s, json_t *line, StoreWhen when)
{
    line_put(&s->pending, line);
    json_decref(line);
    if (when == STORE_LATER)
        return NULL;
    Err *e = flush(s, when == STORE_SYNC);
    if (!e && s->size - s->compacted > COMPACT_BYTES && s->size > 2 * s->compacted)
        return compact(s);
    if (!e && s->size / RESERVE_BYTES != (s->size - 4096) / RESERVE_BYTES)
        (void)fallocate(s->fd, FALLOC_FL_KEEP_SIZE, s->size, RESERVE_BYTES);
    return e;
}

Err *store_set(Store *s, const char *kind, const char *id, json_t *v, StoreWhen when)
{
    json_t *line = line_set(kind, id, v);
    if (!apply(s->doc, line)) {
        json_decref(line);
        return err_new(ERR_BUG, 0, "journal: bad change of %s/%s", kind, id);
    }
    return append(s, line, when);
}

Err *store_del(Store *s, const char *kind, const char *id)
{
    (void)json_object_del(store_kind(s, kind), id);
    return append(s, json_pack("{s:[s,s]}", "del", kind, id), STORE_LATER);
}

Err *store_flush(Store *s)
{
    return s->pending.n ? flush(s, false) : NULL;
}

json_t *store_kind(const Store *s, const char *kind)
{
    return json_object_get(s->doc, kind);
}

json_t *store_get(const Store *s, const char *kind, const char *id)
{
    return json_object_get(store_kind(s, kind), id);
}
