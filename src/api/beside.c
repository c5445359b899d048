/* beside.c - the objects that stand beside a Pod: ConfigMap, Secret, PersistentVolumeClaim. */
#include "api/quantity.h"
#include "api/validate_priv.h"
#include "wire/json.h"

#define MAX_DATA (1u << 20) /* core.MaxSecretSize; a ConfigMap's total is the same */

static const BytesPair *bytes_get(const BytesMap *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].key, key) == 0)
            return &m->v[i];
    return NULL;
}

static bool has_bytes(const BytesMap *m, const char *key)
{
    return bytes_get(m, key) != NULL;
}

void config_map_validate(const ConfigMap *c, Report *r)
{
    size_t total = 0;
    check_meta(r, &c->metadata, true);
    LIST_EACH(d, &c->data) {
        const Path *at = AT_KEY(CHILD(NULL, "data"), d->key);
        v_config_key(r, at, d->key);
        if (has_bytes(&c->binary_data, d->key))
            v_invalid(r, at, d->key, "duplicate of key present in binaryData");
        total += strlen(d->value);
    }
    LIST_EACH(d, &c->binary_data) {
        v_config_key(r, AT_KEY(CHILD(NULL, "binaryData"), d->key), d->key);
        total += d->n;
    }
    if (total > MAX_DATA)
        v_too_long(r, NULL, MAX_DATA);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const BytesPair *)a)->key, ((const BytesPair *)b)->key);
}

void secret_default(Secret *s)
{
    if (str_empty(s->api_version))
        mem_set_str(&s->api_version, "v1");
    if (str_empty(s->kind))
        mem_set_str(&s->kind, "Secret");
    if (str_empty(s->type))
        mem_set_str(&s->type, "Opaque");
    size_t n = s->data.n;
    LIST_EACH(p, &s->string_data) {
        /* stringData wins over data of the same key. */
        BytesPair *d = NULL;
        for (size_t i = 0; i < n && !d; i++)
            d = strcmp(s->data.v[i].key, p->key) == 0 ? &s->data.v[i] : NULL;
        if (!d) {
            d = LIST_ADD(&s->data);
            d->key = mem_dup_str(p->key);
        }
        free(d->bytes);
        d->n = strlen(p->value);
        d->bytes = mem_dup(p->value, d->n);
    }
    if (s->data.n)
        qsort(s->data.v, s->data.n, sizeof *s->data.v, by_key);
    LIST_EACH(p, &s->string_data) {
        free(p->key);
        free(p->value);
    }
    free(s->string_data.v);
    s->string_data = (StrMap){0};
}

static void need_key(const Secret *s, Report *r, const char *key)
{
    if (!has_bytes(&s->data, key))
        v_required(r, AT_KEY(CHILD(NULL, "data"), key), NULL);
}

static const char *go_kind(const json_t *j)
{
    return json_is_array(j) ? "array" : json_is_string(j) ? "string" : json_is_boolean(j) ? "bool" : "number";
}

/* An object, as json.Unmarshal into a map takes it: null is one too. */
static void need_json(const Secret *s, Report *r, const char *key)
{
    const BytesPair *p = bytes_get(&s->data, key);
    json_t *j = NULL;
    need_key(s, r, key);
    if (!p)
        return;
    const Path *at = AT_KEY(CHILD(NULL, "data"), key);
    Err *e = json_parse(p->n ? (const char *)p->bytes : "", p->n, &j);
    SCOPED(mem_free) char *why = e || json_is_object(j) || json_is_null(j)
                                     ? NULL
                                     : mem_fmt("json: cannot unmarshal %s into Go value of type map[string]interface {}", go_kind(j));
    if (e || why)
        v_invalid(r, at, "<secret contents redacted>", "%s", e ? "invalid JSON" : why);
    err_free(e);
    json_decref(j);
}

static void check_secret_type(const Secret *s, Report *r)
{
    const char *type = str_or(s->type, "");
    if (strcmp(type, "kubernetes.io/dockercfg") == 0) {
        need_json(s, r, ".dockercfg");
    } else if (strcmp(type, "kubernetes.io/dockerconfigjson") == 0) {
        need_json(s, r, ".dockerconfigjson");
    } else if (strcmp(type, "kubernetes.io/basic-auth") == 0) {
        if (!has_bytes(&s->data, "username") && !has_bytes(&s->data, "password")) {
            need_key(s, r, "username");
            need_key(s, r, "password");
        }
    } else if (strcmp(type, "kubernetes.io/ssh-auth") == 0) {
        need_key(s, r, "ssh-privatekey");
    } else if (strcmp(type, "kubernetes.io/tls") == 0) {
        need_key(s, r, "tls.crt");
        need_key(s, r, "tls.key");
    } else if (strcmp(type, "kubernetes.io/service-account-token") == 0 &&
               str_empty(strmap_get(&s->metadata.annotations, "kubernetes.io/service-account.name"))) {
        v_required(r, AT_KEY(CHILD(CHILD(NULL, "metadata"), "annotations"), "kubernetes.io/service-account.name"), NULL);
    }
}

void secret_validate(const Secret *s, Report *r)
{
    size_t total = 0;
    check_meta(r, &s->metadata, true);
    LIST_EACH(d, &s->data) {
        v_config_key(r, AT_KEY(CHILD(NULL, "data"), d->key), d->key);
        total += d->n;
    }
    if (total > MAX_DATA)
        v_too_long(r, CHILD(NULL, "data"), MAX_DATA);
    check_secret_type(s, r);
}

static void check_access_modes(Report *r, const Path *spec, const json_t *modes)
{
    static const char *const known[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"};
    const Path *at = CHILD(spec, "accessModes");
    if (!json_array_size(modes)) {
        v_required(r, at, "at least 1 access mode is required");
        return;
    }
    bool alone = false;
    size_t i;
    json_t *mode;
    json_array_foreach(modes, i, mode)
    {
        v_one_of(r, at, json_string_value(mode), known, ARRAY_LEN(known));
        alone = alone || str_eq(json_string_value(mode), "ReadWriteOncePod");
    }
    if (alone && json_array_size(modes) > 1)
        v_forbidden(r, at, "may not use ReadWriteOncePod with other access modes");
}

static void check_storage(Report *r, const Path *spec, const json_t *resources)
{
    const Path *at = AT_KEY(CHILD(spec, "resources"), "storage");
    const json_t *storage = json_object_get(json_object_get(resources, "requests"), "storage");
    if (!storage) {
        v_required(r, at, NULL);
        return;
    }
    SCOPED(mem_free) char *text = json_is_string(storage) ? mem_dup_str(json_string_value(storage)) : json_text(storage, false);
    SCOPED(mem_free) char *canonical = quantity_canonical(text);
    if (!canonical)
        v_invalid(r, at, text,
                  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    else if (quantity_cmp(text, "0") <= 0)
        v_invalid(r, at, canonical, "must be greater than zero");
}

void pvc_validate(const PersistentVolumeClaim *c, Report *r)
{
    const Path *spec = CHILD(NULL, "spec");
    check_meta(r, &c->metadata, true);
    SCOPED(json_unref) json_t *j = c->spec ? json_loads(c->spec, JSON_DECODE_ANY, NULL) : NULL;
    if (j && !json_is_object(j)) {
        v_invalid(r, spec, c->spec, "must be an object");
        return;
    }
    check_access_modes(r, spec, json_object_get(j, "accessModes"));
    check_storage(r, spec, json_object_get(j, "resources"));
    if (str_eq(json_str(j, "volumeMode"), "Block"))
        v_forbidden(r, CHILD(spec, "volumeMode"),
                    "block volumes are not supported by reprise: use a hostPath volume of type BlockDevice");
}
