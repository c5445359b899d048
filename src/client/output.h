/* output.h - the forms of -o, and objects in them. Pure. */
#ifndef REPRISE_CLIENT_OUTPUT_H
#define REPRISE_CLIENT_OUTPUT_H

#include "client/jsonpath.h"
#include "client/tabs.h"

/* What completion offers; jsonpath= and custom-columns= take a template behind them. */
#define OUTPUT_FORMATS "json yaml name wide jsonpath= custom-columns="

typedef enum { OUT_TABLE, OUT_WIDE, OUT_JSON, OUT_YAML, OUT_NAME, OUT_JSONPATH, OUT_COLUMNS } OutForm;
typedef struct {
    OutForm form;
    bool managed_fields; /* show metadata.managedFields */
    bool no_headers;
    JsonPath *path;      /* OUT_JSONPATH */
    StrVec headers;      /* OUT_COLUMNS */
    JsonPath **columns;
    Tabs tabs;
    size_t printed;      /* objects, or lists */
} Output;
/* <text> NULL: a table. ERR_INVALID: none of the forms, or a template that is wrong. */
MUST_USE Err *output_parse(const char *text, Output *ret);
void output_done(Output *o);
static inline UNUSED void output_done_at(Output *o) { output_done(o); }

/* Appends <object>, which may be a list, in any form but the two tables. */
MUST_USE Err *output_print(Output *o, const json_t *object, Str *out);
/* As --sort-by: <items> (an array) in the order of what <path> finds in them; what has none is first. */
MUST_USE Err *items_sort(json_t *items, const JsonPath *path);
/* A v1 List of <items> (taken). */
MUST_USE json_t *list_of(json_t *items);

#endif
