#include <ctype.h>

#include "grpc/h2_priv.h"

void h2_frame_add(Str *to, const void *bytes, size_t n)
{
    const uint8_t head[H2_FRAME_HEAD] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    str_add_n(to, head, sizeof head);
    str_add_n(to, bytes, n);
}

static size_t length_at(const H2Frames *f, size_t at)
{
    const uint8_t *p = (const uint8_t *)f->in.p + at;
    return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

H2FramesState h2_frames_add(H2Frames *f, const uint8_t *bytes, size_t n, size_t max, bool only_one)
{
    str_add_n(&f->in, bytes, n);
    while (f->in.n > f->next) {
        if (only_one && f->heads)
            return H2_FRAMES_SECOND;
        if (f->in.n - f->next < H2_FRAME_HEAD)
            break;
        size_t length = length_at(f, f->next);
        if (f->in.p[f->next])
            return H2_FRAMES_COMPRESSED;
        if (length > max) {
            f->big = length;
            return H2_FRAMES_TOO_BIG;
        }
        f->heads++;
        f->next += H2_FRAME_HEAD + length;
    }
    return H2_FRAMES_FINE;
}

bool h2_frames_get(const H2Frames *f, size_t at, const uint8_t **ret, size_t *ret_n)
{
    if (f->in.n - at < H2_FRAME_HEAD || f->in.n - at - H2_FRAME_HEAD < length_at(f, at))
        return false;
    *ret = (const uint8_t *)f->in.p + at + H2_FRAME_HEAD;
    *ret_n = length_at(f, at);
    return true;
}

void h2_frames_drop(H2Frames *f, size_t n)
{
    if (!n)
        return;
    memmove(f->in.p, f->in.p + n, f->in.n - n + 1);
    f->in.n -= n;
    f->next -= n;
}

nghttp2_nv h2_header(const char *name, const char *value)
{
    /* nghttp2's members are only not const. */
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

bool h2_name_is(const uint8_t *name, size_t n, const char *want)
{
    return n == strlen(want) && !memcmp(name, want, n);
}

bool h2_is_grpc_type(const uint8_t *v, size_t n)
{
    static const char type[] = "application/grpc";
    size_t len = sizeof type - 1;
    return n >= len && !memcmp(v, type, len) && (n == len || v[len] == '+' || v[len] == ';');
}

int h2_number(const uint8_t *v, size_t n, int max, int otherwise)
{
    int x = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit(v[i]) || i > 8)
            return otherwise;
        x = x * 10 + (v[i] - '0');
    }
    return n && x <= max ? x : otherwise;
}

void h2_begin(nghttp2_session *session, uint32_t max_streams)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_LIST},
        /* A server says how many streams, a client that it wants no push. */
        {max_streams ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH, max_streams},
    };
    (void)nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    (void)nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW);
}

int h2_send(nghttp2_session *session, Str *out)
{
    size_t before = out->n;
    while (out->n - before < H2_SEND_CHUNK) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(session, &bytes);
        if (n <= 0)
            return (int)n;
        str_add_n(out, bytes, (size_t)n);
    }
    return 0;
}
