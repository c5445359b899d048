#include "wire/shimwire.h"

#include <arpa/inet.h>

Err *shim_frame_put(Str *out, const json_t *message)
{
    SCOPED(mem_free) char *text = json_dumps(message, JSON_COMPACT);
    if (!text)
        return err_new(ERR_BUG, 0, "encode a shim message");
    size_t n = strlen(text);
    if (n > SHIM_WIRE_MAX)
        return err_new(ERR_LIMIT, 0, "shim message of %zu bytes: at most %zu", n, SHIM_WIRE_MAX);
    uint32_t head = htonl((uint32_t)n);
    str_add_n(out, &head, sizeof head);
    str_add_n(out, text, n);
    return NULL;
}

Err *shim_frame_get(const char *p, size_t n, json_t **ret, size_t *ret_used)
{
    uint32_t head;
    *ret = NULL;
    *ret_used = 0;
    if (n < sizeof head)
        return NULL;
    memcpy(&head, p, sizeof head);
    size_t len = ntohl(head);
    if (len > SHIM_WIRE_MAX)
        return err_new(ERR_LIMIT, 0, "shim message of %zu bytes: at most %zu", len, SHIM_WIRE_MAX);
    if (n - sizeof head < len)
        return NULL;
    json_t *j = NULL;
    Err *e = json_parse(p + sizeof head, len, &j);
    if (!e && !json_is_object(j)) {
        json_decref(j);
        e = err_new(ERR_INVALID, 0, "not an object");
    }
    if (e)
        return err_wrap(e, "shim message");
    *ret = j;
    *ret_used = sizeof head + len;
    return NULL;
}

json_t *shim_error_json(const Err *e)
{
    /* err_text() adds strerror(); the errno travels beside it, so the text goes without. */
    Err plain = *e;
    SCOPED(str_done) Str s = {0};
    for (const Err *c = &plain; c; c = c->cause)
        str_fmt(&s, "%s%s", s.n ? ": " : "", c->what);
    json_t *j = json_object();
    (void)json_object_set_new(j, "kind", json_integer(e->kind));
    (void)json_object_set_new(j, "errno", json_integer(e->sys));
    (void)json_object_set_new(j, "text", shim_text(s.p, s.n));
    (void)json_object_set_new(j, "reason", json_string(e->reason));
    return j;
}

Err *shim_error_read(const json_t *j)
{
    int64_t kind = json_i64(j, "kind", 0), sys = json_i64(j, "errno", 0);
    const char *text = json_str(j, "text"), *reason = json_str(j, "reason");
    if (kind < ERR_INVALID || kind > ERR_BUG || !text)
        return err_new(ERR_INVALID, 0, "shim reply without a proper error");
    Err *e = err_new((ErrKind)kind, sys > 0 && sys < 4096 ? (int)sys : 0, "%s", text);
    return str_empty(reason) ? e : err_reason(e, reason);
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629: no surrogates, nothing overlong or over U+10FFFF), 0 if none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] >= 0x01 && p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : p[0] >= 0xE0 && p[0] <= 0xEF ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
    if (len == 0 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
               (p[0] == 0xF4 && p[1] > 0x8F);
    return bad ? 0 : len;
}

json_t *shim_text(const char *bytes, size_t n)
{
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < n;) {
        size_t len = utf8_len((const unsigned char *)bytes + i, n - i);
        if (len)
            str_add_n(&s, bytes + i, len);
        else
            str_add(&s, "\xEF\xBF\xBD");
        i += len ? len : 1;
    }
    return json_stringn(s.p ? s.p : "", s.n);
}

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *shim_base64(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    Str s = {0};
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? (uint32_t)p[i + 2] : 0);
        char out[4] = {digits64[v >> 18], digits64[v >> 12 & 63], i + 1 < n ? digits64[v >> 6 & 63] : '=',
                       i + 2 < n ? digits64[v & 63] : '='};
        str_add_n(&s, out, 4);
    }
    return str_take(&s);
}

bool shim_base64_read(const char *text, Str *ret)
{
    size_t n = strlen(text);
    if (n % 4)
        return false;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t v = 0;
        size_t pad = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *d = text[i + k] == '=' ? NULL : strchr(digits64, text[i + k]);
            if ((!d && (i + 4 != n || k < 2 || text[i + k] != '=')) || (d && pad))
                return false;
            pad += !d;
            v = v << 6 | (d ? (uint32_t)(d - digits64) : 0);
        }
        char out[3] = {(char)(v >> 16 & 255), (char)(v >> 8 & 255), (char)(v & 255)};
        str_add_n(ret, out, 3 - pad);
    }
    return true;
}

void shim_merge(json_t *into, json_t *members)
{
    const char *key;
    json_t *value;
    json_object_foreach(members, key, value) {
        if (json_is_null(value))
            (void)json_object_del(into, key);
        else
            (void)json_object_set(into, key, value);
    }
}
