/* image.h - the image store: <root>/images. Content-addressed blobs, layers unpacked once and shared by overlay.
 *
 *   blobs/sha256/HEX         manifests and configs (layer blobs are dropped once unpacked)
 *   layers/HEX/fs            one unpacked layer, named by its chain id; layers/HEX/size its bytes as text
 *   refs/HEX/CONTAINER       empty file: container CONTAINER uses image sha256:HEX (image_ref_use)
 *   index.json               references -> image id; written atomically
 *   lock                     flock: held for milliseconds around each change of index.json, layers/ and refs/
 *   gc.lock                  flock: shared while an import unpacks, exclusive while layers nobody names are dropped
 *   tmp/NAME                 work in progress; flocked by its owner. Swept on open when nobody holds it
 *
 * Readers take no lock. An import works in tmp/ and appears by renames, so that a crash, a full disk or a wrong digest
 * leaves nothing half made. */
#ifndef REPRISE_RUNTIME_OCI_IMAGE_H
#define REPRISE_RUNTIME_OCI_IMAGE_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "runtime/image_auth.h"
#include "runtime/runtime.h"
#include "wire/json.h"

/* Layers of one image. Docker's limit too; overlay takes 500, and its mount options must fit a page. */
#define IMAGE_MAX_LAYERS 127

typedef struct ImageStore ImageStore;
/* Creates <dir> (0700) where needed and sweeps what a crash left. ERR_SYS, ERR_INVALID (a store of a newer version). */
MUST_USE Err *image_store_open(const char *dir, ImageStore **ret);
/* NULL is fine. Pulls under way are killed and done with ERR_UNAVAILABLE before it returns. */
void image_store_close(ImageStore *s);
SCOPED_FN(image_store_close, ImageStore *, NULL)
/* The program whose `image import` the pull runs in a helper process; default "/proc/self/exe". */
void image_store_set_helper(ImageStore *s, const char *program);

/* "busybox" -> "docker.io/library/busybox:latest", as Docker does it; where a digest is given the tag is dropped, as
 * containerd does. ERR_INVALID (reason InvalidImageName, the kubelet's text). Pure.
 * Rules: distribution/reference v2.8 normalize.go, reference.go; kubelet images.applyDefaultImageTag. */
MUST_USE Err *image_ref_normalize(const char *ref, char **ret);

typedef struct {
    char *id;       /* "sha256:HEX" of the config */
    char *digest;   /* of the manifest; NULL if it was made from a docker archive or a bare root filesystem */
    StrVec digests; /* every manifest and index digest it is known by */
    StrVec refs;
    int64_t size_bytes;      /* unpacked, all layers */
    int64_t created_ns;      /* NS_NONE = unknown */
    char *architecture, *os; /* Go's names; NULL = not said */
    /* config */
    StrVec entrypoint, cmd, env;
    char *user, *working_dir, *stop_signal; /* NULL = not set */
    StrVec volumes;
    StrVec layer_dirs; /* absolute, lowest first */
} Image;
void image_free(Image *i);
SCOPED_FN(image_free, Image *, NULL)

/* By reference (normalised here), name@digest, id ("sha256:HEX"), or unique id prefix. ERR_NOT_FOUND; ERR_INVALID for
 * an ambiguous prefix or a broken name. */
MUST_USE Err *image_get(ImageStore *s, const char *ref_or_id, Image **ret);
/* The id alone, by the same names. From memory while index.json is the file that was read last: a start asks for it each time.
 * Caller frees. */
MUST_USE Err *image_find(ImageStore *s, const char *ref_or_id, char **ret_id);
/* Sorted by first reference, untagged ones last. Caller frees each and the array (image_list_free). */
MUST_USE Err *image_list(ImageStore *s, Image ***ret, size_t *ret_n);
void image_list_free(Image **v, size_t n);
/* The same from the index alone, with whether a container uses each: two small files and a directory an image, so that it may be
 * asked for on the loop. */
MUST_USE Err *image_list_brief(ImageStore *s, RuntimeImages *ret);
/* What `reprise image inspect` prints: id, refs, digests, size, layers and the image's whole config. New reference. */
MUST_USE Err *image_inspect(ImageStore *s, const char *ref_or_id, json_t **ret);

/* <what> names the layer or file at work; bytes of its source; total -1 = unknown. */
typedef void ImageProgress(void *arg, const char *what, int64_t done, int64_t total);
/* Blocking import of an OCI layout directory, OCI archive, docker archive, root filesystem tar (plain, gz, zstd, xz,
 * bzip2) or directory; "-" reads a tar from stdin. <ref>: name to give (required for a root filesystem; else overrides
 * the archive's). Run it in a helper process (`reprise image import`), never on the loop. progress may be NULL. Of an
 * archive of several images all are imported and *ret is the first. */
MUST_USE Err *image_import(ImageStore *s, const char *path, const char *ref, ImageProgress *progress, void *arg,
                           Image **ret);
/* The same; returns every image of an archive, each with the reference given to it now in refs[0] first. */
MUST_USE Err *image_import_all(ImageStore *s, const char *path, const char *ref, ImageProgress *progress, void *arg,
                               Image ***ret, size_t *ret_n);
/* Fetches with skopeo (docker://) into the store; asynchronous, in helper processes. ERR_UNSUPPORTED when skopeo is not
 * installed. <done>: id borrowed, err taken, reason ErrImagePull. Registries on localhost, 127.0.0.0/8 and ::1, and
 * those of $REPRISE_INSECURE_REGISTRIES (host[:port],...), may speak plain HTTP, as with Docker.
 * <auths> (borrowed for the call; NULL = none) are tried in turn, each in a private file that lives as long as skopeo does.
 * None, or one that says nothing: the machine's own login is used, by skopeo's rules ($REGISTRY_AUTH_FILE, auth.json of
 * `podman login`, ~/.docker/config.json and its credential helpers). */
MUST_USE Err *image_pull(ImageStore *s, uv_loop_t *loop, const char *ref, const ImageAuthList *auths,
                         void (*done)(void *arg, const char *id, Err *err), void *arg);

/* Untag; the last tag removes image and layers (an id removes all its tags). ERR_EXISTS when a container uses it. */
MUST_USE Err *image_remove(ImageStore *s, const char *ref_or_id);
/* The same. <force>: an image in use loses its tags but keeps its layers until the next prune after the container's
 * end. *removed (may be NULL) gets "untagged: REF" and "deleted: ID" lines. */
MUST_USE Err *image_remove_opts(ImageStore *s, const char *ref_or_id, bool force, StrVec *removed);
/* Removes untagged images (all_unused: every image) that no container uses, and layers nobody
 * names; *ret_bytes freed. */
MUST_USE Err *image_prune(ImageStore *s, bool all_unused, int64_t *ret_bytes);

/* Marks that a container uses the image, so that rm and prune keep it: the file refs/HEX/CONTAINER. ERR_NOT_FOUND if
 * the image is gone. Safe to repeat. Takes the store's short lock: milliseconds. */
MUST_USE Err *image_ref_use(ImageStore *s, const char *image_id, const char *container_id);
/* The opposite; what is gone already succeeds. */
MUST_USE Err *image_ref_release(ImageStore *s, const char *image_id, const char *container_id);
/* Drops the marks of containers that are not in <live_container_ids>: leftovers of a crash. */
MUST_USE Err *image_ref_collect(ImageStore *s, const StrVec *live_container_ids);

/* Mounts an overlay of layer directories (lowest first, 1 to IMAGE_MAX_LAYERS) with <upper> and <work> (existing, empty
 * the first time) at <target>. The paths are handed to the kernel as descriptors: neither their length nor a ',' or ':'
 * in them matters. <is_volatile>: no fsync at unmount; then upper and work must never be mounted again. */
MUST_USE Err *image_overlay_mount(const StrVec *layer_dirs, const char *upper, const char *work, const char *target,
                                  bool is_volatile);

#endif
