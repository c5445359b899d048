/* body.h - a request's body as a JSON value. Keys that are given twice are no error here: fieldValidation says what becomes of them. */
#ifndef REPRISE_KUBE_BODY_H
#define REPRISE_KUBE_BODY_H

#include "kube/negotiate.h"

/* JSON, or one document of YAML (where repeated keys are always refused). In JSON the last of repeated values counts, and each is an
 * error of <r>: duplicate field "spec.containers[0].name", of the kind that meta_field_validation() knows. NULL, or what to answer:
 * 400 for what cannot be read, 413 for what is over json_parse()'s bounds. */
MUST_USE json_t *kube_body_parse(MediaType type, const char *text, size_t n, json_t **ret, Report *r);
/* apiVersion and kind of a body against what the path is for; absent ones are filled in as the decoder's defaults. */
MUST_USE json_t *kube_body_kind(json_t *body, const char *group, const char *version, const char *kind);

#endif
