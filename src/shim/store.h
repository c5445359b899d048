/* store.h - what the shim knows, as a JSON document that survives it: an append-only journal of merges.
 *
 *   document  {"sandboxes": {ID: {...}}, "containers": {ID: {...}}, "trash": {ID: {...}}}
 *   journal   one change a line:  CRC32-of-the-rest, a blank, {"set": [KIND, ID], "v": {members to merge; null removes}}
 *                                                         or  {"del": [KIND, ID]}
 * A line that is torn (the writer died) or whose CRC is wrong is left out and counted. Opening replays the journal and
 * writes it anew, whole or not at all. Space for coming lines is reserved ahead, so that a full disk loses no exit; should
 * an append fail all the same, it is kept and tried again with the next one. */
#ifndef REPRISE_SHIM_STORE_H
#define REPRISE_SHIM_STORE_H

#include "base/err.h"
#include "base/str.h"
#include "wire/json.h"

typedef struct {
    char *path;
    int fd;
    json_t *doc;
    int64_t size, compacted; /* bytes of the journal now, and after it was last written anew */
    Str pending;             /* lines that could not be written yet */
} Store;

/* Reads <path> (absent: an empty document) and makes it ready for appending. *ret_bad: lines that were left out. */
MUST_USE Err *store_open(Store *s, const char *path, size_t *ret_bad);
void store_done(Store *s);
/* When a change reaches the journal. */
typedef enum {
    STORE_LATER, /* with the next write or store_flush(): nothing is done, and nobody told, before that */
    STORE_NOW,   /* the kernel has it: it survives this process */
    STORE_SYNC   /* it is on the disk */
} StoreWhen;
/* Merges <v> (taken) into KIND/ID, made if absent. An Err means that the change is in the document, but not on disk yet. */
MUST_USE Err *store_set(Store *s, const char *kind, const char *id, json_t *v, StoreWhen when);
MUST_USE Err *store_del(Store *s, const char *kind, const char *id); /* STORE_LATER */
MUST_USE Err *store_flush(Store *s);
/* Borrowed. store_kind() is never NULL for the three kinds. */
json_t *store_kind(const Store *s, const char *kind);
json_t *store_get(const Store *s, const char *kind, const char *id);

/* The pure half: the document that a journal text describes. New reference. */
MUST_USE json_t *store_replay(const char *text, size_t n, size_t *ret_bad);

#endif
