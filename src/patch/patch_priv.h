/* patch_priv.h - what the parts of patch/ share: the table of types, and Go's way to print a value. */
#ifndef REPRISE_PATCH_PATCH_PRIV_H
#define REPRISE_PATCH_PATCH_PRIV_H

#include "base/str.h"
#include "patch/patch.h"

/* json_parse() takes no deeper text, so nothing deeper may come out. */
#define PATCH_MAX_DEPTH 256
/* A list that is merged by keys is searched once for each element; 4096 is far more than a valid object has. */
#define PATCH_MAX_LIST 4096

typedef enum {
    SHAPE_ONE,        /* a value of the type */
    SHAPE_MAP,        /* its members are of the type */
    SHAPE_MAP_ATOMIC, /* owned as a whole */
    SHAPE_LIST,       /* atomic: owned and replaced as a whole */
    SHAPE_LIST_SET,   /* scalars, each once */
    SHAPE_LIST_MAP,   /* objects told apart by keys */
} PatchShape;

typedef enum {
    PT_STRING,
    PT_NUMBER,
    PT_BOOL,
    PT_ANY,  /* any scalar: quantities, times, int-or-string */
    PT_FREE, /* anything: maps are merged, lists are atomic */
    PT_STRUCT,
} PatchTypeKind;

typedef struct PatchField {
    const char *name;
    const PatchType *type;
    PatchShape shape;
    uint8_t smp;           /* strategic merge: SMP_* */
    const char *keys;      /* SHAPE_LIST_MAP: "containerPort=0 protocol=TCP", each with its default behind "=" */
    const char *merge_key; /* strategic merge: of SMP_MERGE over objects, NULL over scalars */
} PatchField;
#define SMP_MERGE 1u
#define SMP_RETAIN 2u /* $retainKeys is what makes them disappear: nothing to do without it */

struct PatchType {
    const char *name; /* of the Go struct: "Container" */
    PatchTypeKind kind;
    bool atomic;
    bool open; /* may have fields that are not listed, of type patch_free */
    const PatchField *field;
    size_t n;
};

extern const PatchType patch_free;

/* Where a walk stands: what the value there is. */
typedef struct {
    const PatchType *type;
    PatchShape shape;
    const char *keys;
} PatchPlace;

/* NULL: no such field is listed. */
const PatchField *patch_field(const PatchType *t, const char *name);
PatchPlace patch_place_field(const PatchField *f);
/* An element of a list, or a member of a map that is no struct. */
PatchPlace patch_place_elem(PatchPlace p);
/* The member <key> of the object at <p>. false: not declared. *ret_named: it is a field of a struct. */
bool patch_place_member(PatchPlace p, const char *key, PatchPlace *ret, bool *ret_named);

/* %v, %#v and %T of what Go's JSON decoder makes of <j> (NULL = nil). */
void patch_go_v(Str *s, const json_t *j);
void patch_go_syntax(Str *s, const json_t *j);
const char *patch_go_type(const json_t *j);
/* One value by %v; caller frees. */
MUST_USE char *patch_go_text(const json_t *j);

/* Equal by value; 1 and 1.0 are equal. */
bool patch_equal(const json_t *a, const json_t *b);
/* Depth of brackets, no deeper than <limit> + 1 is looked. Takes the number of values seen off *budget and stops there. */
size_t patch_depth(const json_t *j, size_t limit, size_t *budget);
/* ERR_LIMIT if <j> is deeper than PATCH_MAX_DEPTH. */
MUST_USE Err *patch_check_depth(const json_t *j);

#define PATCH_BAD(...) err_reason(err_new(ERR_INVALID, 0, __VA_ARGS__), "BadRequest")
#define PATCH_INVALID(...) err_reason(err_new(ERR_INVALID, 0, __VA_ARGS__), "Invalid")
#define PATCH_LIMIT(...) err_reason(err_new(ERR_LIMIT, 0, __VA_ARGS__), "RequestEntityTooLarge")

#endif
