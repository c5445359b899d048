/* image_priv.h - what the files of the image store share; never leaves this folder (and its tests). */
#ifndef REPRISE_RUNTIME_OCI_IMAGE_PRIV_H
#define REPRISE_RUNTIME_OCI_IMAGE_PRIV_H

#include <sys/types.h>

#include "os/fs.h"
#include <sys/stat.h>

#include "runtime/oci/image.h"
#include "runtime/oci/layer.h"

/* Bounds of what is read from outside, before memory is taken for it. json_parse() takes no more than 4 MiB either. */
#define IMAGE_MAX_JSON        ((size_t)4 << 20)
#define IMAGE_MAX_INDEX_DEPTH 4    /* an index within an index ... */
#define IMAGE_MAX_MANIFESTS   1024 /* looked at, in all indexes of one archive */

/* --- references (image_ref.c) ------------------------------------------------------------------------------------ */

typedef struct {
    char *domain, *path; /* "docker.io", "library/busybox" */
    char *tag, *digest;  /* as given; NULL = none */
} ImageRef;
void image_ref_done(ImageRef *r);
static inline UNUSED void image_ref_done_at(ImageRef *r)
{
    image_ref_done(r);
}
MUST_USE Err *image_ref_parse(const char *ref, ImageRef *ret);
bool image_is_hex(const char *s, size_t n); /* n > 0 lower-case hex digits */

/* --- what archives say (image_config.c); pure, fuzzed ------------------------------------------------------------- */

typedef struct {
    char *digest, *media_type;         /* media_type "" = not said */
    char *ref_name;                    /* org.opencontainers.image.ref.name or io.containerd.image.name; NULL = none */
    char *os, *architecture, *variant; /* NULL = no platform said */
    bool is_index, is_attestation;
} ImageDescriptor;
typedef struct {
    size_t n;
    ImageDescriptor *v;
} ImageDescriptors;
void image_descriptors_done(ImageDescriptors *d);
static inline UNUSED void image_descriptors_done_at(ImageDescriptors *d)
{
    image_descriptors_done(d);
}
/* An OCI index or Docker manifest list. */
MUST_USE Err *image_parse_index(const char *text, size_t n, ImageDescriptors *ret);

typedef struct {
    char *config_digest; /* NULL in a docker archive */
    char *config_path;   /* of a docker archive */
    StrVec layers;       /* digests, or paths in a docker archive; lowest first */
    StrVec refs;         /* RepoTags of a docker archive */
} ImageManifest;
void image_manifest_done(ImageManifest *m);
static inline UNUSED void image_manifest_done_at(ImageManifest *m)
{
    image_manifest_done(m);
}
MUST_USE Err *image_parse_manifest(const char *text, size_t n, ImageManifest *ret);
/* manifest.json of a docker archive: one entry an image. Caller frees each and the array. */
MUST_USE Err *image_parse_docker(const char *text, size_t n, ImageManifest **ret, size_t *ret_n);

/* Fills the config part of <img> and gives the diff_ids, lowest layer first. */
MUST_USE Err *image_parse_config(const char *text, size_t n, Image *img, StrVec *ret_diff_ids);

/* How well a platform fits this machine: 0 = not at all, more is better. NULL architecture: an
 * index without platforms. */
unsigned image_platform_score(const char *os, const char *architecture, const char *variant);
const char *image_host_architecture(void); /* Go's name: "amd64" */

/* chain[i] = "HEX" naming layer i and all below it (OCI image-spec, "Layer ChainID"). */
void image_chain_ids(const StrVec *diff_ids, StrVec *ret);

/* --- the store (image_store.c, image_gc.c) ------------------------------------------------------------------------ */

typedef struct Pull Pull;

typedef struct {
    char *id;                     /* "sha256:HEX" */
    StrVec digests, refs, layers; /* layers: chain ids' HEX */
    int64_t size_bytes;
} IndexEntry;
typedef struct {
    size_t n;
    IndexEntry *v;
} Index;

struct ImageStore {
    char *dir;    /* absolute */
    char *helper; /* program with `image import` */
    Pull *pulls;  /* under way */
    Index known;  /* index.json as it was when it had this identity; for image_find() */
    struct {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec modified;
    } known_file;
};
void image_pulls_abandon(ImageStore *s); /* each is done with ERR_UNAVAILABLE (image_pull.c) */
void index_done(Index *x);
static inline UNUSED void index_done_at(Index *x)
{
    index_done(x);
}
MUST_USE Err *index_load(const ImageStore *s, Index *ret); /* no file = empty */
MUST_USE Err *index_save(const ImageStore *s, const Index *x);
IndexEntry *index_find_id(const Index *x, const char *id);
IndexEntry *index_add(Index *x, const char *id);
void index_remove(Index *x, IndexEntry *e);
/* Takes <ref> from every other image. */
void index_tag(Index *x, IndexEntry *e, const char *ref);
/* As image_get(); *ret_by_ref (may be NULL): found by this (normalised) reference, to be freed; NULL = by id. */
MUST_USE Err *index_resolve(const Index *x, const char *ref_or_id, IndexEntry **ret, char **ret_by_ref);
MUST_USE Err *index_image(const ImageStore *s, const IndexEntry *e, Image **ret);

/* A new path below the store; caller frees. */
MUST_USE char *store_path(const ImageStore *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* flock() on a lock file of the store; waits. *ret closes it. ERR_UNAVAILABLE when <wait> is false and it is held. */
MUST_USE Err *store_lock(const ImageStore *s, const char *name, bool exclusive, bool wait, int *ret);
/* A work directory below tmp/ that lives as long as *ret_lock is open. */
MUST_USE Err *store_tmp(const ImageStore *s, char **ret_dir, int *ret_lock);
/* Removes work directories without an owner, then layers and blobs that the index does not name. */
MUST_USE Err *store_sweep(const ImageStore *s, int64_t *ret_bytes);
/* Who uses the image: names of the files below refs/HEX. */
MUST_USE Err *store_users(const ImageStore *s, const char *id, StrVec *ret);

#endif
