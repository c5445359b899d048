/* volumes_priv.h - what the files of this part share. */
#ifndef REPRISE_NODE_VOLUMES_PRIV_H
#define REPRISE_NODE_VOLUMES_PRIV_H

#include "node/atomic_writer.h"
#include "node/volumes.h"

typedef struct VolumeType VolumeType;
typedef struct {
    const VolumesContext *ctx;
    const Volume *vol;
    const VolumeType *type;
    char *path;  /* on the host: what containers get */
    char *ready; /* a file that exists once the volume was made: it is not made anew then */
} VolumeJob;

/* One row a volume source. */
struct VolumeType {
    const char *dir;   /* below pods/<uid>/volumes; NULL: the source says where it lies */
    size_t source;     /* offset of its pointer in Volume */
    bool read_only;    /* containers never write there (the kubelet's Attributes.ReadOnly) */
    bool memory;       /* file-backed: on a tmpfs */
    Err *(*collect)(const VolumeJob *j, Payload *out); /* file-backed: what it shows; NULL = not file-backed */
    Err *(*setup)(const VolumeJob *j);
};
/* NULL if the volume has no source that this agent knows. */
const VolumeType *volume_type(const Volume *v);
const Volume *volume_find(const Pod *p, const char *name);
/* Fills path and ready (both owned by *j); refuses names that are not one path component. */
MUST_USE Err *volume_job_init(VolumeJob *j, const VolumesContext *ctx, const Volume *v);
void volume_job_done(VolumeJob *j);
static inline UNUSED void volume_job_done_at(VolumeJob *j) { volume_job_done(j); }
bool volume_is_ready(const VolumeJob *j);
MUST_USE Err *volume_set_ready(const VolumeJob *j);

/* Names come from manifests; they become parts of paths only after this. */
MUST_USE Err *path_component_check(const char *what, const char *name);
/* <root>/pods/<uid><rest>. Caller frees. */
MUST_USE char *pod_path(const char *root, const char *uid, const char *rest);
const char *pod_namespace(const Pod *p);

/* volume_dirs.c */
MUST_USE Err *empty_dir_setup(const VolumeJob *j);
MUST_USE Err *host_path_setup(const VolumeJob *j);
MUST_USE Err *claim_setup(const VolumeJob *j);
/* A directory as emptyDir makes it, of <medium> and <size_limit> (NULL = none): mode 0777, fsGroup, ready mark. */
MUST_USE Err *volume_dir_make(const VolumeJob *j, const char *medium, const char *size_limit);

/* volume_files.c */
MUST_USE Err *files_setup(const VolumeJob *j);
MUST_USE Err *config_map_collect(const VolumeJob *j, Payload *out);
MUST_USE Err *secret_collect(const VolumeJob *j, Payload *out);
MUST_USE Err *downward_api_collect(const VolumeJob *j, Payload *out);
MUST_USE Err *projected_collect(const VolumeJob *j, Payload *out);

/* volume_owner.c: the kubelet's SetVolumeOwnership (pkg/volume/volume_linux.go). Group <gid>, g+rw (g+r when
 * read-only), directories g+xs. <policy>: NULL, "Always" or "OnRootMismatch". */
MUST_USE Err *volume_set_group(const char *path, int64_t gid, bool read_only, const char *policy);

/* objects beside the Pod, in its namespace; NULL if there is none */
const ConfigMap *ctx_config_map(const VolumesContext *ctx, const char *name);
const Secret *ctx_secret(const VolumesContext *ctx, const char *name);
bool ctx_has_claim(const VolumesContext *ctx, const char *name);
const BytesPair *bytes_get(const BytesMap *m, const char *key);
void ctx_warn(const VolumesContext *ctx, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* env_field.c: value of a resourceFieldRef for <own>, or for the container that it names. */
MUST_USE Err *resource_ref_value(const VolumesContext *ctx, const ResourceFieldSelector *r, const Container *own,
                                 char **ret);

/* env_expand.c */
typedef const char *EnvLookup(void *arg, const char *name, size_t n); /* NULL = unknown */
/* Longest text after expansion. No process could be given more: Linux refuses a string over 128 KiB
 * (MAX_ARG_STRLEN). */
#define ENV_VALUE_MAX ((size_t)1 << 20)
/* false: the result would be longer than ENV_VALUE_MAX; *out then holds what fitted. */
bool env_expand_into(const char *text, EnvLookup *lookup, void *arg, Str *out);

/* Names to values with the order of first mention; setting again replaces the value in place. */
typedef struct { char *name, *value; size_t n_name; } EnvEntry;
typedef struct {
    LIST_OF(EnvEntry) all;
    size_t cap;
    uint32_t *slot; /* index + 1; 0 = free */
    size_t n_slot;  /* power of two */
    size_t bytes;   /* of names and values */
} EnvMap;
void env_map_done(EnvMap *m);
static inline UNUSED void env_map_done_at(EnvMap *m) { env_map_done(m); }
void env_map_set(EnvMap *m, const char *name, size_t n_name, char *value /* taken */);
const char *env_map_get(const EnvMap *m, const char *name, size_t n); /* NULL = unknown */
const char *env_map_lookup(void *arg, const char *name, size_t n);     /* an EnvLookup */
/* From "K=V" strings; later ones win. */
void env_map_load(EnvMap *m, const StrVec *env);

#endif
