/* cdi.c - Container Device Interface (https://github.com/cncf-tags/container-device-interface, SPEC.md, up to 1.0):
 * device names to edits of the OCI spec. Specs are .json and .yaml files of a few directories, a later directory
 * winning over an earlier one; a device that two files of one directory define is no device at all, as in the reference
 * implementation.
 *
 * A spec file is the administrator's, but may be broken: a bad one is passed over, and what it was bad with is told
 * when a device cannot be resolved. */
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "api/codec.h"
#include "os/fs.h"
#include "runtime/oci/spec_priv.h"
#include "wire/yaml.h"

#define SPEC_MAX (1u << 20)
#define SPECS_MAX 1024u
#define EDITS_MAX 4096u /* entries of one list of one spec */
#define ANNOTATION "cdi.k8s.io/"

/* --- names ------------------------------------------------------------------------------------------------------ */

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool alnum(char c) { return letter(c) || (c >= '0' && c <= '9'); }

/* Vendor and class start with a letter, a device with a letter or digit; the last is a letter or digit. */
static bool part_valid(const char *s, size_t n, bool digit_first, const char *inner)
{
    if (!n || !(digit_first ? alnum(s[0]) : letter(s[0])) || !alnum(s[n - 1]))
        return false;
    for (size_t i = 1; i + 1 < n; i++) {
        if (!alnum(s[i]) && !(s[i] && strchr(inner, s[i])))
            return false;
    }
    return true;
}

static bool kind_valid(const char *s, size_t n)
{
    const char *slash = memchr(s, '/', n);
    return slash && part_valid(s, (size_t)(slash - s), false, "_-.") &&
           part_valid(slash + 1, n - (size_t)(slash + 1 - s), false, "_-.");
}

bool cdi_name_valid(const char *name)
{
    const char *eq = strchr(name, '=');
    return eq && kind_valid(name, (size_t)(eq - name)) && part_valid(eq + 1, strlen(eq + 1), true, "_-.:");
}

/* --- specs ------------------------------------------------------------------------------------------------------ */

typedef struct {
    json_t *root; /* owned */
    const char *kind;
    unsigned priority; /* index of its directory */
    bool used;         /* its own containerEdits were taken */
} CdiSpec;
typedef struct {
    LIST_OF(CdiSpec) specs;
    Str problems; /* what was passed over, and why; shown when a device is missing */
} CdiCache;

static void cache_done(CdiCache *c)
{
    for (size_t i = 0; i < c->specs.n; i++)
        json_decref(c->specs.v[i].root);
    free(c->specs.v);
    str_done(&c->problems);
}

static Err *spec_parse(const char *path, const Str *text, json_t **ret)
{
    if (str_ends(path, ".json"))
        return json_parse(text->p, text->n, ret);
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = yaml_parse_all(text->p, text->n, &docs);
    if (!e && json_array_size(docs) != 1)
        e = err_new(ERR_INVALID, 0, "must have exactly one document");
    if (!e)
        *ret = json_incref(json_array_get(docs, 0));
    return e;
}

static Err *spec_check(const json_t *s)
{
    const char *version = json_str(s, "cdiVersion"), *kind = json_str(s, "kind");
    if (!version || (!str_starts(version, "0.") && !str_starts(version, "1.")))
        return err_new(ERR_UNSUPPORTED, 0, "cdiVersion \"%.32s\" is not 0.x or 1.x", str_or(version, ""));
    if (!kind || !kind_valid(kind, strlen(kind)))
        return err_new(ERR_INVALID, 0, "kind \"%.128s\" is not vendor/class", str_or(kind, ""));
    if (!json_is_array(json_object_get(s, "devices")))
        return err_new(ERR_INVALID, 0, "devices is not a list");
    return NULL;
}

static void load_file(CdiCache *c, const char *path, unsigned priority)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *root = NULL;
    SCOPED(err_free) Err *e = fs_read(path, SPEC_MAX, &text);
    if (!e && !text.p)
        str_add(&text, "");
    if (!e)
        e = spec_parse(path, &text, &root);
    if (!e)
        e = spec_check(root);
    if (e) {
        SCOPED(mem_free) char *why = err_text(e);
        str_fmt(&c->problems, "%s%s: %s", c->problems.n ? "; " : "", path, why);
        return;
    }
    *LIST_ADD(&c->specs) = (CdiSpec){.kind = json_str(root, "kind"), .priority = priority, .root = json_incref(root)};
}

static void load_dir(CdiCache *c, const char *dir, unsigned priority)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort); /* absent: no specs */
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        if (name[0] != '.' && c->specs.n < SPECS_MAX &&
            (str_ends(name, ".json") || str_ends(name, ".yaml") || str_ends(name, ".yml"))) {
            SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
            load_file(c, path, priority);
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static void load_all(CdiCache *c, const char *dirs)
{
    SCOPED(mem_free) char *copy = mem_dup_str(str_empty(dirs) ? "/etc/cdi:/var/run/cdi" : dirs);
    unsigned priority = 0;
    for (char *save = NULL, *d = strtok_r(copy, ":", &save); d; d = strtok_r(NULL, ":", &save))
        load_dir(c, d, priority++);
}

/* NULL: nobody defines it, or two files of the winning directory do. */
static const json_t *find_device(CdiCache *c, const char *name, CdiSpec **ret_spec)
{
    const char *eq = strchr(name, '=');
    const json_t *found = NULL;
    unsigned best = 0;
    bool conflict = false;
    for (size_t i = 0; eq && i < c->specs.n; i++) {
        CdiSpec *s = &c->specs.v[i];
        if (strlen(s->kind) != (size_t)(eq - name) || strncmp(s->kind, name, (size_t)(eq - name)) != 0)
            continue;
        const json_t *devices = json_object_get(s->root, "devices");
        for (size_t k = 0; k < json_array_size(devices); k++) {
            const json_t *d = json_array_get(devices, k);
            if (!str_eq(json_str(d, "name"), eq + 1) || (found && s->priority < best))
                continue;
            conflict = found && s->priority == best;
            found = d;
            best = s->priority;
            *ret_spec = s;
        }
    }
    return conflict ? NULL : found;
}

/* --- edits ------------------------------------------------------------------------------------------------------ */

typedef struct {
    json_t *spec, *process, *linux_;
} Target;

static Err *list_of(const json_t *edits, const char *key, const json_t **ret)
{
    *ret = json_object_get(edits, key);
    if (*ret && !json_is_null(*ret) && (!json_is_array(*ret) || json_array_size(*ret) > EDITS_MAX))
        return err_new(ERR_INVALID, 0, "containerEdits.%s is not a list of at most %u", key, EDITS_MAX);
    return NULL;
}

static Err *edit_env(Target *t, const json_t *v)
{
    const char *s = json_string_value(v), *eq = s ? strchr(s, '=') : NULL;
    if (!eq || eq == s)
        return err_new(ERR_INVALID, 0, "invalid environment variable \"%.64s\"", str_or(s, ""));
    jenv_set(jarray_at(t->process, "env"), s);
    return NULL;
}

/* Fills type and numbers from the host's node where the spec leaves them out. */
static Err *device_fill(const json_t *v, const char *host, json_t *d)
{
    const char *type = json_str(v, "type");
    int64_t major = json_i64(v, "major", 0), minor = json_i64(v, "minor", 0);
    bool given = !str_empty(type) && (major || str_eq(type, "p"));
    struct stat st;
    int err = lstat(host, &st) < 0 ? errno : 0;
    const char *real = err                    ? NULL
                       : S_ISBLK(st.st_mode)  ? "b"
                       : S_ISCHR(st.st_mode)  ? "c"
                       : S_ISFIFO(st.st_mode) ? "p"
                                              : NULL;
    if (!given && err)
        return err_new(ERR_NOT_FOUND, err, "failed to stat CDI host device \"%s\"", host);
    if (!given && !real)
        return err_new(ERR_INVALID, 0, "CDI host device \"%s\" is not a device node", host);
    if (!given && !str_empty(type) && !str_eq(type, real) && !(str_eq(type, "u") && str_eq(real, "c")))
        return err_new(ERR_INVALID, 0, "CDI device \"%s\": host type mismatch (%s, %s)", host, type, real);
    if (!given) {
        type = real;
        major = (int64_t)major(st.st_rdev);
        minor = (int64_t)minor(st.st_rdev);
    }
    jset(d, "type", jstr(type));
    jset(d, "major", json_integer(major));
    jset(d, "minor", json_integer(minor));
    int64_t mode = json_i64(v, "fileMode", real ? (int64_t)(st.st_mode & 07777) : 0);
    if (mode)
        jset(d, "fileMode", json_integer(mode & 07777));
    return NULL;
}

static void remove_by(json_t *list, const char *key, const char *value)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (str_eq(json_str(json_array_get(list, i), key), value))
            json_array_remove(list, i);
    }
}

/* The node's owner: the spec's, else who the container runs as (not root), else the host's. */
static void device_owner(const json_t *v, const json_t *process, const char *key, json_t *d)
{
    int64_t id = json_i64(v, key, -1);
    if (id < 0)
        id = json_i64(json_object_get(process, "user"), key, 0);
    if (id > 0)
        jset(d, key, json_integer(id));
}

static Err *edit_device(Target *t, const json_t *v)
{
    const char *path = json_str(v, "path"), *host = json_str(v, "hostPath"), *access = json_str(v, "permissions");
    if (str_empty(path) || path[0] != '/')
        return err_new(ERR_INVALID, 0, "a deviceNodes entry has no absolute path");
    SCOPED(json_unref) json_t *d = json_object();
    jset(d, "path", jstr(path));
    Err *e = device_fill(v, str_empty(host) ? path : host, d);
    if (e)
        return e;
    if (access && strspn(access, "rwm") != strlen(access) && !str_eq(access, "none"))
        return err_new(ERR_INVALID, 0, "device %s: invalid permissions \"%.16s\"", path, access);
    device_owner(v, t->process, "uid", d);
    device_owner(v, t->process, "gid", d);
    json_t *devices = jarray_at(t->linux_, "devices");
    remove_by(devices, "path", path);
    jadd(devices, json_incref(d));
    const char *type = json_str(d, "type");
    if (!str_eq(type, "p") && !str_eq(access, "none"))
        device_allow(jarray_at(jobject_at(t->linux_, "resources"), "devices"), str_eq(type, "u") ? "c" : type,
                     json_i64(d, "major", 0), json_i64(d, "minor", 0), str_empty(access) ? "rwm" : access);
    return NULL;
}

static Err *edit_mount(Target *t, const json_t *v)
{
    const char *src = json_str(v, "hostPath"), *dst = json_str(v, "containerPath"), *type = json_str(v, "type");
    const json_t *options = json_object_get(v, "options");
    if (str_empty(src) || str_empty(dst) || dst[0] != '/')
        return err_new(ERR_INVALID, 0, "a mounts entry has no hostPath or no absolute containerPath");
    json_t *mounts = jarray_at(t->spec, "mounts"), *m = json_object();
    remove_by(mounts, "destination", dst);
    jset(m, "destination", jstr(dst));
    if (!str_empty(type))
        jset(m, "type", jstr(type));
    jset(m, "source", jstr(src));
    json_t *to = jarray_at(m, "options");
    bool bind = false;
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *o = json_string_value(json_array_get(options, i));
        if (!o)
            continue;
        bind = bind || str_eq(o, "bind") || str_eq(o, "rbind");
        jadd(to, jstr(o));
    }
    if (str_empty(type)) {
        jset(m, "type", jstr("bind"));
        if (!bind)
            jadd(to, jstr("bind"));
    }
    jadd(mounts, m);
    return NULL;
}

static Err *edit_hook(Target *t, const json_t *v)
{
    static const char *const names[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    const char *name = str_or(json_str(v, "hookName"), ""), *path = json_str(v, "path");
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        known = known || str_eq(names[i], name);
    if (!known)
        return err_new(ERR_INVALID, 0, "unknown hook name \"%.64s\"", name);
    if (str_empty(path) || path[0] != '/')
        return err_new(ERR_INVALID, 0, "hook %s has no absolute path", name);
    json_t *h = json_object();
    jset(h, "path", jstr(path));
    static const char *const lists[] = {"args", "env"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const json_t *l = json_object_get(v, lists[i]);
        for (size_t k = 0; k < json_array_size(l); k++) {
            if (json_is_string(json_array_get(l, k)))
                jadd(jarray_at(h, lists[i]), json_incref(json_array_get(l, k)));
        }
    }
    if (json_i64(v, "timeout", 0) > 0)
        jset(h, "timeout", json_integer(json_i64(v, "timeout", 0)));
    jadd(jarray_at(jobject_at(t->spec, "hooks"), name), h);
    return NULL;
}

static Err *edit_gid(Target *t, const json_t *v)
{
    json_int_t gid = json_integer_value(v);
    if (!json_is_integer(v) || gid < 0 || gid > INT32_MAX)
        return err_new(ERR_INVALID, 0, "an additionalGids entry is not a group id");
    json_t *list = jarray_at(jobject_at(t->process, "user"), "additionalGids");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_integer_value(json_array_get(list, i)) == gid)
            return NULL;
    }
    if (gid)
        jadd(list, json_integer(gid));
    return NULL;
}

static Err *apply(Target *t, const json_t *edits)
{
    static const struct { const char *key; Err *(*edit)(Target *, const json_t *); } rows[] = {
        {"env", edit_env}, {"deviceNodes", edit_device}, {"mounts", edit_mount}, {"hooks", edit_hook},
        {"additionalGids", edit_gid},
    };
    static const char *const refused[] = {"netDevices", "intelRdt"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        const json_t *v = json_object_get(edits, refused[i]);
        if (v && !json_is_null(v))
            return err_new(ERR_UNSUPPORTED, 0, "containerEdits.%s is not supported by reprise", refused[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *list;
        Err *e = list_of(edits, rows[i].key, &list);
        for (size_t k = 0; k < json_array_size(list) && !e; k++)
            e = rows[i].edit(t, json_array_get(list, k));
        if (e)
            return e;
    }
    return NULL;
}

static Err *unresolved_error(const CdiCache *c, const Str *names)
{
    if (c->problems.n)
        return err_new(ERR_NOT_FOUND, 0, "unresolvable CDI devices %s (passed over: %s)", names->p, c->problems.p);
    return err_new(ERR_NOT_FOUND, 0, "unresolvable CDI devices %s", names->p);
}

static Err *inject(CdiCache *c, const StrVec *names, json_t *spec)
{
    SCOPED(str_done) Str missing = {0};
    CdiSpec *s = NULL;
    for (size_t i = 0; i < names->n; i++) {
        if (!find_device(c, names->v[i], &s))
            str_fmt(&missing, "%s%s", missing.n ? ", " : "", names->v[i]);
    }
    if (missing.n)
        return unresolved_error(c, &missing);
    Target t = {spec, jobject_at(spec, "process"), jobject_at(spec, "linux")};
    for (size_t i = 0; i < names->n; i++) {
        const json_t *d = find_device(c, names->v[i], &s);
        Err *e = s->used ? NULL : apply(&t, json_object_get(s->root, "containerEdits"));
        s->used = true;
        if (!e)
            e = apply(&t, json_object_get(d, "containerEdits"));
        if (e)
            return err_wrap(e, "CDI device %s", names->v[i]);
    }
    mounts_sort(jarray_at(spec, "mounts"), 0);
    return NULL;
}

Err *cdi_inject(const char *dirs, const StrVec *names, json_t *spec)
{
    CdiCache c = {0};
    load_all(&c, dirs);
    Err *e = inject(&c, names, spec);
    cache_done(&c);
    return e;
}

static Err *add_name(StrVec *names, const char *name)
{
    if (!cdi_name_valid(name))
        return err_new(ERR_INVALID, 0, "invalid CDI device name \"%.128s\": must be vendor.com/class=name", name);
    if (!strvec_has(names, name))
        strvec_add(names, name);
    return NULL;
}

/* ContainerConfig.cdi_devices first, then the values of cdi.k8s.io/ annotations (comma-separated), each once. */
Err *spec_cdi(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    SCOPED(strvec_done) StrVec names = {0};
    Err *e = NULL;
    for (size_t i = 0; i < c->cdi_devices.n && !e; i++)
        e = add_name(&names, c->cdi_devices.v[i]);
    for (size_t i = 0; i < c->annotations.n && !e; i++) {
        if (!str_starts(c->annotations.v[i].key, ANNOTATION))
            continue;
        SCOPED(mem_free) char *list = mem_dup_str(str_or(c->annotations.v[i].value, ""));
        for (char *save = NULL, *n = strtok_r(list, ",", &save); n && !e; n = strtok_r(NULL, ",", &save))
            e = add_name(&names, n);
    }
    if (!e && names.n)
        e = cdi_inject(b->in->cdi_dirs, &names, b->root);
    return e ? err_reason(err_wrap(e, "CDI device injection failed"), REASON_CREATE) : NULL;
}
