/* The environment of a container: pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables. */
#include "node/volumes_priv.h"

/* All of it together; a process gets 2 MiB at most by default (a quarter of the stack limit, execve(2)). */
#define ENV_TOTAL_MAX ((size_t)8 << 20)

/* RelaxedEnvironmentVariableValidation (default since 1.32): printable ASCII but "=". */
static bool is_env_name(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '=')
            return false;
    return true;
}

/* The runtime's configuration is JSON: neither NUL nor broken UTF-8 can be said there, and execve knows no NUL. The
 * kubelet's message to the runtime fails likewise. */
static bool is_utf8(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint8_t c = s[i];
        if (c == 0)
            return false;
        size_t more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xC2) || c > 0xF4 || n - i <= more)
            return false;
        /* Overlong forms, surrogates, above U+10FFFF: the second byte tells. */
        if ((c == 0xE0 && s[i + 1] < 0xA0) || (c == 0xED && s[i + 1] > 0x9F) || (c == 0xF0 && s[i + 1] < 0x90) ||
            (c == 0xF4 && s[i + 1] > 0x8F))
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xC0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

static Err *secret_text(const char *secret, const BytesPair *b, char **ret)
{
    if (!is_utf8(b->bytes, b->n))
        return err_new(ERR_INVALID, 0,
                       "key %s of secret \"%s\" is not text (a NUL or no UTF-8): mount the secret as a volume", b->key,
                       secret);
    *ret = mem_dup_strn((const char *)b->bytes, b->n);
    return NULL;
}

static Err *not_found(const char *kind, const char *name)
{
    return err_new(ERR_NOT_FOUND, 0, "%s \"%s\" not found", kind, str_or(name, ""));
}

/* --- envFrom ---------------------------------------------------------------------------------------------------- */

/* Keys that can be no name are left out, and told of once a source, as the kubelet's event
 * InvalidEnvironmentVariableNames does. */
typedef struct {
    const VolumesContext *ctx;
    EnvMap *map;
    const char *prefix, *kind, *name;
    Str invalid;
} EnvFrom;

static void env_from_put(EnvFrom *f, const char *key, char *value /* taken */)
{
    SCOPED(mem_free) char *name = mem_fmt("%s%s", f->prefix, key);
    if (is_env_name(name)) {
        env_map_set(f->map, name, strlen(name), value);
        return;
    }
    free(value);
    str_fmt(&f->invalid, "%s%s", f->invalid.n ? ", " : "", name);
}

static Err *env_from_config_map(EnvFrom *f, const NameSource *src)
{
    const ConfigMap *c = ctx_config_map(f->ctx, src->name);
    if (!c)
        return src->optional.v ? NULL : not_found("configmap", src->name);
    LIST_EACH(p, &c->data)
        env_from_put(f, p->key, mem_dup_str(str_or(p->value, "")));
    return NULL;
}

static Err *env_from_secret(EnvFrom *f, const NameSource *src)
{
    const Secret *s = ctx_secret(f->ctx, src->name);
    if (!s)
        return src->optional.v ? NULL : not_found("secret", src->name);
    LIST_EACH(p, &s->data) {
        char *text = NULL;
        Err *e = secret_text(src->name, p, &text);
        if (e)
            return e;
        env_from_put(f, p->key, text);
    }
    return NULL;
}

static Err *env_from(const VolumesContext *ctx, const EnvFromSource *src, EnvMap *map)
{
    EnvFrom f = {.ctx = ctx, .map = map, .prefix = str_or(src->prefix, "")};
    Err *e = NULL;
    if (src->config_map_ref) {
        f.kind = "configMap";
        f.name = src->config_map_ref->name;
        e = env_from_config_map(&f, src->config_map_ref);
    } else if (src->secret_ref) {
        f.kind = "secret";
        f.name = src->secret_ref->name;
        e = env_from_secret(&f, src->secret_ref);
    }
    if (f.invalid.n)
        ctx_warn(ctx,
                 "Keys [%s] from the EnvFrom %s %s/%s were skipped since they are considered invalid environment "
                 "variable names.",
                 f.invalid.p, f.kind, pod_namespace(ctx->pod), f.name);
    str_done(&f.invalid);
    return e;
}

/* --- env -------------------------------------------------------------------------------------------------------- */

/* *ret NULL: an optional source is missing, and the variable is left as it was. */
static Err *config_map_key(const VolumesContext *ctx, const KeySelector *k, char **ret)
{
    const ConfigMap *c = ctx_config_map(ctx, k->name);
    if (!c)
        return k->optional.v ? NULL : not_found("configmap", k->name);
    const char *value = strmap_get(&c->data, str_or(k->key, ""));
    if (!value && !k->optional.v)
        return err_new(ERR_NOT_FOUND, 0, "couldn't find key %s in ConfigMap %s/%s", str_or(k->key, ""),
                       pod_namespace(ctx->pod), k->name);
    *ret = mem_dup_str(value);
    return NULL;
}

static Err *secret_key(const VolumesContext *ctx, const KeySelector *k, char **ret)
{
    const Secret *s = ctx_secret(ctx, k->name);
    if (!s)
        return k->optional.v ? NULL : not_found("secret", k->name);
    const BytesPair *b = bytes_get(&s->data, k->key);
    if (!b)
        return k->optional.v ? NULL
                             : err_new(ERR_NOT_FOUND, 0, "couldn't find key %s in Secret %s/%s", str_or(k->key, ""),
                                       pod_namespace(ctx->pod), k->name);
    return secret_text(k->name, b, ret);
}

typedef struct {
    const VolumesContext *ctx;
    const Container *c;
    const char *pod_ip;
    const StrList *pod_ips;
} EnvInput;

static Err *source_value(const EnvInput *in, const EnvVarSource *src, char **ret)
{
    if (src->field_ref)
        return field_ref_value(in->ctx, src->field_ref->field_path, in->pod_ip, in->pod_ips, ret);
    if (src->resource_field_ref)
        return resource_ref_value(in->ctx, src->resource_field_ref, in->c, ret);
    if (src->config_map_key_ref)
        return config_map_key(in->ctx, src->config_map_key_ref, ret);
    if (src->secret_key_ref)
        return secret_key(in->ctx, src->secret_key_ref, ret);
    if (src->file_key_ref)
        return err_new(ERR_UNSUPPORTED, 0, "fileKeyRef is not supported by reprise");
    *ret = mem_dup_str("");
    return NULL;
}

static Err *env_var(const EnvInput *in, const EnvVar *v, EnvMap *map)
{
    char *value = NULL;
    if (!str_empty(v->value)) {
        Str s = {0};
        bool fits = env_expand_into(v->value, env_map_lookup, map, &s);
        value = str_take(&s);
        if (!fits) {
            free(value);
            return err_new(ERR_LIMIT, 0, "environment variable %s is longer than %zu bytes", v->name, ENV_VALUE_MAX);
        }
    } else if (v->value_from) {
        Err *e = source_value(in, v->value_from, &value);
        if (e || !value)
            return e;
    } else {
        value = mem_dup_str("");
    }
    env_map_set(map, v->name, strlen(v->name), value);
    return NULL;
}

Err *env_resolve(const VolumesContext *ctx, const Container *c, const char *pod_ip, const StrList *pod_ips, StrVec *out)
{
    SCOPED(env_map_done) EnvMap map = {0};
    EnvInput in = {ctx, c, pod_ip, pod_ips};
    Err *e = NULL;
    for (size_t i = 0; !e && i < c->env_from.n; i++)
        e = env_from(ctx, &c->env_from.v[i], &map);
    for (size_t i = 0; !e && i < c->env.n; i++) {
        if (str_empty(c->env.v[i].name) || strchr(c->env.v[i].name, '='))
            e = err_new(ERR_INVALID, 0, "\"%s\" is no name for an environment variable", str_or(c->env.v[i].name, ""));
        else
            e = env_var(&in, &c->env.v[i], &map);
        if (!e && map.bytes > ENV_TOTAL_MAX)
            e = err_new(ERR_LIMIT, 0, "the environment of container %s is larger than %zu bytes", c->name,
                        ENV_TOTAL_MAX);
    }
    if (e)
        return err_reason(e, "CreateContainerConfigError");
    LIST_EACH(v, &map.all)
        strvec_fmt(out, "%s=%s", v->name, v->value);
    return NULL;
}
