/* The shim's two inputs that it did not write itself just now: a client's bytes, and a journal that a dying process left. The
 * first byte says which. */
#include <stdlib.h>

#include "os/fs.h"
#include "os/podlog.h"
#include "shim/store.h"
#include "wire/shimwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frames(const char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        SCOPED(json_unref) json_t *m = NULL;
        size_t used;
        SCOPED(err_free) Err *e = shim_frame_get(p + at, n - at, &m, &used);
        if (e || !m)
            return;
        SCOPED(str_done) Str again = {0};
        err_free(shim_frame_put(&again, m)); /* what was read can be written */
        err_free(shim_error_read(json_object_get(m, "error")));
        at += used;
    }
}

static void journal(const char *p, size_t n)
{
    size_t bad;
    SCOPED(json_unref) json_t *doc = store_replay(p, n, &bad);
    if (json_object_size(doc) != 3) /* the three kinds, whatever the journal says */
        abort();
}

static void logs(const char *p, size_t n)
{
    SCOPED(mem_free) char *tail = podlog_tail_text(p, n, PODLOG_TAIL_LINES, PODLOG_TAIL_BYTES);
    SCOPED(json_unref) json_t *text = shim_text(p, n);
    SCOPED(str_done) Str partial = {0}, out = {0}, bytes = {0};
    podlog_split(&partial, PODLOG_STDOUT, p, n, 0, &out);
    SCOPED(mem_free) char *b = shim_base64(p, n);
    if (!text || strlen(tail) > PODLOG_TAIL_BYTES || partial.n > PODLOG_CHUNK || !shim_base64_read(b, &bytes) || bytes.n != n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    SCOPED(mem_free) char *p = mem_dup_strn("", 0);
    p = mem_grow(p, size, 1);
    memcpy(p, data + 1, size - 1);
    if (data[0] == 'f')
        frames(p, size - 1);
    else if (data[0] == 'j')
        journal(p, size - 1);
    else
        logs(p, size - 1);
    return 0;
}
