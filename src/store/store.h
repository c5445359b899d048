/* store.h - the API's objects: kept on the disk by SQLite, read from memory, watched from a shared history. One thread, no loop.
 *
 * All objects lie in memory as counted, immutable JSON text; SQLite is the journal that they are loaded from at open and that every
 * write goes to first. So reading needs no disk, and goes on when the disk is full, read-only or broken.
 *
 * Names begin with objstore_: the shim has a store of its own.
 *
 * resourceVersion is one number over everything. It grows with every write and is never given twice, not even after a loss of power
 * that takes writes back: <path>.rv holds a bound that is on the disk, by fsync and rename, before the first number below it is
 * given. An open after a clean close goes on where that ended; any other one goes on above the bound, so what was given and lost is
 * never given to something else. Who names a number from before that open gets "too old", as after a compaction of etcd.
 *
 * A write is kept when the call returns: non-durable = the kernel has it, only a loss of power takes it (D16); durable = fsynced.
 * Between objstore_begin() and objstore_end() writes are collected, seen by get and list, and kept at the end, all or none, with one
 * fsync; what is told to a client about them must wait for the end. Watches see them only then.
 *
 * Errors: Err.reason is Kubernetes' word (AlreadyExists, NotFound, Conflict, Expired, Timeout, BadRequest, RequestEntityTooLarge,
 * ServiceUnavailable), and where Kubernetes has words for it, err_text() is those. Kinds: ERR_EXISTS (AlreadyExists, Conflict),
 * ERR_NOT_FOUND, ERR_LIMIT (Expired, too large), ERR_TIMEOUT (a resourceVersion that is yet to come), ERR_INVALID, ERR_UNAVAILABLE
 * (the disk: nothing was changed, trying again may help). */
#ifndef REPRISE_STORE_STORE_H
#define REPRISE_STORE_STORE_H

#include "base/err.h"
#include "base/str.h"
#include "wire/json.h"

#define OBJSTORE_SCHEMA 3                       /* what this program writes */
#define OBJSTORE_EVENT_TTL_NS (INT64_C(3600) * 1000000000) /* what Events live: kube-apiserver's --event-ttl, 1 h */
#define OBJSTORE_TEXT_MAX ((size_t)1536 * 1024) /* bytes of one object: etcd's default, 1.5 MiB */

typedef struct ObjStore ObjStore;
typedef struct ObjWatch ObjWatch;

/* One object at one resourceVersion: immutable, counted, valid after the store is closed. Cluster-wide objects have namespace "". */
typedef struct {
    unsigned refs;
    int64_t rv, expires_ns; /* expires_ns: NS_NONE = never */
    int64_t id;             /* the store's own: row of the table */
    const char *resource, *namespace_, *name, *uid, *kind; /* kind: the object's own word, "" if it has none */
    const char *key;        /* "namespace/name", or "name": the order of lists */
    const char *text;       /* compact JSON, NUL-terminated; metadata.resourceVersion is rv */
    size_t n;               /* bytes of text */
    size_t rv_at, rv_n;     /* where the digits of resourceVersion stand in it */
} ObjItem;
ObjItem *objitem_ref(const ObjItem *i);
void objitem_unref(ObjItem *i); /* NULL is fine */
SCOPED_FN(objitem_unref, ObjItem *, NULL)
/* Parsed anew; caller owns. */
MUST_USE json_t *objitem_json(const ObjItem *i);

/* ---- open, close, state ---- */

typedef struct {
    size_t history_events, history_bytes; /* of each resource; 0 = 1000 and 2 MiB */
    int64_t retry_ns;                     /* how often a broken database is opened anew at most; 0 = 1 s */
} ObjStoreOptions;

/* Makes the file (0600) and its directory (0700) if absent; <options> may be NULL. *ret_note (caller frees) is NULL, or a line that
 * somebody must be told: a corrupt file was moved aside to NAME, this many objects could be read from it; the disk is read-only.
 * Errors: another process has it open, its schema is newer than this program's, it is no store of ours, the disk is full. */
MUST_USE Err *objstore_open(const char *path, const ObjStoreOptions *options, ObjStore **ret, char **ret_note);
/* An open batch is given up; watches that are left only say OBJ_GONE from here and must still be closed. */
void objstore_close(ObjStore *s);
SCOPED_FN(objstore_close, ObjStore *, NULL)

typedef struct {
    bool writable;        /* the last write was kept, or none was tried */
    int64_t since_ns;     /* CLOCK_REALTIME of the last change of writable */
    uint64_t failed;      /* writes (batches) that failed since open */
    bool anew;            /* at open there was no file, or a corrupt one was moved aside: what others know of may be missing */
    uint64_t recovered;   /* times that the database was opened anew, or made anew from memory */
    const char *error;    /* "" or why not writable; borrowed until the next write */
    const char *note;     /* "" or what the last recovery had to do; borrowed */
    int64_t rv;
    size_t objects, object_bytes, history_events, history_bytes, watches;
} ObjStoreState;
void objstore_state(const ObjStore *s, ObjStoreState *out);
/* The latest resourceVersion that is kept. */
int64_t objstore_rv(const ObjStore *s);
/* Moves what the journal has into the database: when there is time; at the latest it happens by itself every 16 MiB. Fsyncs. */
MUST_USE Err *objstore_checkpoint(ObjStore *s);

/* ---- reading ---- */

/* NULL: not there. Borrowed until the next write. */
const ObjItem *objstore_get(const ObjStore *s, const char *resource, const char *namespace_, const char *name);
/* `pods "x" not found`. */
MUST_USE Err *objstore_not_found(const char *resource, const char *name);

typedef bool ObjMatch(void *arg, const ObjItem *i);
typedef struct {
    const char *resource;
    const char *namespace_; /* NULL = all */
    ObjMatch *match;        /* labels and fields are the caller's; NULL = all */
    void *arg;
    size_t limit;           /* 0 = no limit */
    const char *cont;       /* NULL, "" or what the page before said */
    int64_t rv;             /* 0 = now; not older than this; exactly this one when <exact> */
    bool exact;
} ObjQuery;
typedef struct {
    ObjItem **item; /* references, in the order of etcd's keys */
    size_t n;
    int64_t rv;
    int64_t remaining; /* how many come after this page; -1 = not said (no next page, or a match) */
    char *cont;        /* NULL = that was all; else the opaque token of the next page */
} ObjList;
/* *out is overwritten. A page after the first is of the same moment as the first one. When that has left the history, the error is
 * Expired and out->cont is a token that goes on with the objects of now. */
MUST_USE Err *objstore_list(ObjStore *s, const ObjQuery *q, ObjList *out);
void objlist_done(ObjList *l);
static inline UNUSED void objlist_done_at(ObjList *l) { objlist_done(l); }
/* NULL counts all. */
size_t objstore_count(const ObjStore *s, const char *resource, const char *namespace_);
/* Names of the resources that have, or had, objects: borrowed, i from 0 until NULL. For emptying a namespace. */
const char *objstore_resource(const ObjStore *s, size_t i);

/* ---- writing ---- */

typedef struct {
    bool durable;
    const char *uid;    /* precondition; NULL = none */
    int64_t rv;         /* precondition; 0 = none */
    int64_t expires_ns; /* CLOCK_REALTIME; 0: create = never, update = as it was */
} ObjWrite;
/* <object> is not changed; its metadata.namespace, .name and .uid name it, metadata.resourceVersion is set in what is stored.
 * *ret (may be NULL) is a reference to what was stored. An update that changes nothing is not written, and keeps its
 * resourceVersion, as in Kubernetes. */
MUST_USE Err *objstore_create(ObjStore *s, const char *resource, json_t *object, const ObjWrite *w, ObjItem **ret);
MUST_USE Err *objstore_update(ObjStore *s, const char *resource, json_t *object, const ObjWrite *w, ObjItem **ret);
/* *ret: the last object, under the resourceVersion of its deletion. */
MUST_USE Err *objstore_delete(ObjStore *s, const char *resource, const char *namespace_, const char *name, const ObjWrite *w,
                              ObjItem **ret);
/* All that match, in one batch; *ret_n (may be NULL) how many. */
MUST_USE Err *objstore_delete_collection(ObjStore *s, const ObjQuery *q, bool durable, size_t *ret_n);
/* Deletes what has expired, <max> at most. *ret_next_ns: when to come again (NS_NONE = nothing expires). */
MUST_USE Err *objstore_sweep(ObjStore *s, int64_t now_ns, size_t max, size_t *ret_n, int64_t *ret_next_ns);

/* Writes until objstore_end() are one transaction. Not nested. If the end fails, all are undone. */
void objstore_begin(ObjStore *s);
MUST_USE Err *objstore_end(ObjStore *s);
/* Gives the batch up. */
void objstore_abort(ObjStore *s);
bool objstore_in_batch(const ObjStore *s);

/* ---- in-place restarts, the last OBJSTORE_RESTARTS of each Pod ---- */

#define OBJSTORE_RESTARTS 32
#define OBJ_CODE_UNKNOWN INT64_MIN
typedef struct {
    int64_t attempt;
    char *container; /* owned by the list */
    char *rule;
    int64_t code;    /* OBJ_CODE_UNKNOWN: cannot be learnt */
    int64_t begun_ns, done_ns; /* done_ns: NS_NONE = under way */
} ObjRestart;
typedef struct {
    ObjRestart *v; /* oldest first */
    size_t n;
} ObjRestarts;
/* Writes the row of uid and r->attempt, or writes it over. Part of the batch like any write. */
MUST_USE Err *objstore_restart_put(ObjStore *s, const char *uid, const ObjRestart *r, bool durable);
MUST_USE Err *objstore_restart_forget(ObjStore *s, const char *uid);
/* Reads the database: what a batch has not ended is not in it. *out is overwritten. */
MUST_USE Err *objstore_restarts(ObjStore *s, const char *uid, ObjRestarts *out);
void objrestarts_done(ObjRestarts *l);
static inline UNUSED void objrestarts_done_at(ObjRestarts *l) { objrestarts_done(l); }

/* ---- watching ---- */

typedef enum { OBJ_ADDED = 1, OBJ_MODIFIED, OBJ_DELETED, OBJ_BOOKMARK } ObjEventType;
typedef struct {
    ObjEventType type;
    int64_t rv;
    const ObjItem *item; /* BOOKMARK: NULL. DELETED: the last object, under the resourceVersion of the deletion */
    const ObjItem *prev; /* MODIFIED, DELETED: what it was before, for selectors that it comes into or leaves */
} ObjEvent;              /* borrowed until the next call for this watch or the next write */

/* Called once when something came for a watch that had nothing left, from inside the write: only take note, call nothing of the store. */
typedef void ObjReady(void *arg);
typedef struct {
    const char *resource;
    const char *namespace_; /* NULL = all */
    const char *name;       /* NULL = all */
    int64_t from;           /* events after this resourceVersion; 0 = now */
    bool initial;           /* first an ADDED for each object there is ... */
    bool initial_end;       /* ... and a BOOKMARK (k8s.io/initial-events-end is the caller's) */
    ObjReady *ready;        /* may be NULL */
    void *arg;
} ObjWatching;
/* With <initial>, <from> is only "not older than". Errors: Expired `too old resource version: 5 (10)`, Timeout for one that is yet to come;
 * not between objstore_begin() and objstore_end() (ERR_BUG). A watch costs 200 bytes: the events are the history's. */
MUST_USE Err *objstore_watch(ObjStore *s, const ObjWatching *q, ObjWatch **ret);
typedef enum {
    OBJ_NONE,  /* nothing more now; ready() will be called */
    OBJ_EVENT, /* *out is the next one */
    OBJ_GONE,  /* it was too slow: what it would get next has left the history. Close it, with objwatch_gone()'s words */
} ObjNext;
ObjNext objwatch_next(ObjWatch *w, ObjEvent *out);
/* All up to this was given: what a bookmark may say. 0 while initial events are under way. */
int64_t objwatch_rv(const ObjWatch *w);
/* `too old resource version: 5 (10)`, Expired. */
MUST_USE Err *objwatch_gone(const ObjWatch *w);
void objwatch_close(ObjWatch *w);
SCOPED_FN(objwatch_close, ObjWatch *, NULL)

#endif
