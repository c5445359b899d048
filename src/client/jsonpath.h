/* jsonpath.h - kubectl's JSONPath templates (client-go's util/jsonpath): text with {.spec.containers[*].name} in it. Pure.
 *
 * Fields, ['quoted'], indexes, slices and unions of them, *, .., [?(@.a=="b")] with one comparison, {range}..{end}, quoted text.
 * What is missing is skipped, as kubectl asks for (AllowMissingKeys). Bounded: depth and results. */
#ifndef REPRISE_CLIENT_JSONPATH_H
#define REPRISE_CLIENT_JSONPATH_H

#include "base/str.h"
#include "wire/json.h"

typedef struct JsonPath JsonPath;
/* ERR_INVALID with the place of what is wrong. */
MUST_USE Err *jsonpath_parse(const char *text, JsonPath **ret);
/* Accepts also .a.b and a.b (kubectl's RelaxedJSONPathExpression()): what --sort-by, custom columns and wait take. */
MUST_USE Err *jsonpath_parse_relaxed(const char *text, JsonPath **ret);
void jsonpath_free(JsonPath *p);
SCOPED_FN(jsonpath_free, JsonPath *, NULL)

/* Appends the template's text for <value>. */
MUST_USE Err *jsonpath_print(const JsonPath *p, const json_t *value, Str *out);
/* What the template's first expression finds: a new array whose elements are borrowed from <value> by reference count. */
MUST_USE Err *jsonpath_find(const JsonPath *p, const json_t *value, json_t **ret);

#endif
