#include "grpc/status.h"

#include <ctype.h>
#include <stdio.h>

/* A name as grpc-go prints it, and the kind of error it is to us. */
static const struct {
    const char *name;
    ErrKind kind;
} codes[] = {
    [GRPC_OK] = {"OK", ERR_BUG},
    [GRPC_CANCELLED] = {"Canceled", ERR_UNAVAILABLE},
    [GRPC_UNKNOWN] = {"Unknown", ERR_SYS},
    [GRPC_INVALID_ARGUMENT] = {"InvalidArgument", ERR_INVALID},
    [GRPC_DEADLINE_EXCEEDED] = {"DeadlineExceeded", ERR_TIMEOUT},
    [GRPC_NOT_FOUND] = {"NotFound", ERR_NOT_FOUND},
    [GRPC_ALREADY_EXISTS] = {"AlreadyExists", ERR_EXISTS},
    [GRPC_PERMISSION_DENIED] = {"PermissionDenied", ERR_SYS},
    [GRPC_RESOURCE_EXHAUSTED] = {"ResourceExhausted", ERR_LIMIT},
    [GRPC_FAILED_PRECONDITION] = {"FailedPrecondition", ERR_INVALID},
    [GRPC_ABORTED] = {"Aborted", ERR_UNAVAILABLE},
    [GRPC_OUT_OF_RANGE] = {"OutOfRange", ERR_INVALID},
    [GRPC_UNIMPLEMENTED] = {"Unimplemented", ERR_UNSUPPORTED},
    [GRPC_INTERNAL] = {"Internal", ERR_SYS},
    [GRPC_UNAVAILABLE] = {"Unavailable", ERR_UNAVAILABLE},
    [GRPC_DATA_LOSS] = {"DataLoss", ERR_SYS},
    [GRPC_UNAUTHENTICATED] = {"Unauthenticated", ERR_SYS},
};

const char *grpc_code_name(int code, char *buf)
{
    if (code >= 0 && (size_t)code < ARRAY_LEN(codes))
        return codes[code].name;
    (void)snprintf(buf, 24, "Code(%d)", code);
    return buf;
}

Err *grpc_status_err(int code, const char *message)
{
    char buf[24];
    if (code == GRPC_OK)
        return NULL;
    ErrKind kind = code > 0 && (size_t)code < ARRAY_LEN(codes) ? codes[code].kind : ERR_SYS;
    return err_new(kind, 0, "rpc error: code = %s desc = %s", grpc_code_name(code, buf), str_or(message, ""));
}

/* --- grpc-message ------------------------------------------------------------------------------------------------- */

static int hex_of(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The byte at v[*at], steps over it. A "%" that encodes nothing stands for itself. */
static uint8_t take_byte(const char *v, size_t n, size_t *at)
{
    size_t i = *at;
    if (v[i] == '%' && i + 2 < n && isxdigit((unsigned char)v[i + 1]) && isxdigit((unsigned char)v[i + 2])) {
        *at += 3;
        return (uint8_t)(hex_of(v[i + 1]) * 16 + hex_of(v[i + 2]));
    }
    (*at)++;
    return (uint8_t)v[i];
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629: shortest form, no surrogates), 0 if there is none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t first, last, second_min, second_max, len;
    } forms[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        if (p[0] < forms[f].first || p[0] > forms[f].last)
            continue;
        if (forms[f].len > n)
            return 0;
        if (forms[f].len > 1 && (p[1] < forms[f].second_min || p[1] > forms[f].second_max))
            return 0;
        for (size_t i = 2; i < forms[f].len; i++)
            if (p[i] < 0x80 || p[i] > 0xbf)
                return 0;
        return forms[f].len;
    }
    return 0;
}

void grpc_message_decode(Str *to, const char *v, size_t n)
{
    SCOPED(str_done) Str raw = {0};
    for (size_t at = 0; at < n && raw.n < GRPC_STATUS_TEXT_MAX;)
        str_add_c(&raw, (char)take_byte(v, n, &at));
    const uint8_t *p = (const uint8_t *)raw.p;
    for (size_t i = 0, len; i < raw.n; i += len ? len : 1) {
        len = utf8_len(p + i, raw.n - i);
        bool control = (len == 1 && (p[i] < ' ' || p[i] == 0x7f)) || (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0);
        if (len && !control)
            str_add_n(to, p + i, len);
        else if (control)
            str_add_c(to, ' ');
        else if (raw.n < GRPC_STATUS_TEXT_MAX || i + 4 <= raw.n) /* else the bound cut a character in two */
            str_add_c(to, '?');
    }
}

void grpc_message_encode(Str *to, const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '%') /* PROTOCOL-HTTP2.md, Percent-Encoded; char may be signed: then < ' ' */
            str_fmt(to, "%%%02X", (unsigned char)*p);
        else
            str_add_c(to, *p);
}
