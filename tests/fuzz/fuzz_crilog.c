/* A log file as a client sees it: the first byte says in which pieces it comes and which filters there are; the tail is searched for in the
 * same pieces, from the back. */
#include <stdlib.h>

#include "os/crilog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = (size_t)(data[0] & 0x1f) + 1, n = size - 1;
    const char *text = (const char *)data + 1;
    CriLog l = {.since_ns = data[0] & 0x20 ? 1767366245000000000 : NS_NONE, .limit = data[0] & 0x40 ? 100 : -1, .timestamps = data[0] & 0x80};
    SCOPED(str_done) Str out = {0};
    bool more = true;
    for (size_t at = 0; at < n && more; at += piece)
        more = crilog_feed(&l, text + at, n - at < piece ? n - at : piece, &out);
    if (data[0] & 0x40 && out.n > 100)
        abort();
    if (!(data[0] & 0x80) && out.n > n) /* without stamps nothing is added */
        abort();
    int64_t left = data[0] & 7;
    for (size_t at = n; at > 0 && left > 0;) {
        size_t k = at < piece ? at : piece;
        size_t before = crilog_tail_back(text + at - k, k, at == n, &left);
        if (before > k || left < 0)
            abort();
        at -= k;
    }
    return 0;
}
