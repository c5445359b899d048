/* store.c - open, close and state of the store; what it does stands in the files beside: index.c and list.c read memory, write.c
 * changes it, db.c keeps it, watch.c tells of it. */
#include "store/store.h"

#include "os/fs.h"
#include "store/store_priv.h"

#define HISTORY_EVENTS 1000
#define HISTORY_BYTES ((size_t)2 << 20)

static void store_free(ObjStore *s)
{
    for (size_t i = 0; i < s->n_resources; i++)
        objres_free(s->resource[i]);
    free(s->resource);
    free(s->op);
    str_done(&s->scratch);
    free(s->path);
    free(s->rv_path);
    free(s->error);
    free(s->why);
    free(s->note);
    free(s);
}

static Err *make_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return NULL;
    SCOPED(mem_free) char *dir = mem_dup_strn(path, (size_t)(slash - path));
    return fs_mkdirs(dir, 0700);
}

Err *objstore_open(const char *path, const ObjStoreOptions *options, ObjStore **ret, char **ret_note)
{
    *ret_note = NULL;
    Err *e = make_directory(path);
    if (e)
        return e;
    ObjStore *s = NEW(ObjStore);
    *s = (ObjStore){.path = mem_dup_str(path), .rv_path = mem_fmt("%s.rv", path), .next_id = 1, .next_expiry_ns = NS_NONE,
                    .since_ns = os_now_ns(), .anew = !fs_exists(path)};
    if (options)
        s->o = *options;
    s->o.history_events = s->o.history_events ? s->o.history_events : HISTORY_EVENTS;
    s->o.history_bytes = s->o.history_bytes ? s->o.history_bytes : HISTORY_BYTES;
    s->o.retry_ns = s->o.retry_ns ? s->o.retry_ns : NS_PER_S;
    e = objdb_start(s, ret_note);
    if (!e) {
        *ret = s;
        return NULL;
    }
    (void)objdb_close(s);
    store_free(s);
    free(*ret_note);
    *ret_note = NULL;
    return e;
}

void objstore_close(ObjStore *s)
{
    if (!s)
        return;
    objstore_abort(s);
    int64_t given = s->next_rv - 1;
    /* All is on the disk: the next open goes on right here, and watches from here miss nothing. */
    if (objdb_close(s) && given < s->reserved) {
        SCOPED(err_free) Err *e = objrv_write(s, given); /* else the next open only skips some numbers */
    }
    store_free(s);
}

void objstore_state(const ObjStore *s, ObjStoreState *out)
{
    *out = (ObjStoreState){.writable = !s->unwritable, .since_ns = s->since_ns, .failed = s->failed, .recovered = s->recovered, .anew = s->anew,
                           .error = s->unwritable ? str_or(s->error, "") : "", .note = str_or(s->note, ""), .rv = s->rv,
                           .objects = s->n_objects, .object_bytes = s->object_bytes, .history_events = s->history_events,
                           .history_bytes = s->history_bytes, .watches = s->n_watches};
}

int64_t objstore_rv(const ObjStore *s)
{
    return s->rv;
}

Err *objstore_checkpoint(ObjStore *s)
{
    return objdb_checkpoint(s);
}
