#include "stream/upgrade.h"

#include <arpa/inet.h>
#include <strings.h>

#include "stream/websocket.h"

void upgrade_request(const UpgradeRequest *r, Str *out)
{
    str_fmt(out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: reprise/" REPRISE_VERSION "\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
            r->websocket ? "GET" : "POST", r->path, r->host, r->websocket ? "websocket" : "SPDY/3.1");
    if (r->websocket)
        str_fmt(out, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", r->key);
    else
        str_add(out, "Content-Length: 0\r\n");
    for (size_t i = 0; r->protocols[i]; i++)
        str_fmt(out, "%s: %s\r\n", r->websocket ? "Sec-WebSocket-Protocol" : "X-Stream-Protocol-Version", r->protocols[i]);
    str_add(out, "\r\n");
}

bool upgrade_offers(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; *p;) {
        p += strspn(p, ", \t");
        size_t word = strcspn(p, ", \t");
        if (word == n && memcmp(p, name, n) == 0)
            return true;
        p += word;
    }
    return false;
}

void upgrade_answer_done(UpgradeAnswer *a)
{
    free(a->upgrade);
    free(a->accept);
    free(a->protocol);
    *a = (UpgradeAnswer){0};
}

static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_text(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return false;
    return true;
}

static bool take_field(const char *line, size_t n, UpgradeAnswer *a)
{
    size_t name = 0;
    while (name < n && is_token(line[name]))
        name++;
    if (name == 0 || name == n || line[name] != ':' || !is_text(line, n))
        return false;
    const char *value = line + name + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    SCOPED(mem_free) char *text = mem_dup_strn(value, (size_t)(end - value));
    struct { const char *name; char **to; } known[] = {
        {"Upgrade", &a->upgrade}, {"Sec-WebSocket-Accept", &a->accept}, {"Sec-WebSocket-Protocol", &a->protocol},
        {"X-Stream-Protocol-Version", &a->protocol}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strlen(known[i].name) == name && strncasecmp(known[i].name, line, name) == 0)
            mem_set_str(known[i].to, text);
    if (name == strlen("Content-Length") && strncasecmp("Content-Length", line, name) == 0)
        return str_to_i64(text, &a->body) && a->body >= 0;
    return true;
}

/* "HTTP/1.1 101 Switching Protocols" */
static bool take_status(const char *line, size_t n, UpgradeAnswer *a)
{
    if (n < 12 || strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' || (n > 12 && line[12] != ' '))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        a->status = a->status * 10 + (line[i] - '0');
    }
    return a->status >= 100 && is_text(line, n);
}

Err *upgrade_answer(const char *bytes, size_t n, bool *ret_whole, UpgradeAnswer *ret)
{
    size_t limit = n < UPGRADE_MAX_HEAD ? n : UPGRADE_MAX_HEAD;
    const char *end = limit ? memmem(bytes, limit, "\r\n\r\n", 4) : NULL;
    *ret_whole = false;
    if (!end) {
        static const char begin[] = "HTTP/1.";
        if (limit == UPGRADE_MAX_HEAD)
            return err_new(ERR_LIMIT, 0, "answer with more than %zu bytes of headers", UPGRADE_MAX_HEAD);
        if (limit && memcmp(bytes, begin, limit < sizeof begin - 1 ? limit : sizeof begin - 1) != 0)
            return err_new(ERR_INVALID, 0, "answer that is no HTTP/1.1");
        return NULL;
    }
    SCOPED(upgrade_answer_done) UpgradeAnswer a = {.upgrade = mem_dup_str(""), .accept = mem_dup_str(""), .protocol = mem_dup_str(""),
                                                   .body = -1, .n = (size_t)(end - bytes) + 4};
    bool first = true;
    for (const char *line = bytes; line <= end; first = false) {
        const char *eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        size_t len = (size_t)(eol - line);
        if (first ? !take_status(line, len, &a) : !take_field(line, len, &a))
            return err_new(ERR_INVALID, 0, "answer that is no HTTP/1.1");
        line = eol + 2;
    }
    *ret_whole = true;
    *ret = MOVE(a, (UpgradeAnswer){0});
    return NULL;
}

Err *upgrade_check(const UpgradeRequest *r, const UpgradeAnswer *a)
{
    if (a->status != 101)
        return err_new(ERR_UNAVAILABLE, 0, "answer %d instead of 101", a->status);
    if (strcasecmp(a->upgrade, r->websocket ? "websocket" : "SPDY/3.1") != 0)
        return err_new(ERR_INVALID, 0, "upgrade to \"%s\"", a->upgrade);
    if (r->websocket) {
        SCOPED(mem_free) char *want = websocket_accept(r->key);
        if (!str_eq(want, a->accept))
            return err_new(ERR_INVALID, 0, "answer that is none to our WebSocket key");
    }
    if (!*a->protocol && !r->websocket)
        return NULL;
    for (size_t i = 0; r->protocols[i]; i++)
        if (str_eq(r->protocols[i], a->protocol))
            return NULL;
    return err_new(ERR_INVALID, 0, "protocol \"%s\", which was not offered", a->protocol);
}

Err *upgrade_url(const char *url, char **ret_host, unsigned *ret_port, char **ret_authority, char **ret_path)
{
    if (str_starts(url, "https://"))
        return err_new(ERR_UNSUPPORTED, 0, "streaming over TLS: %s", url);
    if (!str_starts(url, "http://"))
        return err_new(ERR_INVALID, 0, "no http address: \"%s\"", url);
    const char *authority = url + strlen("http://");
    size_t n = strcspn(authority, "/?#");
    SCOPED(mem_free) char *host = mem_dup_strn(authority, n);
    if (!is_text(url, strlen(url)) || strpbrk(url, " ") || strchr(host, '@'))
        return err_new(ERR_INVALID, 0, "no http address: \"%s\"", url);
    int64_t port = 80;
    char *colon = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    if (*host == '[') {
        if (!colon || (colon[1] && colon[1] != ':'))
            return err_new(ERR_INVALID, 0, "no http address: \"%s\"", url);
        *colon++ = '\0';
        memmove(host, host + 1, strlen(host));
    }
    if (colon && *colon == ':') {
        if (!str_to_i64(colon + 1, &port) || port < 1 || port > 65535)
            return err_new(ERR_INVALID, 0, "no http address: \"%s\"", url);
        *colon = '\0';
    }
    if (str_eq(host, "localhost"))
        mem_set_str(&host, "127.0.0.1");
    struct in6_addr any;
    if (inet_pton(AF_INET, host, &any) != 1 && inet_pton(AF_INET6, host, &any) != 1)
        return err_new(ERR_UNSUPPORTED, 0, "streaming from a host that is no address: \"%s\"", host);
    *ret_authority = mem_dup_strn(authority, n);
    *ret_path = mem_fmt("%s%s", authority[n] == '/' ? "" : "/", authority + n);
    char *fragment = strchr(*ret_path, '#');
    if (fragment)
        *fragment = '\0';
    *ret_port = (unsigned)port;
    *ret_host = MOVE(host, NULL);
    return NULL;
}
