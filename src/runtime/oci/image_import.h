/* image_import.h - one import under way: what image_import.c (the store's side) and image_source.c (the archive's)
 * share. */
#ifndef REPRISE_RUNTIME_OCI_IMAGE_IMPORT_H
#define REPRISE_RUNTIME_OCI_IMAGE_IMPORT_H

#include "runtime/oci/image_priv.h"

typedef struct { /* an image that is whole in the work directory and waits to be published */
    char *id, *config;
    size_t n_config;
    char *manifest; /* NULL = none */
    StrVec digests, refs, layers;
    int64_t size_bytes;
} Planned;

typedef struct {
    ImageStore *s;
    const char *ref; /* normalised; NULL = the archive's own names */
    ImageProgress *progress;
    void *arg;
    char *tmp; /* work directory, locked */
    int tmp_lock, gc_lock;
    size_t n;
    Planned *v;
} Import;

typedef struct { /* a directory that holds an image: given by the user, or an archive unpacked by us */
    int root;
    bool sealed; /* links must not lead out of it */
    bool flat;   /* skopeo's dir form: blobs lie beside the manifest */
} Source;

/* image_source.c: reads all images of <path> into im->v. */
MUST_USE Err *import_path(Import *im, const char *path);

/* image_import.c. A layer to unpack: a blob, or a file that was scanned already. */
typedef struct {
    int fd;
    const char *digest;    /* of the blob; NULL = not known */
    const LayerScan *scan; /* NULL = not scanned yet */
} LayerInput;
/* Finds or unpacks layer <chain> on top of <lower> (directories, lowest first), adds its directory to <lower>. <open>
 * is called only when it is not there yet. */
typedef Err *LayerOpen(void *arg, size_t i, LayerInput *ret);
/* Unpacks what is missing of the image and plans it. <digests>: of manifest and indexes; <manifest> may be NULL. */
MUST_USE Err *import_image(Import *im, const Str *config, const Str *manifest, const StrVec *digests,
                           const StrVec *refs, size_t n_layers, LayerOpen *open_layer, void *arg);

#endif
