/* target.h - what the words of a command line name: TYPE[,TYPE] [NAME...], TYPE/NAME... (cli-runtime's resource.Builder), and the paths
 * of the API for it. Types are those that this program serves (kube/kinds.h): no discovery is needed. Pure. */
#ifndef REPRISE_CLIENT_TARGET_H
#define REPRISE_CLIENT_TARGET_H

#include "base/str.h"
#include "kube/kinds.h"
#include "kube/selector.h"
#include "wire/json.h"

typedef struct {
    const KubeKind *kind;
    char *name;       /* NULL = all of the kind, or those of a selector */
    char *namespace_; /* NULL = that of the command line */
    json_t *object;   /* from a file: what is there; NULL = from the command line */
    char *source;     /* the file, for errors */
} Target;
typedef struct {
    size_t n;
    Target *v;
    bool single; /* one object was named: it is printed alone, not as a list */
} Targets;
void targets_done(Targets *t);
static inline UNUSED void targets_done_at(Targets *t) { targets_done(t); }

/* "po", "Pod", "pods.v1", "events.events.k8s.io", in any case. ERR_INVALID in kubectl's words. */
MUST_USE Err *kind_parse(const char *word, const KubeKind **ret);
/* ERR_INVALID: kubectl's reasons. <selected>: a selector or --all is given: then no names. */
MUST_USE Err *targets_parse(const char *const *words, size_t n, bool selected, Targets *ret);
/* Adds what a document of a file says: its kind and name; a List's items. <namespace_>: that of the command line, <enforced> when it was
 * given there. */
MUST_USE Err *targets_add_document(Targets *t, const json_t *doc, const char *source, const char *namespace_, bool enforced);

/* Keeps those from files whose labels match. */
void targets_filter(Targets *t, const LabelSelector *s);

/* "/api/v1/namespaces/NS/pods/NAME/SUB"; namespace_ NULL: all, name NULL: the collection, sub NULL: none. Caller frees. */
MUST_USE char *kind_path(const KubeKind *k, const char *namespace_, const char *name, const char *sub);
/* "pod", "event.events.k8s.io": what stands before the / of a name. Caller frees. */
MUST_USE char *kind_word(const KubeKind *k);

#endif
