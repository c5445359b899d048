/* selector.h - label and field selectors: parse, print, match. The grammar and the words are those of k8s.io/apimachinery's
 * pkg/labels and pkg/fields; every error has the reason BadRequest and its text is the whole message. Linear in the text. */
#ifndef REPRISE_KUBE_SELECTOR_H
#define REPRISE_KUBE_SELECTOR_H

#include "base/err.h"
#include "base/str.h"
#include "kube/kinds.h"
#include "wire/json.h"

typedef enum { SEL_IN, SEL_NOT_IN, SEL_EQ, SEL_EQ2, SEL_NE, SEL_EXISTS, SEL_NOT_EXISTS, SEL_GT, SEL_LT } SelectorOp;
typedef struct {
    char *key;
    SelectorOp op;
    StrVec values; /* sorted, unique */
} Requirement;
typedef struct {
    size_t n;
    Requirement *v; /* sorted by key */
} LabelSelector;

/* "a=b,c in (d,e),!f". NULL and "" match all. *ret is empty on an error. */
MUST_USE Err *label_selector_parse(const char *text, LabelSelector *ret);
/* <labels> is metadata.labels, NULL when there are none. */
bool label_selector_matches(const LabelSelector *s, const json_t *labels);
/* Canonical text, as Selector.String(). Caller frees. */
MUST_USE char *label_selector_text(const LabelSelector *s);
void label_selector_done(LabelSelector *s);
static inline UNUSED void label_selector_done_at(LabelSelector *s) { label_selector_done(s); }

typedef struct {
    char *field, *value; /* field: the name that the kind's objects are asked by, after conversion */
    bool differs;        /* != */
} FieldTerm;
typedef struct {
    const KubeKind *kind;
    size_t n;
    FieldTerm *v; /* in the order of their text */
} FieldSelector;

/* "status.phase=Running,metadata.name!=x" for objects of <kind>; a field that it cannot be asked by is an error. */
MUST_USE Err *field_selector_parse(const char *text, const KubeKind *kind, FieldSelector *ret);
/* Events are looked at in their v1 form, whichever form was asked for. */
bool field_selector_matches(const FieldSelector *s, const json_t *object);
/* The one value that <field> must have, NULL if the selector does not say: metadata.name=x makes a list a look-up. */
const char *field_selector_exact(const FieldSelector *s, const char *field);
MUST_USE char *field_selector_text(const FieldSelector *s);
void field_selector_done(FieldSelector *s);
static inline UNUSED void field_selector_done_at(FieldSelector *s) { field_selector_done(s); }

#endif
