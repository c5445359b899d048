/* The rules of the kubelet's keyring (pkg/credentialprovider/keyring.go, config.go), as values: text in, candidates out. */
#include "node/pull_auth.h"

#include <fnmatch.h>

#include "wire/json.h"
#include "wire/shimwire.h"

void keyring_done(Keyring *k)
{
    LIST_EACH(e, &k->entries) {
        free(e->key);
        image_auth_done(&e->auth);
    }
    free(k->entries.v);
    *k = (Keyring){0};
}

/* --- URLs without a scheme ---------------------------------------------------------------------------------------------- */

typedef struct {
    char *host; /* with the port, as it stands there */
    char *path; /* decoded; "" or "/..." */
} Url;

static void url_done(Url *u)
{
    free(u->host);
    free(u->path);
    *u = (Url){0};
}
static inline UNUSED void url_done_at(Url *u)
{
    url_done(u);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_path(const char *s, size_t n, Str *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            str_add_c(ret, s[i]);
            continue;
        }
        int high = i + 2 < n ? hex_digit(s[i + 1]) : -1, low = i + 2 < n ? hex_digit(s[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        str_add_c(ret, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

static bool is_port(const char *s)
{
    return *s == '\0' || (*s == ':' && strspn(s + 1, "0123456789") == strlen(s + 1));
}

static bool is_host(const char *host)
{
    if (strpbrk(host, " \\^`{|}%"))
        return false;
    const char *port = strrchr(host, *host == '[' ? ']' : ':');
    if (*host == '[')
        return port && is_port(port + 1);
    return !port || is_port(port);
}

/* What Go's url.Parse makes of "https://" + s, as far as it matters here: authority and path, without query and fragment. */
static bool url_parse(const char *s, Url *ret)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    size_t n = strcspn(s, "#?");
    size_t n_authority = strcspn(s, "/#?");
    const char *host = s;
    for (size_t i = 0; i < n_authority; i++)
        if (s[i] == '@') /* who it was is said elsewhere */
            host = s + i + 1;
    SCOPED(url_done) Url u = {.host = mem_dup_strn(host, (size_t)(s + n_authority - host))};
    SCOPED(str_done) Str path = {0};
    if (!is_host(u.host) || !decode_path(s + n_authority, n - n_authority, &path))
        return false;
    u.path = str_take(&path);
    *ret = MOVE(u, (Url){0});
    return true;
}

/* net.SplitHostPort; where it would fail, all of it is the host. Returns where the port begins, "" if there is none. */
static const char *split_port(const char *host, size_t *ret_n_host)
{
    const char *colon = strrchr(host, ':');
    size_t n = strlen(host);
    *ret_n_host = n;
    if (!colon || host[n - 1] == ']' || (*host != '[' && strchr(host, ':') != colon))
        return host + n;
    *ret_n_host = (size_t)(colon - host);
    return colon + 1;
}

/* --- matching ----------------------------------------------------------------------------------------------------------- */

/* The same number of parts between the dots, each matching. */
static bool hosts_match(char *glob, char *target)
{
    if (str_eq(glob, target)) /* an IPv6 address in brackets would be a character class */
        return true;
    for (;;) {
        char *glob_end = strchrnul(glob, '.'), *target_end = strchrnul(target, '.');
        bool last = !*glob_end;
        if (last != !*target_end)
            return false;
        *glob_end = *target_end = '\0';
        if (fnmatch(glob, target, 0) != 0)
            return false;
        if (last)
            return true;
        glob = glob_end + 1;
        target = target_end + 1;
    }
}

bool keyring_key_matches(const char *glob, const char *target)
{
    SCOPED(url_done) Url g = {0}, t = {0};
    if (!url_parse(glob, &g) || !url_parse(target, &t))
        return false;
    size_t n_glob, n_target;
    if (!str_eq(split_port(g.host, &n_glob), split_port(t.host, &n_target)) || !str_starts(t.path, g.path))
        return false;
    SCOPED(mem_free) char *glob_host = mem_dup_strn(g.host, n_glob), *target_host = mem_dup_strn(t.host, n_target);
    return hosts_match(glob_host, target_host);
}

/* Docker Hub, by any of its names, or a name without a registry. */
static bool is_default_registry(const char *image)
{
    size_t n = strcspn(image, "/");
    SCOPED(mem_free) char *first = mem_dup_strn(image, n);
    if (n == 0 || image[n] == '\0')
        return n > 0;
    return str_eq(first, "docker.io") || str_eq(first, "index.docker.io") || !strpbrk(first, ".:");
}

/* --- lookup ------------------------------------------------------------------------------------------------------------- */

/* Backwards by key, so that what is said of a path goes before what is said of its host; one key's in the order of the secrets. */
static int more_specific_first(const void *a, const void *b)
{
    const KeyringEntry *x = *(const KeyringEntry *const *)a, *y = *(const KeyringEntry *const *)b;
    int order = strcmp(y->key, x->key);
    return order ? order : (x > y) - (x < y);
}

void keyring_lookup(const Keyring *k, const char *repository, ImageAuthList *out)
{
    size_t n = k->entries.n, before = out->n;
    if (!n)
        return;
    SCOPED(mem_free) const KeyringEntry **sorted = mem_alloc_n(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &k->entries.v[i];
    qsort(sorted, n, sizeof *sorted, more_specific_first);
    for (size_t i = 0; i < n; i++)
        if (keyring_key_matches(sorted[i]->key, repository))
            image_auths_add(out, &sorted[i]->auth);
    if (out->n > before || !is_default_registry(repository))
        return;
    for (size_t i = 0; i < n; i++)
        if (str_eq(sorted[i]->key, "index.docker.io"))
            image_auths_add(out, &sorted[i]->auth);
}

/* --- configs ------------------------------------------------------------------------------------------------------------ */

/* "https://quay.io/v1/" and "quay.io" are one. NULL: no URL. */
static char *key_of(const char *location)
{
    SCOPED(url_done) Url u = {0};
    const char *scheme = str_starts(location, "https://") ? "https://" : str_starts(location, "http://") ? "http://" : "";
    if (!url_parse(location + strlen(scheme), &u))
        return NULL;
    const char *path = str_starts(u.path, "/v2/") || str_starts(u.path, "/v1/") ? u.path + 3 : u.path;
    return mem_fmt("%s%s", u.host, str_eq(path, "/") ? "" : path);
}

/* Base64 as Go's StdEncoding and RawStdEncoding take it: line breaks are skipped, padding is all there or not at all. */
static bool decode_auth(const char *field, Str *ret)
{
    SCOPED(str_done) Str text = {0};
    for (const char *p = field; *p; p++)
        if (*p != '\n' && *p != '\r')
            str_add_c(&text, *p);
    if (text.n && text.p[text.n - 1] != '=')
        for (size_t i = text.n % 4; i == 2 || i == 3; i = (i + 1) % 4)
            str_add_c(&text, '=');
    return shim_base64_read(str_or(text.p, ""), ret) && !memchr(str_or(ret->p, ""), '\0', ret->n);
}

static Err *read_auth(const char *field, ImageAuth *ret)
{
    SCOPED(str_done) Str pair = {0};
    if (!decode_auth(field, &pair))
        return err_new(ERR_INVALID, 0, "auth: illegal base64 data");
    const char *colon = strchr(str_or(pair.p, ""), ':');
    if (!colon)
        return err_new(ERR_INVALID, 0, "auth: unable to parse auth field, must be formatted as base64(username:password)");
    free(ret->username);
    ret->username = mem_dup_strn(pair.p, (size_t)(colon - pair.p));
    mem_set_str(&ret->password, colon + 1);
    return NULL;
}

static Err *read_entry(const json_t *j, ImageAuth *ret)
{
    static const char *const fields[] = {"username", "password", "email", "auth"};
    if (!json_is_object(j))
        return json_is_null(j) ? NULL : err_new(ERR_INVALID, 0, "not an object");
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const json_t *v = json_object_get(j, fields[i]);
        if (v && !json_is_string(v) && !json_is_null(v))
            return err_new(ERR_INVALID, 0, "%s: not a string", fields[i]);
    }
    ret->username = mem_dup_str(json_str(j, "username"));
    ret->password = mem_dup_str(json_str(j, "password"));
    const char *auth = json_str(j, "auth");
    return str_empty(auth) ? NULL : read_auth(auth, ret);
}

static Err *add_entry(Keyring *k, const char *location, const json_t *j)
{
    ImageAuth auth = {0};
    Err *e = read_entry(j, &auth);
    char *key = e ? NULL : key_of(location);
    if (key)
        *LIST_ADD(&k->entries) = (KeyringEntry){.key = key, .auth = auth};
    else
        image_auth_done(&auth);
    return e ? err_wrap(e, "\"%s\"", location) : NULL;
}

/* The parser's message without the text that it stumbled over: that may be a password. */
static Err *redact(Err *e)
{
    const char *near = strstr(e->what, " near ");
    Err *plain = err_new(e->kind, 0, "%.*s", (int)(near ? near - e->what : (ptrdiff_t)strlen(e->what)), e->what);
    err_free(e);
    return plain;
}

Err *keyring_add_config(Keyring *k, DockerConfigForm form, const char *text, size_t n)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = json_parse(text, n, &j);
    if (e)
        return redact(e);
    if (!json_is_object(j) && !json_is_null(j))
        return err_new(ERR_INVALID, 0, "not an object");
    const json_t *auths = form == DOCKER_CONFIG_JSON ? json_object_get(j, "auths") : j;
    if (auths && !json_is_object(auths) && !json_is_null(auths))
        return err_new(ERR_INVALID, 0, "auths: not an object");
    SCOPED(keyring_done) Keyring read = {0};
    const char *location;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)auths, location, entry)
    {
        e = add_entry(&read, location, entry);
        if (e)
            return form == DOCKER_CONFIG_JSON ? err_wrap(e, "auths") : e;
    }
    LIST_EACH(r, &read.entries)
        *LIST_ADD(&k->entries) = *r;
    read.entries.n = 0; /* they are k's now */
    return NULL;
}
