/* rv.c - resource versions that are never given twice: a bound on the disk first, then the numbers up to it.
 *
 * The journal's un-fsynced tail may be lost with the power, and with it every trace of the numbers that were in it; clients have seen
 * them. The file <path>.rv always names a number, on the disk by fsync and rename, that no number given so far exceeds. One such
 * write buys RANGE numbers; what is left of them at a crash is skipped. It lies beside the database and not in it, so that it
 * also outlives a corrupt one. */
#include <stdio.h>

#include "os/fs.h"
#include "store/store_priv.h"

#define RANGE 10000

void objrv_read(ObjStore *s, int64_t *ret_bound)
{
    SCOPED(str_done) Str t = {0};
    SCOPED(err_free) Err *e = fs_read(s->rv_path, 64, &t);
    int64_t bound = 0;
    *ret_bound = 0;
    if (e || !t.n || t.p[t.n - 1] != '\n')
        return;
    t.p[--t.n] = '\0';
    if (str_to_i64(t.p, &bound) && bound > 0)
        *ret_bound = bound;
}

Err *objrv_write(ObjStore *s, int64_t bound)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%lld\n", (long long)bound);
    Err *e = fs_write_atomic(s->rv_path, text, (size_t)n, 0600, true);
    if (!e) {
        s->reserved = bound;
        s->reserved_dirty = true;
    }
    return e;
}

Err *objrv_reserve(ObjStore *s)
{
    if (s->next_rv <= s->reserved)
        return NULL;
    Err *e = objrv_write(s, s->next_rv + RANGE - 1);
    if (!e)
        return NULL;
    SCOPED(err_free) Err *was = e;
    return objdb_unwritable(s, err_errno(was), was->what);
}
