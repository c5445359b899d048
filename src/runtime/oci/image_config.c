/* What image archives say: OCI indexes, manifests and configs, Docker's manifest lists and manifest.json. All of it is
 * untrusted: types are checked, counts are bounded, and every digest is checked before it becomes a file name. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "runtime/oci/image_priv.h"

#define DESCRIPTOR_MAX IMAGE_MAX_MANIFESTS
#define LIST_MAX       65536 /* strings of a config's list: the command line cannot be longer either */

void image_descriptors_done(ImageDescriptors *d)
{
    for (size_t i = 0; i < d->n; i++) {
        ImageDescriptor *x = &d->v[i];
        free(x->digest);
        free(x->media_type);
        free(x->ref_name);
        free(x->os);
        free(x->architecture);
        free(x->variant);
    }
    free(d->v);
    *d = (ImageDescriptors){0};
}

void image_manifest_done(ImageManifest *m)
{
    free(m->config_digest);
    free(m->config_path);
    strvec_done(&m->layers);
    strvec_done(&m->refs);
    *m = (ImageManifest){0};
}

void image_free(Image *i)
{
    if (!i)
        return;
    char *const strings[] = {i->id, i->digest, i->architecture, i->os, i->user, i->working_dir, i->stop_signal};
    for (size_t k = 0; k < ARRAY_LEN(strings); k++)
        free(strings[k]);
    StrVec *const lists[] = {&i->digests, &i->refs, &i->entrypoint, &i->cmd, &i->env, &i->volumes, &i->layer_dirs};
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        strvec_done(lists[k]);
    free(i);
}

/* --- strings and lists out of JSON ------------------------------------------------------------------------------- */

/* A string member; absent and null give NULL. */
static Err *member_str(const json_t *o, const char *key, char **ret)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_null(v) && !json_is_string(v))
        return err_new(ERR_INVALID, 0, "%s: not a string", key);
    *ret = mem_dup_str(json_string_value(v));
    return NULL;
}

/* A list of strings; absent and null give none. Docker also wrote a single string there once. */
static Err *member_list(const json_t *o, const char *key, StrVec *ret)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_string(v)) {
        strvec_add(ret, json_string_value(v));
        return NULL;
    }
    if (v && !json_is_null(v) && !json_is_array(v))
        return err_new(ERR_INVALID, 0, "%s: not a list of strings", key);
    if (json_array_size(v) > LIST_MAX)
        return err_new(ERR_LIMIT, 0, "%s: %zu entries; at most %d are possible", key, json_array_size(v), LIST_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));
        if (!s)
            return err_new(ERR_INVALID, 0, "%s[%zu]: not a string", key, i);
        strvec_add(ret, s);
    }
    return NULL;
}

static Err *member_digest(const json_t *o, const char *key, char **ret)
{
    SCOPED(mem_free) char *s = NULL;
    Err *e = member_str(o, key, &s);
    if (e)
        return e;
    if (!s)
        return err_new(ERR_INVALID, 0, "%s: missing", key);
    e = digest_check(s);
    if (e)
        return e;
    *ret = MOVE(s, NULL);
    return NULL;
}

static Err *parse_object(const char *text, size_t n, json_t **ret)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = json_parse(text, n, &j);
    if (e)
        return e;
    if (!json_is_object(j))
        return err_new(ERR_INVALID, 0, "not a JSON object");
    *ret = MOVE(j, NULL);
    return NULL;
}

/* --- index ------------------------------------------------------------------------------------------------------- */

static bool is_index_type(const char *media_type)
{
    return str_eq(media_type, "application/vnd.oci.image.index.v1+json") ||
           str_eq(media_type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

/* A name that the archive gives; a bare tag ("latest", "1.0") names nothing and is left out. */
static char *annotated_name(const json_t *annotations)
{
    const char *full = json_str(annotations, "io.containerd.image.name");
    const char *name = full ? full : json_str(annotations, "org.opencontainers.image.ref.name");
    return name && *name && (full || strpbrk(name, "/:")) ? mem_dup_str(name) : NULL;
}

static Err *parse_descriptor(const json_t *j, ImageDescriptor *d)
{
    if (!json_is_object(j))
        return err_new(ERR_INVALID, 0, "not an object");
    Err *e = member_digest(j, "digest", &d->digest);
    if (e)
        return e;
    const json_t *platform = json_object_get(j, "platform");
    const json_t *annotations = json_object_get(j, "annotations");
    d->media_type = mem_dup_str(str_or(json_str(j, "mediaType"), ""));
    d->is_index = is_index_type(d->media_type);
    d->ref_name = annotated_name(annotations);
    d->os = mem_dup_str(json_str(platform, "os"));
    d->architecture = mem_dup_str(json_str(platform, "architecture"));
    d->variant = mem_dup_str(json_str(platform, "variant"));
    /* BuildKit keeps provenance and SBOM as manifests of no platform. */
    d->is_attestation = str_eq(json_str(annotations, "vnd.docker.reference.type"), "attestation-manifest") ||
                        (str_eq(d->os, "unknown") && str_eq(d->architecture, "unknown"));
    return NULL;
}

Err *image_parse_index(const char *text, size_t n, ImageDescriptors *ret)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = parse_object(text, n, &j);
    if (e)
        return e;
    const json_t *manifests = json_object_get(j, "manifests");
    if (!json_is_array(manifests))
        return err_new(ERR_INVALID, 0, "manifests: not a list");
    if (json_array_size(manifests) > DESCRIPTOR_MAX)
        return err_new(ERR_LIMIT, 0, "manifests: %zu entries; at most %d are read", json_array_size(manifests),
                       DESCRIPTOR_MAX);
    SCOPED(image_descriptors_done) ImageDescriptors d = {0};
    d.v = mem_alloc_n(json_array_size(manifests), sizeof *d.v);
    for (size_t i = 0; i < json_array_size(manifests); i++) {
        e = parse_descriptor(json_array_get(manifests, i), &d.v[d.n++]);
        if (e)
            return err_wrap(e, "manifests[%zu]", i);
    }
    *ret = MOVE(d, (ImageDescriptors){0});
    return NULL;
}

/* --- manifests --------------------------------------------------------------------------------------------------- */

/* Media types of layers that hold a tar; a suffix (+gzip, +zstd, .gzip) says how it is packed, which
 * we see ourselves. */
static bool is_layer_type(const char *t)
{
    static const char *const prefixes[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    };
    static const char *const suffixes[] = {"", "+gzip", "+zstd", ".gzip", ".zstd"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        for (size_t k = 0; str_starts(t, prefixes[i]) && k < ARRAY_LEN(suffixes); k++)
            if (str_eq(t + strlen(prefixes[i]), suffixes[k]))
                return true;
    return !*t;
}

static Err *check_n_layers(size_t n)
{
    return n > IMAGE_MAX_LAYERS
               ? err_new(ERR_LIMIT, 0, "%zu layers; at most %d can be stacked: squash the image", n, IMAGE_MAX_LAYERS)
               : NULL;
}

Err *image_parse_manifest(const char *text, size_t n, ImageManifest *ret)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = parse_object(text, n, &j);
    if (e)
        return e;
    if (json_i64(j, "schemaVersion", 2) == 1)
        return err_new(ERR_UNSUPPORTED, 0,
                       "Docker manifest of schema 1, obsolete since 2017; convert it with skopeo copy --format=oci");
    const json_t *layers = json_object_get(j, "layers");
    if (!json_is_object(json_object_get(j, "config")) || !json_is_array(layers))
        return err_new(ERR_INVALID, 0, "not an image manifest: config or layers missing");
    e = check_n_layers(json_array_size(layers));
    if (e)
        return e;
    SCOPED(image_manifest_done) ImageManifest m = {0};
    e = member_digest(json_object_get(j, "config"), "digest", &m.config_digest);
    if (e)
        return err_wrap(e, "config");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *layer = json_array_get(layers, i);
        const char *type = str_or(json_str(layer, "mediaType"), "");
        char *digest = NULL;
        e = member_digest(layer, "digest", &digest);
        if (e)
            return err_wrap(e, "layers[%zu]", i);
        strvec_add_take(&m.layers, digest);
        if (!is_layer_type(type))
            return err_new(ERR_UNSUPPORTED, 0, "layers[%zu]: media type %.100s is not a layer of files", i, type);
    }
    *ret = MOVE(m, (ImageManifest){0});
    return NULL;
}

static Err *parse_docker_entry(const json_t *j, ImageManifest *m)
{
    if (!json_is_object(j))
        return err_new(ERR_INVALID, 0, "not an object");
    Err *e = member_str(j, "Config", &m->config_path);
    if (!e && !m->config_path)
        e = err_new(ERR_INVALID, 0, "Config: missing");
    if (!e)
        e = member_list(j, "Layers", &m->layers);
    if (!e)
        e = check_n_layers(m->layers.n);
    if (!e)
        e = member_list(j, "RepoTags", &m->refs);
    return e;
}

Err *image_parse_docker(const char *text, size_t n, ImageManifest **ret, size_t *ret_n)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = json_parse(text, n, &j);
    if (e)
        return e;
    if (!json_is_array(j) || json_array_size(j) == 0)
        return err_new(ERR_INVALID, 0, "not a list of images");
    if (json_array_size(j) > IMAGE_MAX_MANIFESTS)
        return err_new(ERR_LIMIT, 0, "%zu images; at most %d are read", json_array_size(j), IMAGE_MAX_MANIFESTS);
    size_t count = json_array_size(j);
    ImageManifest *v = mem_alloc_n(count, sizeof *v);
    for (size_t i = 0; i < count && !e; i++) {
        e = parse_docker_entry(json_array_get(j, i), &v[i]);
        if (e)
            e = err_wrap(e, "[%zu]", i);
    }
    if (e) {
        for (size_t i = 0; i < count; i++)
            image_manifest_done(&v[i]);
        free(v);
        return e;
    }
    *ret = v;
    *ret_n = count;
    return NULL;
}

/* --- config ------------------------------------------------------------------------------------------------------ */

static Err *parse_run_config(const json_t *c, Image *img)
{
    if (c && !json_is_null(c) && !json_is_object(c))
        return err_new(ERR_INVALID, 0, "not an object");
    const struct {
        const char *key;
        StrVec *list;
    } lists[] = {{"Entrypoint", &img->entrypoint}, {"Cmd", &img->cmd}, {"Env", &img->env}};
    const struct {
        const char *key;
        char **dst;
    } strings[] = {{"User", &img->user}, {"WorkingDir", &img->working_dir}, {"StopSignal", &img->stop_signal}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        Err *e = member_list(c, lists[i].key, lists[i].list);
        if (e)
            return e;
    }
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        Err *e = member_str(c, strings[i].key, strings[i].dst);
        if (e)
            return e;
        if (str_empty(*strings[i].dst))
            mem_set_str(strings[i].dst, NULL);
    }
    const json_t *volumes = json_object_get(c, "Volumes");
    if (volumes && !json_is_null(volumes) && !json_is_object(volumes))
        return err_new(ERR_INVALID, 0, "Volumes: not an object");
    if (json_object_size(volumes) > LIST_MAX)
        return err_new(ERR_LIMIT, 0, "Volumes: %zu entries", json_object_size(volumes));
    const char *path;
    json_t *nothing;
    json_t *mutable_volumes = json_object_get(c, "Volumes"); /* jansson's loop wants it so */
    json_object_foreach(mutable_volumes, path, nothing) strvec_add(&img->volumes, path);
    return NULL;
}

static Err *parse_diff_ids(const json_t *j, StrVec *ret)
{
    Err *e = member_list(json_object_get(j, "rootfs"), "diff_ids", ret);
    if (!e)
        e = check_n_layers(ret->n);
    for (size_t i = 0; i < ret->n && !e; i++)
        e = digest_check(ret->v[i]);
    return e ? err_wrap(e, "rootfs") : NULL;
}

Err *image_parse_config(const char *text, size_t n, Image *img, StrVec *ret_diff_ids)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = parse_object(text, n, &j);
    if (!e)
        e = member_str(j, "os", &img->os);
    if (!e)
        e = member_str(j, "architecture", &img->architecture);
    if (!e && img->os && *img->os && !str_eq(img->os, "linux"))
        e = err_new(ERR_UNSUPPORTED, 0, "image for %.50s; only linux images can run here", img->os);
    if (e)
        return e;
    img->created_ns = NS_NONE;
    const char *created = json_str(j, "created");
    if (created && !clock_parse(created, &img->created_ns))
        img->created_ns = NS_NONE; /* Go's zero time and the like: shown as unknown */
    e = parse_run_config(json_object_get(j, "config"), img);
    if (e)
        return err_wrap(e, "config");
    return parse_diff_ids(j, ret_diff_ids);
}

/* --- platforms --------------------------------------------------------------------------------------------------- */

/* uname(2)'s machine -> GOARCH and, for arm, the best variant. */
static const struct {
    const char *machine, *goarch, *variant;
} machines[] = {
    {"x86_64", "amd64", "v1"},
    {"aarch64", "arm64", "v8"},
    {"armv7l", "arm", "v7"},
    {"armv6l", "arm", "v6"},
    {"i686", "386", NULL},
    {"i586", "386", NULL},
    {"ppc64le", "ppc64le", NULL},
    {"s390x", "s390x", NULL},
    {"riscv64", "riscv64", NULL},
    {"mips64", "mips64le", NULL},
    {"loongarch64", "loong64", NULL},
};

static size_t this_machine(void)
{
    struct utsname u;
    if (uname(&u) == 0)
        for (size_t i = 0; i < ARRAY_LEN(machines); i++)
            if (str_eq(machines[i].machine, u.machine))
                return i;
    return 0;
}

const char *image_host_architecture(void)
{
    return machines[this_machine()].goarch;
}

unsigned image_platform_score(const char *os, const char *architecture, const char *variant)
{
    if (os && *os && !str_eq(os, "linux"))
        return 0;
    if (str_empty(architecture))
        return 1; /* an index that says nothing */
    const char *mine = machines[this_machine()].variant;
    if (!str_eq(architecture, image_host_architecture()))
        return 0;
    if (str_empty(variant))
        return 3;
    if (str_eq(variant, mine))
        return 4;
    /* A lower variant runs on a higher machine ("v6" on v7), not the other way about. */
    return mine && strcmp(variant, mine) < 0 ? 2 : 0;
}
