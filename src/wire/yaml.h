/* yaml.h - YAML 1.1 as kubectl reads it (go-yaml v2's scalar rules), over libyaml's events; and JSON to YAML. */
#ifndef REPRISE_WIRE_YAML_H
#define REPRISE_WIRE_YAML_H

#include "wire/json.h"

/* All documents of <text> (YAML or JSON), empty ones skipped: *ret is a new JSON array with one element a document.
 * Refused with line and column: repeated keys, alias bombs (more than 1e5 nodes after expansion), .inf/.nan, tabs,
 * more than 4 MiB, nesting over 256. */
MUST_USE Err *yaml_parse_all(const char *text, size_t n, json_t **ret);
/* Block style as kubectl -o yaml prints; keys in the object's order. Caller frees. */
MUST_USE char *yaml_text(const json_t *j);

#endif
