/* fieldset.h - a set of paths into an object: what metadata.managedFields calls FieldsV1.
 *
 * A tree with one level for each path element. An entry may be in the set itself (member), may have paths below it (child),
 * or both; one with neither is dropped. */
#ifndef REPRISE_PATCH_FIELDSET_H
#define REPRISE_PATCH_FIELDSET_H

#include "base/str.h"
#include "wire/json.h"

typedef enum { PE_FIELD, PE_KEY, PE_VALUE, PE_INDEX } PathElemKind; /* in the order in which they sort */
typedef struct {
    PathElemKind kind;
    char *name;     /* PE_FIELD; owned */
    json_t *value;  /* PE_VALUE: a scalar; PE_KEY: an object, its keys sorted; owned */
    int64_t index;  /* PE_INDEX */
} PathElem;
void path_elem_done(PathElem *pe);
PathElem path_elem_copy(const PathElem *pe);
int path_elem_compare(const PathElem *a, const PathElem *b);
/* .image, [name="main"], [="x"], [3] */
void path_elem_text(Str *s, const PathElem *pe);

/* A path, chained on the stack from its end; NULL is the root. */
typedef struct FieldPath {
    const struct FieldPath *up;
    const PathElem *pe;
} FieldPath;

typedef struct FieldSet FieldSet;
typedef struct {
    PathElem pe;
    bool member;
    FieldSet *child; /* owned; NULL: nothing below */
} FieldEntry;
struct FieldSet {
    FieldEntry *v;
    size_t n, cap;
    bool unsorted; /* insertions came out of order: whoever looks sorts first */
};

MUST_USE FieldSet *field_set_new(void);
void field_set_free(FieldSet *s);
SCOPED_FN(field_set_free, FieldSet *, NULL)
void field_set_insert(FieldSet *s, const FieldPath *path); /* the root is in no set */
/* Puts <child> (taken) below <pe>, which has nothing there yet. */
void field_set_adopt(FieldSet *s, const PathElem *pe, FieldSet *child);
/* Puts all that <from> (taken) has into <to>: a union in place, for many of them. */
void field_set_take(FieldSet *to, FieldSet *from);
/* Entries in order, each element once: before a walk over v. */
void field_set_sort(FieldSet *s);
bool field_set_empty(const FieldSet *s);
/* Borrowed; NULL: neither member nor child. */
const FieldEntry *field_set_find(FieldSet *s, const PathElem *pe);

/* All of these give new sets; the arguments are only sorted. */
MUST_USE FieldSet *field_set_copy(FieldSet *s);
MUST_USE FieldSet *field_set_union(FieldSet *a, FieldSet *b);
MUST_USE FieldSet *field_set_intersection(FieldSet *a, FieldSet *b);
MUST_USE FieldSet *field_set_difference(FieldSet *a, FieldSet *b);
/* Without what is in <b> and all that is below it. */
MUST_USE FieldSet *field_set_recursive_difference(FieldSet *a, FieldSet *b);

/* FieldsV1, both ways. What a later version may have added (other prefixes) is dropped. */
MUST_USE Err *field_set_from_json(const json_t *j, FieldSet **ret);
MUST_USE json_t *field_set_to_json(FieldSet *s);
/* Each path as text, members of a level before what is below: ".spec.containers[name=\"main\"].image". */
void field_set_paths(FieldSet *s, StrVec *out);

#endif
