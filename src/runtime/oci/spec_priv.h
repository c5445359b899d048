/* spec_priv.h - what the spec_*.c files share. One SpecBuild lives for one oci_spec_make(). */
#ifndef REPRISE_RUNTIME_OCI_SPEC_PRIV_H
#define REPRISE_RUNTIME_OCI_SPEC_PRIV_H

#include <sys/types.h>

#include "runtime/oci/spec.h"

#define REASON_CONFIG "CreateContainerConfigError" /* kubelet: what it is told is wrong */
#define REASON_CREATE "CreateContainerError"       /* the runtime's own refusals */

typedef struct {
    const OciSpecInput *in;
    const OciHost *host;
    const SecurityContext *sec;        /* never NULL */
    const PodSecurityContext *pod_sec; /* never NULL */
    bool privileged;
    int64_t uid, gid;
    IntList groups;        /* sorted, unique, with gid; owned */
    uint64_t caps;         /* bounding set */
    json_t *root, *process, *linux_; /* linux_ and process are members of root */
} SpecBuild;

/* --- JSON (spec_json.c) --- */
/* A JSON string; bytes that are not UTF-8 (only possible for names from the host's file system) become '?'. */
json_t *jstr(const char *s);
/* A new array from a blank-separated list, e.g. "nosuid noexec". */
json_t *jwords(const char *words);
/* object[key] = value (taken); out of memory aborts. */
void jset(json_t *object, const char *key, json_t *value);
void jadd(json_t *array, json_t *value);
/* object[key], made as an empty array / object when absent. */
json_t *jarray_at(json_t *object, const char *key);
json_t *jobject_at(json_t *object, const char *key);
/* ERR_INVALID naming <what> when s is not UTF-8. */
MUST_USE Err *jcheck(const char *what, const char *s);
/* env[] with "K=V" put in the place of an earlier K, or at the end. */
void jenv_set(json_t *env, const char *assignment);

/* --- the image's files (spec_rootfs.c) --- */
/* Opens <path> as the container would see it: symlinks and ".." stay inside <rootfs>. -errno on failure. */
int rootfs_open(const char *rootfs, const char *path, int flags);
/* A regular file of at most <max> bytes. ERR_NOT_FOUND, ERR_LIMIT, ERR_INVALID (not a regular file). */
MUST_USE Err *rootfs_read(const char *rootfs, const char *path, size_t max, Str *ret);
/* As rootfs_read, but symlinks may not leave <dir> (RESOLVE_BENEATH). */
MUST_USE Err *dir_read_beneath(const char *dir, const char *path, size_t max, Str *ret);
/* Lexically cleaned absolute path ("/a//b/../c/" -> "/a/c"). Caller frees. */
char *path_clean(const char *path);

/* --- parts --- */
uint64_t caps_host(void);
int cap_number(const char *name); /* "NET_ADMIN", "CAP_NET_ADMIN", any case; -1 = unknown */
const char *cap_name(int number); /* "CAP_NET_ADMIN"; NULL = unknown */
void caps_names(uint64_t set, StrVec *out);
MUST_USE Err *spec_caps(SpecBuild *b);
MUST_USE Err *spec_user(SpecBuild *b);
MUST_USE Err *spec_process(SpecBuild *b);
MUST_USE Err *spec_mounts(SpecBuild *b);
MUST_USE Err *spec_devices(SpecBuild *b);
MUST_USE Err *spec_linux(SpecBuild *b);
MUST_USE Err *spec_seccomp(SpecBuild *b);
MUST_USE Err *spec_lsm(SpecBuild *b);
MUST_USE Err *spec_cdi(SpecBuild *b);

/* One device: its node in linux.devices and its rule in linux.resources.devices. */
void device_allow(json_t *rules, const char *type, int64_t major, int64_t minor, const char *access);
/* Sorts mounts[from..] by the number of parts of their destinations, stably: parents first. */
void mounts_sort(json_t *mounts, size_t from);

/* CDI (cdi.c): applies the edits of <names> to an OCI spec. ERR_NOT_FOUND "unresolvable CDI devices a, b". */
MUST_USE Err *cdi_inject(const char *dirs, const StrVec *names, json_t *spec);
/* "vendor.com/class=name" */
bool cdi_name_valid(const char *name);

#endif
