/* layer_priv.h - the stream that both passes over a layer read: file -> blob digest -> decompression -> tar digest ->
 * entries. */
#ifndef REPRISE_RUNTIME_OCI_LAYER_PRIV_H
#define REPRISE_RUNTIME_OCI_LAYER_PRIV_H

#include <archive.h>
#include <archive_entry.h>

#include "runtime/oci/layer.h"

typedef struct LayerReader LayerReader;
/* <fd> is borrowed and read from its beginning. Digests are computed when <hash>; algorithms NULL = sha256. */
MUST_USE Err *layer_reader_open(int fd, const LayerOptions *o, bool hash, const DigestAlg *blob_alg,
                                const DigestAlg *diff_alg, LayerReader **ret);
void layer_reader_free(LayerReader *r);
SCOPED_FN(layer_reader_free, LayerReader *, NULL)
/* The next entry; *ret = NULL at the end. Counts entries and refuses too many. */
MUST_USE Err *layer_reader_next(LayerReader *r, struct archive_entry **ret);
/* A block of the entry's data: *ret_buf = NULL at its end. */
MUST_USE Err *layer_reader_data(LayerReader *r, const void **ret_buf, size_t *ret_n, int64_t *ret_offset);
/* After the last entry: reads what is left and gives the digests. */
MUST_USE Err *layer_reader_finish(LayerReader *r, char **ret_blob, char **ret_diff);

/* What the name of an entry means. */
typedef enum { NAME_PLAIN, NAME_WHITEOUT, NAME_OPAQUE, NAME_IGNORED } LayerNameKind;
/* <path> is normalised. For a whiteout *ret_target is the path it hides (caller frees), for an opaque one the
 * directory. */
MUST_USE Err *layer_name_kind(const char *path, LayerNameKind *ret, char **ret_target);

#endif
