/* json.h - thin face of jansson: bounded, strict parsing with clear errors. Include this, not <jansson.h>. */
#ifndef REPRISE_WIRE_JSON_H
#define REPRISE_WIRE_JSON_H

#include <jansson.h>

#include "base/err.h"

/* Refuses repeated keys, bad UTF-8, trailing text, more than 4 MiB or deep nesting (jansson's 2048 is lowered to 256).
 * The error names line and column. *ret is a new reference. */
MUST_USE Err *json_parse(const char *text, size_t n, json_t **ret);
/* Brackets nested deeper than json_parse() allows. */
bool json_too_deep(const char *text, size_t n);
static inline void json_unref(json_t *j) { json_decref(j); }
SCOPED_FN(json_unref, json_t *, NULL)

/* Borrowed members, NULL / fallback when absent or of another type. */
const char *json_str(const json_t *o, const char *key);
int64_t json_i64(const json_t *o, const char *key, int64_t otherwise);
bool json_flag(const json_t *o, const char *key, bool otherwise);
/* Compact or indented (2) text; caller frees. */
MUST_USE char *json_text(const json_t *j, bool pretty);

#endif
