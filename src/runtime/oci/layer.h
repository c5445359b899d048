/* layer.h - layers as tar streams: read once to check them, once more to unpack them.
 *
 * The first pass (layer_scan) computes the digests of the blob and of what is in it and collects the whiteouts; nothing
 * is written before they are known to be right. The second (layer_unpack) hides what the whiteouts name and then writes
 * the entries. So whiteouts hide lower layers only, wherever they stand in the archive
 * (OCI image-spec, "Whiteouts"). */
#ifndef REPRISE_RUNTIME_OCI_LAYER_H
#define REPRISE_RUNTIME_OCI_LAYER_H

#include "base/err.h"
#include "base/str.h"

/* --- digests (image_digest.c) ------------------------------------------------------------------------------------- */

typedef struct {
    const char *name; /* "sha256" */
    size_t n_hex;     /* digits of a digest */
    int gnutls;       /* gnutls_digest_algorithm_t */
} DigestAlg;
/* By the first <n> bytes of <name>; NULL if we cannot check it. */
const DigestAlg *digest_alg(const char *name, size_t n);
/* Whether <digest> is "sha256:HEX" or "sha512:HEX" in lower case. */
MUST_USE Err *digest_check(const char *digest);

typedef struct Digester Digester;
MUST_USE Digester *digester_new(const DigestAlg *alg);
void digester_add(Digester *d, const void *bytes, size_t n);
/* Frees <d>; "sha256:HEX", caller frees. */
MUST_USE char *digester_end(Digester *d);
void digester_free(Digester *d);
/* "sha256:HEX" of some bytes. */
MUST_USE char *digest_of(const void *bytes, size_t n);

/* --- passes ------------------------------------------------------------------------------------------------------- */

/* More than these is an attack or a mistake, and says so. */
#define LAYER_MAX_BYTES          ((int64_t)1 << 40) /* of the uncompressed tar */
#define LAYER_MAX_ENTRIES        ((size_t)16 << 20)
#define LAYER_MAX_WHITEOUT_BYTES ((size_t)64 << 20) /* names of all whiteouts of a layer */
#define LAYER_MAX_DEPTH 256 /* directories within each other; what is deeper fs_remove_tree() could not take away */
#define LAYER_MAX_PATH           4095               /* PATH_MAX - 1 */

typedef struct {
    char *blob_digest, *diff_digest; /* in the algorithms asked for */
    int64_t size_bytes;              /* of all regular files */
    size_t n_entries;
    StrVec whiteouts; /* normalised paths that vanish; a trailing "/" = only what is in the directory */
    bool has_oci_layout, has_index, has_docker_manifest, has_docker_v0; /* top-level names of image archives */
} LayerScan;
void layer_scan_done(LayerScan *s);
static inline UNUSED void layer_scan_done_at(LayerScan *s)
{
    layer_scan_done(s);
}

/* <name> is for messages ("layer sha256:..."). */
typedef struct {
    const char *name;
    void (*progress)(void *arg, int64_t bytes_read);
    void *arg;
    int64_t max_bytes; /* 0 = LAYER_MAX_BYTES */
} LayerOptions;

/* Reads all of <fd> (a regular file, from its beginning). Digest algorithms: NULL = sha256. ERR_INVALID: not a tar, or
 * an entry that no layer may have. */
MUST_USE Err *layer_scan(int fd, const LayerOptions *o, const DigestAlg *blob_alg, const DigestAlg *diff_alg,
                         LayerScan *ret);

#define LAYER_FILES_ONLY 1u /* an archive of ours to read: no owners, devices, xattrs or whiteouts */
/* Writes the layer into the directory <root> (any descriptor of it), which is its own root: no symlink, hard link or
 * ".." in the archive reaches beyond it. <root> is an overlay's merged directory, or the plain directory of a lowest
 * layer. */
MUST_USE Err *layer_unpack(int fd, const LayerOptions *o, const LayerScan *scan, int root, unsigned flags);

/* Pure: the path as the layer's root sees it, without leading "/" and "./", "//" and "/." ("" = the root itself).
 * ERR_INVALID: ".." or too long. */
MUST_USE Err *layer_path(const char *raw, char **ret);

/* Writes a pax tar of the directory <dir> (one file system, in name order, so that the same tree gives the same bytes)
 * to <fd>. Sockets are left out, as tar does. */
MUST_USE Err *layer_pack(const char *dir, int fd);

#endif
