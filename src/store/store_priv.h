/* store_priv.h - what the files of the store share. db.c is the only one that knows SQLite, index.c and watch.c only memory, write.c
 * brings them together: a write is checked, staged in memory, given to db.c, and then told to the history or undone. */
#ifndef REPRISE_STORE_STORE_PRIV_H
#define REPRISE_STORE_STORE_PRIV_H

#include "base/clock.h"
#include "store/store.h"

#define KEY_MAX 600 /* a namespace of 63, a name of 253, and room for what is no DNS name */

typedef struct {
    ObjEventType type;
    int64_t rv;
    ObjItem *item, *prev; /* references; prev: NULL when ADDED */
} ObjPast;

/* All of one resource. Made at first use, never removed. */
typedef struct {
    char *name;
    ObjItem **v; /* references, sorted by key as bytes: etcd's order */
    size_t n, cap;
    ObjPast *ring; /* cap_ring is a power of two; event number q lies at q & (cap_ring - 1) */
    size_t cap_ring, bytes;
    uint64_t begin, end;  /* numbers of the oldest event that is kept, and of the one to come */
    int64_t compacted_rv; /* all events after this one are in the ring */
    ObjWatch *watches;
    size_t n_initial; /* watches that still have initial events to give */
} ObjResource;

typedef enum { OP_PUT, OP_DELETE, OP_RESTART, OP_FORGET } ObjOpKind;
typedef struct {
    ObjOpKind kind;
    ObjResource *r;
    ObjItem *item, *old; /* references; DELETE: item is old under the resourceVersion of its deletion */
    char *uid;           /* RESTART, FORGET: owned, with what restart points at */
    ObjRestart restart;
} ObjOp;

typedef struct ObjDb ObjDb; /* db.c: the handle and its statements */

struct ObjStore {
    char *path, *rv_path;
    ObjStoreOptions o;
    ObjResource **resource;
    size_t n_resources;
    size_t n_objects, object_bytes, n_watches;
    size_t history_events, history_bytes;

    int64_t rv;       /* the last one that is kept */
    int64_t next_rv;  /* the next to give; numbers of writes that failed are not given again */
    int64_t reserved; /* the bound in <path>.rv */
    int64_t open_rv;
    int64_t next_id;
    int64_t next_expiry_ns; /* nothing expires before; NS_NONE = nothing expires */

    ObjOp *op; /* staged */
    size_t n_ops, cap_ops;
    bool batch, durable;
    Str scratch;

    ObjDb *db; /* NULL: broken or read-only, to be opened anew when reopen_ns has come (monotonic) */
    int64_t reopen_ns;
    bool reserved_dirty; /* the table does not have <reserved> yet */
    bool unwritable, anew;
    int64_t since_ns;
    uint64_t failed, recovered;
    int error_sys;
    char *why, *error, *note; /* owned or NULL; error is the whole line, why its cause where there is no errno */
};

/* ---- item.c ---- */
/* false: no name that could be one. buf: KEY_MAX bytes. */
bool objitem_key(const char *namespace_, const char *name, char *buf);
/* Encodes <object> into <text> with metadata.resourceVersion = rv. */
MUST_USE Err *objitem_encode(json_t *object, int64_t rv, Str *text, size_t *ret_at, size_t *ret_n);
typedef struct {
    const char *resource, *namespace_, *name, *uid, *kind, *text;
    size_t n, rv_at, rv_n;
    int64_t rv, expires_ns, id;
} ObjItemParts;
/* One reference, the caller's; copies all of it. The key must be a good one. */
MUST_USE ObjItem *objitem_new(const ObjItemParts *p);
/* The same object under another resourceVersion. */
MUST_USE ObjItem *objitem_with_rv(const ObjItem *i, int64_t rv);
/* The same but for the resourceVersion. */
bool objitem_same(const ObjItem *i, const char *text, size_t n, size_t rv_at, size_t rv_n);

/* ---- index.c ---- */
ObjResource *objres_find(const ObjStore *s, const char *name); /* NULL: nothing was ever there */
ObjResource *objres_get(ObjStore *s, const char *name);
size_t objres_lower(const ObjResource *r, const char *key); /* the first that is not before key */
ObjItem *objres_item(const ObjResource *r, const char *key);
void objres_put(ObjStore *s, ObjResource *r, const ObjItem *i); /* adds or replaces; takes a reference of its own */
void objres_remove(ObjStore *s, ObjResource *r, const char *key);
void objres_free(ObjResource *r);
/* The last resourceVersion that get and list show. */
int64_t objstore_view_rv(const ObjStore *s);

/* ---- watch.c ---- */
/* Takes the references of <p>, tells the watches. */
void objhistory_add(ObjStore *s, ObjResource *r, const ObjPast *p);
void objhistory_done(ObjResource *r);
void objwatch_detach_all(ObjResource *r);

/* ---- rv.c ---- */
/* Reads <path>.rv; *ret_bound = 0 when it is missing or not ours. */
void objrv_read(ObjStore *s, int64_t *ret_bound);
/* Writes a bound, on the disk when it returns. */
MUST_USE Err *objrv_write(ObjStore *s, int64_t bound);
/* Makes sure that next_rv may be given. */
MUST_USE Err *objrv_reserve(ObjStore *s);

/* ---- db.c, load.c ---- */
MUST_USE Err *objdb_start(ObjStore *s, char **ret_note);
/* Opens a broken one anew when it is time, else says again why not. Before the first write of a batch. */
MUST_USE Err *objdb_ready(ObjStore *s);
/* Writes the staged operations, all or none. */
MUST_USE Err *objdb_commit(ObjStore *s);
/* The error of every write while the disk is bad. <sys> 0: none; <why> may be NULL. Takes note of it in the state. */
MUST_USE Err *objdb_unwritable(ObjStore *s, int sys, const char *why);
MUST_USE Err *objdb_checkpoint(ObjStore *s);
MUST_USE Err *objdb_restarts(ObjStore *s, const char *uid, ObjRestarts *out);
/* Whether all could be brought into the database file. */
bool objdb_close(ObjStore *s);

/* ---- vfs.c ---- */
/* Name of a VFS that is the system's, with fault points ("open", "write", "fsync", os/fault.h) and the errno of what failed. */
const char *objvfs_name(void);
extern int objvfs_errno;  /* of the last call that failed; the reader sets it to 0 */
extern int objvfs_broken; /* tests: while not 0, every write fails with it */

#endif
