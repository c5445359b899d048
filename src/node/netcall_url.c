/* netcall_url.c - the URL of an httpGet, as the kubelet makes it: url.Parse(path), then scheme and host put over
 * whatever that found, then String(). A path that does not parse is used as a plain path, so nothing is ever refused
 * here. Pure. */
#include "node/netcall_priv.h"

#include <ctype.h>

static bool is_escape(const char *p)
{
    return p[0] == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]);
}

/* Bytes that stay as they are in a path (RFC 3986 pchar and '/'; Go's shouldEscape lets the same through). */
static bool is_plain(char ch, const char *also)
{
    return isalnum((unsigned char)ch) || (ch && strchr("-_.~$&+,/:;=@!'()*[]", ch)) || (ch && strchr(also, ch));
}

static void add_escaped(Str *s, const char *text, size_t n, const char *also, bool keep_escapes)
{
    for (size_t i = 0; i < n; i++)
        if (is_plain(text[i], also) || (keep_escapes && is_escape(text + i)))
            str_add_c(s, text[i]);
        else
            str_fmt(s, "%%%02X", (unsigned char)text[i]);
}

/* Skips "scheme:" and "//host" in front of a path that is a whole URL: both are replaced. */
static const char *skip_authority(const char *path)
{
    const char *p = path;
    if (isalpha((unsigned char)*p)) {
        while (isalnum((unsigned char)*p) || (*p && strchr("+-.", *p)))
            p++;
        if (strncmp(p, "://", 3))
            return path;
        p++;
    }
    if (strncmp(p, "//", 2) || p[2] == '/')
        return path;
    return p + 2 + strcspn(p + 2, "/?#");
}

static bool parses(const char *p)
{
    size_t n = strcspn(p, "?#");
    for (size_t i = 0; p[i]; i++)
        if ((unsigned char)p[i] < ' ' || p[i] == 0x7f || (i < n && p[i] == '%' && !is_escape(p + i)))
            return false;
    /* "first path segment in URL cannot contain colon" */
    size_t colon = strcspn(p, ":/?#");
    return p[colon] != ':';
}

char *netcall_url(const char *scheme, const char *host, int port, const char *path)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(mem_free) char *authority = netcall_join(host, port);
    const char *p = skip_authority(str_or(path, ""));
    str_fmt(&s, "%s://%s", scheme, authority);
    bool ok = parses(p);
    size_t n = ok ? strcspn(p, "?#") : strlen(p);
    if (n && p[0] != '/')
        str_add_c(&s, '/');
    add_escaped(&s, p, n, "", ok);
    /* The query goes as it is, but for what would end the request line. */
    if (p[n] == '?') {
        size_t q = strcspn(p + n, "#");
        str_add_c(&s, '?');
        add_escaped(&s, p + n + 1, q - 1, "?%\"<>\\^`{|}", true);
        n += q;
    }
    if (p[n] == '#') {
        str_add_c(&s, '#');
        add_escaped(&s, p + n + 1, strlen(p + n + 1), "?", true);
    }
    return str_take(&s);
}
