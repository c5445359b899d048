/* pull_auth.h - which credentials an image is pulled with, by the kubelet's rules (pkg/credentialprovider, Kubernetes 1.35):
 * those of the Pod's imagePullSecrets first, then those of the node's own docker config file. All that fit are candidates, and the
 * runtime tries them in turn (runtime/image_auth.h).
 *
 * A key of a config names a registry, as "host[:port][/path]" with or without http(s)://; each part of the host between dots is a
 * glob, the port is the same, the path is the beginning of the image's. The longer of two keys with the same beginning goes first.
 * Docker Hub's key is https://index.docker.io/v1/. */
#ifndef REPRISE_NODE_PULL_AUTH_H
#define REPRISE_NODE_PULL_AUTH_H

#include "api/objects.h"
#include "base/err.h"
#include "runtime/image_auth.h"

/* --- rules; pure -------------------------------------------------------------------------------------------------------- */

typedef struct { char *key; ImageAuth auth; } KeyringEntry;
/* What some configs say; {0} is empty. */
typedef struct { LIST_OF(KeyringEntry) entries; } Keyring;
void keyring_done(Keyring *k);
static inline UNUSED void keyring_done_at(Keyring *k) { keyring_done(k); }

/* DOCKERCFG is the old form, which has the registries at the top: {"host": {"auth": ...}}; CONFIG_JSON has them below "auths". */
typedef enum { DOCKER_CONFIG_JSON, DOCKER_DOCKERCFG } DockerConfigForm;
/* Adds all of a config, or nothing: ERR_INVALID names the field, and never shows what stands there. A key that is no URL is left
 * out, as by the kubelet. */
MUST_USE Err *keyring_add_config(Keyring *k, DockerConfigForm form, const char *text, size_t n);
/* Appends what fits <repository>: "host/path" without a tag. */
void keyring_lookup(const Keyring *k, const char *repository, ImageAuthList *out);
/* URLsMatchStr(): may credentials for <glob> be shown to <target>? Both without a scheme. */
bool keyring_key_matches(const char *glob, const char *target);

/* --- a Pod's candidates ------------------------------------------------------------------------------------------------- */

/* Where a docker config is looked for; any may be NULL. */
typedef struct {
    const char *root;          /* the agent's state directory, as the kubelet's --root-dir */
    const char *docker_config; /* $DOCKER_CONFIG: a directory */
    const char *home;          /* $HOME */
} DockerConfigPlaces;
DockerConfigPlaces docker_config_places(const char *root); /* the rest from the environment */

/* The first file that can be read and is right: <root>/config.json, <docker_config>/config.json or else <home>/.docker/config.json,
 * /.docker/config.json, and then .dockercfg in <root>, <home> and /. None of them: nothing is added. Each that is there but broken
 * is passed over with a line in <warnings>. */
void keyring_add_node(Keyring *k, const DockerConfigPlaces *places, StrVec *warnings);

typedef struct {
    ImageAuthList auths;
    StrVec missing;  /* names in imagePullSecrets that no Secret has */
    StrVec warnings; /* lines about the node's own files */
} PullAuth;
void pull_auth_done(PullAuth *p);
static inline UNUSED void pull_auth_done_at(PullAuth *p) { pull_auth_done(p); }

/* <pod> and <objects> may be NULL: the node's credentials alone. Reads small files. Reason InvalidImageName: <image> is none;
 * ErrImagePull: a secret is broken, which is not passed over, for a pull without it could take another image for the right one.
 * <ret> ({0}) is to be done in any case. */
MUST_USE Err *pull_auth_find(const Pod *pod, const Objects *objects, const DockerConfigPlaces *places, const char *image,
                             PullAuth *ret);

#endif
