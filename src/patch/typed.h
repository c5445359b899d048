/* typed.h - objects seen through the table of types: which paths they have, how two differ, how one goes into another.
 * What structured-merge-diff calls a TypedValue. JSON NULL is "not there"; a JSON null is a value. */
#ifndef REPRISE_PATCH_TYPED_H
#define REPRISE_PATCH_TYPED_H

#include "patch/fieldset.h"
#include "patch/patch_priv.h"

/* Errors one a line, as upstream lists them, NULL if there are none: "errors:\n  .spec.x: field not declared in schema\n
 * .spec.y: ...", or the one error alone. <allow_duplicates>: of what is stored already. Caller frees. */
MUST_USE char *typed_validate(PatchPlace at, const json_t *v, bool allow_duplicates);
/* The fields that <v> has: leaves, elements of lists, members of maps. */
MUST_USE FieldSet *typed_field_set(PatchPlace at, const json_t *v);

typedef struct {
    FieldSet *removed, *modified, *added; /* owned */
} TypedDiff;
MUST_USE TypedDiff typed_compare(PatchPlace at, const json_t *old, const json_t *now);
void typed_diff_done(TypedDiff *d);
static inline UNUSED void typed_diff_done_at(TypedDiff *d) { typed_diff_done(d); }

/* <config> laid over <live>. The result shares values with both: nobody may change it. NULL: nothing is left. */
MUST_USE json_t *typed_merge(PatchPlace at, const json_t *live, const json_t *config);
/* <v> without the paths of <doomed>; shares values with it. */
MUST_USE json_t *typed_remove(PatchPlace at, const json_t *v, FieldSet *doomed);
/* <s> with those fields of structs as members that only have something below them. */
MUST_USE FieldSet *typed_name_structs(PatchPlace at, FieldSet *s);

#endif
