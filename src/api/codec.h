/* codec.h - one field table for each type: decode, encode, copy, compare, free.
 *
 * The walker keeps the path of where it is and prints it only on error:
 *   spec.containers[2].restartPolicyRules[1].exitCodes.values[0]: Invalid value: ...
 * Strictness is an argument: STRICT for what people write (unknown and repeated fields are errors, all of them
 * reported), LENIENT for status objects and for peers newer than us (unknown fields are dropped and counted). */
#ifndef REPRISE_API_CODEC_H
#define REPRISE_API_CODEC_H

#include "api/types.h"
#include "base/err.h"
#include "base/str.h"

typedef enum {
    F_STR,      /* char * */
    F_BOOL,     /* OptBool */
    F_INT,      /* OptInt; .min/.max when given, else int32 */
    F_INT64,    /* OptInt, whole int64 */
    F_TIME,     /* OptTime, RFC 3339, seconds */
    F_INTSTR,   /* IntOrString */
    F_QUANTITY, /* char *; JSON string or number */
    F_RAW,      /* char * */
    F_OBJ,      /* T *, .sub */
    F_OBJ_IN,   /* T embedded, .sub (metadata, spec, status; absent = zero) */
    F_OBJ_LIST, /* LIST_OF(T), .sub */
    F_STR_LIST, /* StrList */
    F_INT_LIST, /* IntList */
    F_STR_MAP,  /* StrMap */
    F_BYTES_MAP,/* BytesMap */
    F_RES_MAP,  /* ResourceList */
} FieldKind;

struct Field {
    const char *json;
    FieldKind kind;
    uint32_t off;
    uint32_t flags; /* FIELD_* */
    const TypeDesc *sub;
};
#define FIELD_ALWAYS 1u   /* written even when absent: "" / 0 / false / {} / null time, as Go without omitempty */
#define FIELD_NO_ENCODE 2u /* read, never written (stringData) */
#define FIELD_EMPTY_OBJ 4u /* F_OBJ: written as {} when NULL (state, lastState, resources) */
#define FIELD_PTR 8u       /* a pointer in Go: a zero value differs from an absent one, and is written */
#define FIELD_WIDE 16u     /* F_INT_LIST: int64 elements, not int32 */
/* Without FIELD_PTR a zero value (0, "", false, empty list) equals an absent one and is not written, as Go's omitempty
 * does; the decoder makes "" of such a string NULL, so a string that is not NULL is not empty. */

typedef enum { DECODE_STRICT, DECODE_LENIENT } DecodeMode;

/* What a decoder or validator has to say, collected rather than stopped at: all errors at once. */
typedef enum {
    CAUSE_INVALID,       /* "FieldValueInvalid",      Invalid value */
    CAUSE_REQUIRED,      /* "FieldValueRequired",     Required value */
    CAUSE_NOT_SUPPORTED, /* "FieldValueNotSupported", Unsupported value */
    CAUSE_DUPLICATE,     /* "FieldValueDuplicate",    Duplicate value */
    CAUSE_FORBIDDEN,     /* "FieldValueForbidden",    Forbidden */
    CAUSE_TOO_LONG,      /* "FieldValueTooLong",      Too long */
    CAUSE_TOO_MANY,      /* "FieldValueTooMany",      Too many */
    CAUSE_NOT_FOUND,     /* "FieldValueNotFound",     Not found */
    CAUSE_TYPE,          /* "FieldValueTypeInvalid",  Invalid value, wrong JSON type */
    CAUSE_UNKNOWN_FIELD, /* strict decoding: unknown field "spec.foo" */
} CauseKind;
typedef struct {
    CauseKind kind;
    char *path;    /* "spec.containers[0].name"; owned */
    char *message; /* what follows "path: ": "Required value: must be specified"; owned. For an unknown field the
                    * whole text: unknown field "spec.foo" */
} Cause;
typedef struct {
    LIST_OF(Cause) errors;
    StrList warnings; /* whole lines */
    size_t n_dropped; /* unknown fields that LENIENT decoding dropped */
} Report;
void report_add(Report *r, CauseKind kind, const char *path, const char *fmt, ...) PRINTF_LIKE(4, 5); /* fmt: message */
void report_warn(Report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool report_ok(const Report *r); /* no errors (warnings do not count) */
void report_done(Report *r);
static inline UNUSED void report_done_at(Report *r) { report_done(r); }

/* Opaque JSON value of wire/json.h (jansson's json_t). Borrowed unless said otherwise. */
typedef struct json_t json_t;

/* Decodes <json> into a new object of type <t>; errors go to <r> with <path> in front ("" for the root). Always returns
 * an object (partly filled on errors); caller api_free()s it. */
MUST_USE void *api_decode(const TypeDesc *t, const json_t *json, const char *path, DecodeMode mode, Report *r);
/* A new json_t reference, keys in table order. */
MUST_USE json_t *api_encode(const TypeDesc *t, const void *obj);
/* Compact JSON text; caller frees. */
MUST_USE char *api_encode_text(const TypeDesc *t, const void *obj);
/* Appends the same text, without making a tree of it first: five times as fast, for what is written at every change. */
void api_write(Str *out, const TypeDesc *t, const void *obj);
/* Decodes JSON text in LENIENT mode (state files, facts). */
MUST_USE Err *api_decode_text(const TypeDesc *t, const char *text, size_t n, void **ret);

/* The pure half (types.c, value.c: no jansson): the decision core uses these. */
MUST_USE void *api_copy(const TypeDesc *t, const void *obj);          /* deep copy on the heap; caller api_free()s */
void api_copy_into(const TypeDesc *t, void *dst, const void *src);    /* dst is overwritten without being freed */
/* Deep, as kube-apiserver would compare what it stores: quantities by value, times by whole seconds, absent equals
 * absent only (but see FIELD_PTR). */
bool api_equal(const TypeDesc *t, const void *a, const void *b);
/* Is the field absent, or as good as absent (FIELD_PTR)? */
bool api_field_zero(const Field *f, const void *obj);
void api_done(const TypeDesc *t, void *obj);                          /* frees the contents, zeroes *obj */
void api_free(const TypeDesc *t, void *obj);                          /* api_done + free; NULL allowed */
static inline UNUSED void pod_free(Pod *p) { api_free(&type_Pod, p); }
SCOPED_FN(pod_free, Pod *, NULL)

/* Appends a zeroed element to any LIST_OF and returns it: Container *c = LIST_ADD(&spec->containers); */
void *list_add(void *list, size_t elem_size);
#define LIST_ADD(l) ((__typeof__((l)->v))list_add((l), sizeof *(l)->v))
/* The list may be const; it must not change during the walk. */
#define LIST_EACH(it, l)                                                                                               \
    for (__typeof__(*(l)->v) *it = (l)->v, *it##_end_ = it ? it + (l)->n : it; it < it##_end_; it++)

#endif
