/* A Pod's candidates: its secrets, then the node's own docker config. What is read here goes to the rules of pull_auth.c. */
#include "node/pull_auth.h"

#include "node/volumes_priv.h"
#include "os/fs.h"
#include "runtime/oci/image.h"

#define CONFIG_MAX ((size_t)4 << 20) /* json_parse() takes no more; the kubelet reads any size */

void pull_auth_done(PullAuth *p)
{
    image_auths_done(&p->auths);
    strvec_done(&p->missing);
    strvec_done(&p->warnings);
}

/* --- the node's own files ------------------------------------------------------------------------------------------------ */

DockerConfigPlaces docker_config_places(const char *root)
{
    return (DockerConfigPlaces){.root = root, .docker_config = getenv("DOCKER_CONFIG"), .home = str_or(getenv("HOME"), "/root")};
}

/* false: look further. */
static bool add_file(Keyring *k, DockerConfigForm form, const char *dir, const char *name, StrVec *warnings)
{
    if (str_empty(dir))
        return false;
    SCOPED(mem_free) char *path = mem_fmt("%s%s%s", dir, str_ends(dir, "/") ? "" : "/", name);
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, CONFIG_MAX, &text);
    if (!e) {
        e = keyring_add_config(k, form, str_or(text.p, ""), text.n);
        if (!e)
            return true;
        e = err_wrap(e, "%s", path);
    }
    if (e->kind != ERR_NOT_FOUND) {
        SCOPED(mem_free) char *why = err_text(e);
        strvec_fmt(warnings, "Ignoring a docker config file: %s", why);
    }
    err_free(e);
    return false;
}

void keyring_add_node(Keyring *k, const DockerConfigPlaces *places, StrVec *warnings)
{
    SCOPED(mem_free) char *home_docker = str_empty(places->home) ? NULL : mem_fmt("%s/.docker", places->home);
    const char *own = str_empty(places->docker_config) ? home_docker : places->docker_config;
    const struct {
        DockerConfigForm form;
        const char *dir, *name;
    } files[] = {
        {DOCKER_CONFIG_JSON, places->root, "config.json"}, {DOCKER_CONFIG_JSON, own, "config.json"},
        {DOCKER_CONFIG_JSON, "/.docker", "config.json"},   {DOCKER_DOCKERCFG, places->root, ".dockercfg"},
        {DOCKER_DOCKERCFG, places->home, ".dockercfg"},    {DOCKER_DOCKERCFG, "/", ".dockercfg"},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (add_file(k, files[i].form, files[i].dir, files[i].name, warnings))
            return;
}

/* --- the Pod's secrets --------------------------------------------------------------------------------------------------- */

/* A secret of another type, or without its key, says nothing (secrets.go, secretsToTrackedDockerConfigs). */
static Err *add_secret(Keyring *k, const Secret *s)
{
    static const struct {
        const char *type, *key;
        DockerConfigForm form;
    } types[] = {
        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson", DOCKER_CONFIG_JSON},
        {"kubernetes.io/dockercfg", ".dockercfg", DOCKER_DOCKERCFG},
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const BytesPair *b = str_eq(s->type, types[i].type) ? bytes_get(&s->data, types[i].key) : NULL;
        if (!b || !b->n)
            continue;
        Err *e = keyring_add_config(k, types[i].form, (const char *)b->bytes, b->n);
        return e ? err_reason(err_wrap(e, "image pull secret \"%s\": %s", s->metadata.name, types[i].key), "ErrImagePull") : NULL;
    }
    return NULL;
}

static Err *add_secrets(Keyring *k, const Pod *pod, const Objects *objects, StrVec *missing)
{
    VolumesContext ctx = {.pod = pod, .objects = objects};
    LIST_EACH(ref, &pod->spec.image_pull_secrets) {
        if (str_empty(ref->name)) /* was valid once: getPullSecretsForPod passes it over */
            continue;
        const Secret *s = ctx_secret(&ctx, ref->name);
        Err *e = s ? add_secret(k, s) : NULL;
        if (e)
            return e;
        if (!s)
            strvec_add(missing, ref->name);
    }
    return NULL;
}

/* "docker.io/library/busybox" of "busybox:1": what keys are compared with. */
static Err *repository_of(const char *image, char **ret)
{
    SCOPED(mem_free) char *normal = NULL;
    Err *e = image_ref_normalize(image, &normal);
    if (e)
        return e;
    char *tag = strrchr(strrchr(normal, '/'), ':'), *digest = strchr(normal, '@');
    *(digest ? digest : tag) = '\0';
    *ret = MOVE(normal, NULL);
    return NULL;
}

Err *pull_auth_find(const Pod *pod, const Objects *objects, const DockerConfigPlaces *places, const char *image, PullAuth *ret)
{
    SCOPED(mem_free) char *repository = NULL;
    SCOPED(keyring_done) Keyring secrets = {0}, node = {0};
    Err *e = repository_of(image, &repository);
    if (!e && pod)
        e = add_secrets(&secrets, pod, objects, &ret->missing);
    if (e)
        return e;
    keyring_add_node(&node, places, &ret->warnings);
    keyring_lookup(&secrets, repository, &ret->auths);
    keyring_lookup(&node, repository, &ret->auths);
    return NULL;
}
