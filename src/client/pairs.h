/* pairs.h - KEY=VALUE and KEY-, as `reprise label` and `annotate` take them, and the patch that they are. Pure. */
#ifndef REPRISE_CLIENT_PAIRS_H
#define REPRISE_CLIENT_PAIRS_H

#include "base/str.h"
#include "wire/json.h"

/* How many of <words> come before the first pair. */
size_t pairs_begin(const char *const *words, size_t n);
/* A new object: KEY: "VALUE", or null for KEY-. ERR_INVALID: what is no pair; a key that is set and removed. <what>: "label". */
MUST_USE Err *pairs_parse(const char *const *words, size_t n, const char *what, json_t **ret);
/* "'a' already has a value (b)" of all keys whose value would change, separated by "; "; NULL if there is none. Caller frees. */
MUST_USE char *pairs_overwritten(const json_t *pairs, const json_t *now);
/* What was done, by the sizes before and after: "labeled", "unlabeled", "not labeled". Static. */
const char *labels_changed(const json_t *before, const json_t *after);

#endif
