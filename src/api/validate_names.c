/* validate_names.c - the formats of k8s.io/apimachinery/pkg/util/validation, with its messages. */
#include <arpa/inet.h>

#include "api/validate_priv.h"

#define LABEL_RE "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define LABEL_MSG                                                                                                      \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "    \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '" LABEL_RE "')"
#define SUBDOMAIN_MSG                                                                                                  \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "   \
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '" LABEL_RE              \
    "(\\." LABEL_RE ")*')"
#define UNDER_RE "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_UNDERSCORE_MSG                                                                                       \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "    \
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '" UNDER_RE        \
    "(\\." UNDER_RE ")*')"
#define NAME_RE "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define NAME_MSG                                                                                                       \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " \
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" NAME_RE "')"
#define VALUE_MSG                                                                                                      \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "    \
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "  \
    "is '(" NAME_RE ")?')"
#define KEY_MSG                                                                                                        \
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "  \
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define HEADER_MSG                                                                                                     \
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "        \
    "validation is '[-A-Za-z0-9]+')"

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9] with <inner> characters too in between; <lead> may come first. */
static bool label_matches(const char *s, size_t n, const char *inner, char lead)
{
    if (n && lead && *s == lead) {
        s++;
        n--;
    }
    if (!n || !lower_or_digit(s[0]) || !lower_or_digit(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!s[i] || (!lower_or_digit(s[i]) && !strchr(inner, s[i])))
            return false;
    return true;
}

static bool subdomain_matches(const char *s, size_t n, const char *inner, char lead)
{
    for (;;) {
        const char *dot = memchr(s, '.', n);
        size_t len = dot ? (size_t)(dot - s) : n;
        if (!label_matches(s, len, inner, lead))
            return false;
        if (!dot)
            return true;
        s = dot + 1;
        n -= len + 1;
    }
}

static void max_len(Report *r, const Path *at, const char *value, size_t max, const char *prefix)
{
    if (strlen(value) > max)
        v_invalid(r, at, value, "%smust be no more than %zu bytes", prefix, max);
}

void v_dns_label(Report *r, const Path *at, const char *value)
{
    value = str_or(value, "");
    max_len(r, at, value, 63, "");
    size_t n = strlen(value);
    if (label_matches(value, n, "-", '\0'))
        return;
    if (subdomain_matches(value, n, "-", '\0'))
        v_invalid(r, at, value, "must not contain dots");
    else
        v_invalid(r, at, value, "%s", LABEL_MSG);
}

static void subdomain(Report *r, const Path *at, const char *value, const char *tested)
{
    max_len(r, at, value, 253, "");
    if (!subdomain_matches(tested, strlen(tested), "-", '\0'))
        v_invalid(r, at, value, "%s", SUBDOMAIN_MSG);
}

void v_dns_subdomain(Report *r, const Path *at, const char *value)
{
    subdomain(r, at, str_or(value, ""), str_or(value, ""));
}

void v_dns_subdomain_prefix(Report *r, const Path *at, const char *value)
{
    /* apimachinery's maskTrailingDash: the last dash stands for the suffix to come. */
    SCOPED(mem_free) char *masked = mem_dup_str(str_or(value, ""));
    size_t n = strlen(masked);
    if (n > 1 && masked[n - 1] == '-')
        masked[n - 1] = 'a';
    subdomain(r, at, str_or(value, ""), masked);
}

void v_dns_subdomain_underscore(Report *r, const Path *at, const char *value)
{
    max_len(r, at, value, 253, "");
    if (!subdomain_matches(value, strlen(value), "-_", '_'))
        v_invalid(r, at, value, "%s", SUBDOMAIN_UNDERSCORE_MSG);
}

static bool name_matches(const char *s)
{
    size_t n = strlen(s);
    if (!n || !alnum(s[0]) || !alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!alnum(s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

static void qualified_prefix(Report *r, const Path *at, const char *shown, const char *prefix)
{
    if (!*prefix) {
        v_invalid(r, at, shown, "prefix part must be non-empty");
        return;
    }
    if (strlen(prefix) > 253)
        v_invalid(r, at, shown, "prefix part must be no more than 253 bytes");
    if (!subdomain_matches(prefix, strlen(prefix), "-", '\0'))
        v_invalid(r, at, shown, "prefix part %s", SUBDOMAIN_MSG);
}

void v_qualified_name(Report *r, const Path *at, const char *shown, const char *value)
{
    SCOPED(mem_free) char *copy = mem_dup_str(str_or(value, ""));
    char *name = copy, *slash = strchr(copy, '/');
    if (slash && strchr(slash + 1, '/')) {
        v_invalid(r, at, shown, "a valid label key %s with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                  NAME_MSG);
        return;
    }
    if (slash) {
        *slash = '\0';
        qualified_prefix(r, at, shown, copy);
        name = slash + 1;
    }
    if (!*name)
        v_invalid(r, at, shown, "name part must be non-empty");
    else if (strlen(name) > 63)
        v_invalid(r, at, shown, "name part must be no more than 63 bytes");
    if (!name_matches(name))
        v_invalid(r, at, shown, "name part %s", NAME_MSG);
}

void v_label_value(Report *r, const Path *at, const char *value)
{
    value = str_or(value, "");
    max_len(r, at, value, 63, "");
    if (*value && !name_matches(value))
        v_invalid(r, at, value, "%s", VALUE_MSG);
}

void v_port_name(Report *r, const Path *at, const char *value)
{
    value = str_or(value, "");
    size_t n = strlen(value);
    max_len(r, at, value, 15, "");
    if (!n || strspn(value, "-abcdefghijklmnopqrstuvwxyz0123456789") != n)
        v_invalid(r, at, value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!strpbrk(value, "abcdefghijklmnopqrstuvwxyz"))
        v_invalid(r, at, value, "must contain at least one letter (a-z)");
    if (strstr(value, "--"))
        v_invalid(r, at, value, "must not contain consecutive hyphens");
    if (n && (value[0] == '-' || value[n - 1] == '-'))
        v_invalid(r, at, value, "must not begin or end with a hyphen");
}

bool v_port_name_ok(const char *value)
{
    SCOPED(report_done) Report r = {0};
    v_port_name(&r, NULL, value);
    return report_ok(&r);
}

void v_port_num(Report *r, const Path *at, int64_t port)
{
    v_range(r, at, port, 1, 65535);
}

void v_env_name(Report *r, const Path *at, const char *value)
{
    for (const char *p = value; *p; p++)
        if (*p < 0x20 || *p > 0x7e || *p == '=') {
            v_invalid(r, at, value,
                      "a valid environment variable name must consist only of printable ASCII characters other than '='");
            return;
        }
}

void v_config_key(Report *r, const Path *at, const char *value)
{
    max_len(r, at, value, 253, "");
    bool match = *value;
    for (const char *p = value; *p; p++)
        match = match && (alnum(*p) || strchr("-._", *p));
    if (!match)
        v_invalid(r, at, value, "%s", KEY_MSG);
    if (strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
        v_invalid(r, at, value, "must not be '%s'", value);
    else if (str_starts(value, ".."))
        v_invalid(r, at, value, "must not start with '..'");
}

void v_http_header(Report *r, const Path *at, const char *value)
{
    value = str_or(value, "");
    bool match = *value;
    for (const char *p = value; *p; p++)
        match = match && (alnum(*p) || *p == '-');
    if (!match)
        v_invalid(r, at, value, "%s", HEADER_MSG);
}

void v_ip(Report *r, const Path *at, const char *value)
{
    value = str_or(value, "");
    unsigned char buf[16];
    if (inet_pton(AF_INET, value, buf) != 1 && inet_pton(AF_INET6, value, buf) != 1)
        v_invalid(r, at, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

/* Is one of the parts between slashes ".."? */
static bool has_backstep(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (str_starts(p, "..") && (p[2] == '/' || !p[2]))
            return true;
    return false;
}

void v_no_backsteps(Report *r, const Path *at, const char *path)
{
    path = str_or(path, "");
    if (has_backstep(path))
        v_invalid(r, at, path, "must not contain '..'");
}

void v_local_descending(Report *r, const Path *at, const char *path)
{
    path = str_or(path, "");
    if (*path == '/')
        v_invalid(r, at, path, "must be a relative path");
    v_no_backsteps(r, at, path);
}

void v_local_not_reserved(Report *r, const Path *at, const char *path)
{
    path = str_or(path, "");
    v_local_descending(r, at, path);
    /* Not said twice: ".." alone and "../" were caught above. */
    if (str_starts(path, "..") && !str_starts(path, "../"))
        v_invalid(r, at, path, "must not start with '..'");
}
