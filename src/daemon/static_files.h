/* static_files.h - the directory of static Pods: its files, each with what it last held that was sound.
 *
 * *.yaml, *.yml and *.json whose names do not begin with a dot, as `reprise run DIR` takes them; not below. A file that is broken, empty
 * or cannot be read is said once, and what it held before goes on. One that was written to less than STATIC_QUIET_NS ago is looked at
 * again later: an editor may be in the middle of it. */
#ifndef REPRISE_DAEMON_STATIC_FILES_H
#define REPRISE_DAEMON_STATIC_FILES_H

#include "api/objects.h"
#include "base/clock.h"

#define STATIC_QUIET_NS (200 * NS_PER_MS)

typedef struct {
    char *path;
    struct { int64_t mtime_ns, size; uint64_t ino; } seen; /* when it was read last */
    Objects objects;   /* of the last sound state; Pods are static ones already (static_pod.h) */
    StrVec problems;   /* of the present state, a line each; empty = sound */
    bool present;      /* in the directory, by the last scan */
} StaticFile;

typedef struct {
    char *dir, *node_name;
    FeatureGates gates;
    LIST_OF(StaticFile) files; /* by path */
    char *problem;             /* of the directory itself; NULL = none */
    /* Told what is new: a problem of <file> (NULL: of the directory), or, text NULL, that it is sound again. */
    void (*report)(void *arg, const char *file, const char *text);
    void *arg;
} StaticFiles;

void static_files_init(StaticFiles *s, const char *dir, const char *node_name, const FeatureGates *gates);
void static_files_done(StaticFiles *s);
/* Looks at the directory again. *ret_changed: other objects than before. *ret_again: some file is too young, come back soon. */
void static_files_scan(StaticFiles *s, bool *ret_changed, bool *ret_again);
/* The Pod of that uid and where it comes from; NULL: no file has it. */
const Pod *static_files_pod(const StaticFiles *s, const char *uid);
/* Files with problems. */
size_t static_files_broken(const StaticFiles *s);
/* All ConfigMaps, Secrets and claims of all files: borrowed pointers, the caller frees the lists only. The first of a name counts. */
void static_files_objects(const StaticFiles *s, Objects *ret_view);
void static_files_view_done(Objects *view);

#endif
