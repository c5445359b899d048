/* image.h - the image store: <root>/images. Content-addressed blobs, layers unpacked once and shared by overlay.
 *
 *   blobs/sha256/HEX         manifests and configs (layer blobs are dropped once unpacked)
 *   layers/HEX/fs            one unpacked layer, named by its chain id
 *   index.json               references -> image id; written atomically; a lock file guards writers
 */
#ifndef REPRISE_RUNTIME_OCI_IMAGE_H
#define REPRISE_RUNTIME_OCI_IMAGE_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/json.h"

typedef struct ImageStore ImageStore;
MUST_USE Err *image_store_open(const char *dir, ImageStore **ret);
void image_store_close(ImageStore *s);

/* "busybox" -> "docker.io/library/busybox:latest", as Docker does it. ERR_INVALID (reason InvalidImageName). Pure. */
MUST_USE Err *image_ref_normalize(const char *ref, char **ret);

typedef struct {
    char *id;            /* "sha256:HEX" of the config */
    char *digest;        /* of the manifest; NULL if it was made from a bare root filesystem */
    StrVec refs;
    int64_t size_bytes;
    int64_t created_ns;  /* NS_NONE = unknown */
    /* config */
    StrVec entrypoint, cmd, env;
    char *user, *working_dir, *stop_signal; /* NULL = not set */
    StrVec volumes;
    StrVec layer_dirs;   /* absolute, lowest first */
} Image;
void image_free(Image *i);
SCOPED_FN(image_free, Image *, NULL)

/* By reference (normalised here), id, or unique id prefix. ERR_NOT_FOUND. */
MUST_USE Err *image_get(ImageStore *s, const char *ref_or_id, Image **ret);
MUST_USE Err *image_list(ImageStore *s, Image ***ret, size_t *ret_n);
/* Blocking import of an OCI layout directory, OCI archive, docker archive, root filesystem tar (plain, gz, zstd) or
 * directory. <ref>: name to give (required for a root filesystem; else overrides the archive's). Run it in a helper
 * process (`reprise image import`), never on the loop. progress may be NULL. */
MUST_USE Err *image_import(ImageStore *s, const char *path, const char *ref,
                           void (*progress)(void *arg, const char *what, int64_t done, int64_t total), void *arg,
                           Image **ret);
/* Fetches with skopeo (docker://) into the store; asynchronous, in a helper process. ERR_UNSUPPORTED when skopeo is not
 * installed. <done>: id borrowed, err taken. */
MUST_USE Err *image_pull(ImageStore *s, uv_loop_t *loop, const char *ref, void (*done)(void *arg, const char *id, Err *err),
                         void *arg);
MUST_USE Err *image_remove(ImageStore *s, const char *ref_or_id); /* untag; the last tag removes image and layers */
/* Removes untagged images and layers nobody names; *ret_bytes freed. */
MUST_USE Err *image_prune(ImageStore *s, bool all_unused, int64_t *ret_bytes);

#endif
