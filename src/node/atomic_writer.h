/* atomic_writer.h - a directory of files that changes all at once, in the kubelet's layout
 * (pkg/volume/util/atomic_writer.go):
 *
 *   key            -> ..data/key                what users see
 *   sub            -> ..data/sub
 *   ..data         -> ..2026_01_02_15_04_05.123456789
 *   ..2026_.../key, ..2026_.../sub/key          the files
 *
 * One rename of the ..data link is the change: at any instant, also after a crash, it shows one whole version.
 * Leftovers of a crash are removed by the next write. */
#ifndef REPRISE_NODE_ATOMIC_WRITER_H
#define REPRISE_NODE_ATOMIC_WRITER_H

#include "api/codec.h"
#include "base/err.h"

typedef struct {
    char *path; /* owned; relative, as the user gave it */
    void *bytes; /* owned */
    size_t n;
    uint32_t mode; /* permission bits */
    size_t order; /* a later file of the same path replaces an earlier one */
} PayloadFile;
typedef LIST_OF(PayloadFile) Payload;
void payload_put(Payload *p, const char *path, const void *bytes, size_t n, uint32_t mode); /* copies */
void payload_done(Payload *p);
static inline UNUSED void payload_done_at(Payload *p) { payload_done(p); }

/* The kubelet's words: not empty, relative, no "..", no name that starts with ".." in front, names up to 255 bytes,
 * whole up to 4096. */
MUST_USE Err *payload_path_check(const char *path);

/* Sets owner and mode of the new version, at <path>, before it is seen. */
typedef Err *AtomicOwner(void *arg, const char *path);
/* Makes the existing directory <dir> show exactly <p>, which is sorted and cleaned on the way ("a//b" is "a/b", of two
 * files with one path the later stays). What is there already in the same bytes is left alone. */
MUST_USE Err *atomic_write(const char *dir, Payload *p, AtomicOwner *owner, void *arg);

#endif
