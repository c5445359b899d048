#include "base/strindex.h"

/* FNV-1a, 64 bits: keys are uids, not an attacker's choice. */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* The row of <key>, or the free one where it would go. */
static StrIndexRow *find(const StrIndex *x, const char *key)
{
    size_t at = (size_t)hash(key) & (x->size - 1);
    for (;; at = (at + 1) & (x->size - 1)) {
        StrIndexRow *r = &x->row[at];
        if (!r->key || (r->value && strcmp(r->key, key) == 0))
            return r;
    }
}

static void grow(StrIndex *x)
{
    StrIndex old = *x;
    size_t live = 0;
    for (size_t i = 0; i < old.size; i++)
        live += old.row[i].value != NULL;
    *x = (StrIndex){.size = 16};
    while (x->size < 4 * live)
        x->size *= 2;
    x->row = mem_alloc_n(x->size, sizeof *x->row);
    for (size_t i = 0; i < old.size; i++)
        if (old.row[i].value) {
            *find(x, old.row[i].key) = old.row[i];
            x->used++;
        }
    mem_free(old.row);
}

void strindex_add(StrIndex *x, const char *key, void *value)
{
    if (x->used + 1 > x->size / 2)
        grow(x);
    *find(x, key) = (StrIndexRow){key, value};
    x->used++;
}

void *strindex_get(const StrIndex *x, const char *key)
{
    return x->size ? find(x, key)->value : NULL;
}

void strindex_remove(StrIndex *x, const char *key)
{
    StrIndexRow *r = x->size ? find(x, key) : NULL;
    if (r && r->key)
        *r = (StrIndexRow){.key = ""};
}

void strindex_done(StrIndex *x)
{
    mem_free(x->row);
    *x = (StrIndex){0};
}
