/* strindex.h - text -> pointer, in constant time: what a machine with many Pods is asked for by uid at every event. */
#ifndef REPRISE_BASE_STRINDEX_H
#define REPRISE_BASE_STRINDEX_H

#include "base/mem.h"

typedef struct {
    const char *key; /* borrowed: it must live as long as its row; NULL = free, "" with value NULL = was removed */
    void *value;
} StrIndexRow;
typedef struct {
    StrIndexRow *row; /* a power of two of them, at most half used */
    size_t size, used; /* used: with the removed ones */
} StrIndex;

/* <key> must not be in it yet; <value> is not NULL. */
void strindex_add(StrIndex *x, const char *key, void *value);
void *strindex_get(const StrIndex *x, const char *key); /* NULL: not there */
void strindex_remove(StrIndex *x, const char *key);     /* what is not there is fine */
void strindex_done(StrIndex *x);

#endif
