/* request.h - what a request asks for: its path, its verb, its options. Pure: method and target in, values or the Status to answer out.
 *
 * The functions return NULL, or a new metav1.Status that says what is wrong, in kube-apiserver's words. What a query may say follows
 * apimachinery's conversion: a boolean is false for "0" and "false" of any case and true for everything else (so watch=True and watch=
 * are true), the first of repeated values counts, and unknown names are ignored. A malformed pair is refused, which Go ignores. */
#ifndef REPRISE_KUBE_REQUEST_H
#define REPRISE_KUBE_REQUEST_H

#include "kube/selector.h"
#include "kube/status.h"

#define KUBE_TARGET_MAX ((size_t)64 << 10) /* bytes of a request target */
#define KUBE_QUERY_MAX 1024                /* name=value pairs; what is beyond is refused */

typedef enum {
    PATH_RESOURCE,      /* kind, namespace_, name, sub, verb are set */
    PATH_API,           /* /api */
    PATH_APIS,          /* /apis */
    PATH_GROUP,         /* /apis/<group>, in group */
    PATH_GROUP_VERSION, /* /api/v1 (group "") and /apis/<group>/v1 */
    PATH_VERSION,       /* /version */
    PATH_HEALTH,        /* /healthz, /livez, /readyz and what is below them: group has the first word, name the rest or NULL */
    PATH_OPENAPI_V2,
    PATH_OPENAPI_V3,    /* /openapi/v3, or a document below it: name is "api/v1" or "apis/<group>/v1" */
    PATH_METRICS,       /* /metrics */
    PATH_STATS,         /* /stats/summary */
    PATH_METRICS_RESOURCE, /* /metrics/resource */
} KubePath;

typedef struct { char *name, *value; } QueryPair;
typedef struct {
    KubePath path;
    char *text; /* the decoded path */
    char *group, *namespace_, *name;
    const KubeKind *kind;
    const KubeSub *sub; /* NULL: the object itself */
    unsigned verb;      /* VERB_*; list or watch as the query says */
    bool watch_path;    /* /api/v1/watch/... */
    size_t n_query;
    QueryPair *query;   /* decoded, in order */
} KubeRequest;

/* <target> is the request line's: path and query, n bytes, any bytes. */
MUST_USE json_t *kube_request_parse(const char *method, const char *target, size_t n, KubeRequest *ret);
void kube_request_done(KubeRequest *r);
static inline UNUSED void kube_request_done_at(KubeRequest *r) { kube_request_done(r); }
/* The first value of <name>, NULL if there is none. */
const char *kube_query(const KubeRequest *r, const char *name);
bool kube_query_flag(const KubeRequest *r, const char *name);
/* What the answer is about, for status.h. */
KubeRef kube_request_ref(const KubeRequest *r);

typedef struct {
    LabelSelector labels;
    FieldSelector fields; /* with metadata.name=<name> for a watch of one object by its path */
    bool watch, allow_bookmarks;
    const char *resource_version, *resource_version_match, *continue_; /* the request's, "" when not given */
    int64_t limit;           /* 0 = all */
    OptInt timeout_seconds;
    OptBool send_initial_events; /* set too where WatchList makes it the default: a watch from no version or from 0 */
} ListOptions;
MUST_USE json_t *kube_list_options(const KubeRequest *r, ListOptions *ret);
void list_options_done(ListOptions *o);
static inline UNUSED void list_options_done_at(ListOptions *o) { list_options_done(o); }
/* A resourceVersion: 0 for "" and "0". */
MUST_USE json_t *kube_version_parse(const char *text, int64_t *ret);

typedef enum { FIELDS_WARN, FIELDS_IGNORE, FIELDS_STRICT } FieldValidation; /* Warn is the server's default */
typedef struct {
    bool dry_run;
    const char *field_manager; /* "" when not given: see kube_field_manager() */
    FieldValidation field_validation;
    OptBool force;
} WriteOptions;
/* CreateOptions, UpdateOptions or PatchOptions by the request's verb; <apply>: the patch is a server-side apply. */
MUST_USE json_t *kube_write_options(const KubeRequest *r, bool apply, WriteOptions *ret);
/* The manager a change is recorded under: what was given, else the user agent up to its first "/". Caller frees. */
MUST_USE char *kube_field_manager(const WriteOptions *o, const char *user_agent);

typedef struct {
    bool dry_run;
    OptInt grace_period_seconds;
    char *propagation_policy;             /* owned; NULL = the kind's default */
    OptBool orphan_dependents;
    char *uid, *resource_version;         /* preconditions, owned, NULL = none */
} DeleteOptions;
/* <body> is the decoded DeleteOptions, NULL when the request has none: then the query is read. */
MUST_USE json_t *kube_delete_options(const KubeRequest *r, const json_t *body, DeleteOptions *ret);
void delete_options_done(DeleteOptions *o);
static inline UNUSED void delete_options_done_at(DeleteOptions *o) { delete_options_done(o); }

typedef struct {
    const char *container; /* "" when not given */
    bool follow, previous, timestamps, insecure_skip_tls;
    OptInt since_seconds, tail_lines, limit_bytes;
    OptTime since_time;
    const char *stream;    /* NULL, or "All", "Stdout", "Stderr": only with stream selection, which is off */
} PodLogOptions;
MUST_USE json_t *kube_log_options(const KubeRequest *r, PodLogOptions *ret);

typedef struct {
    const char *container;
    bool in, out, err, tty; /* at least one of the first three; a terminal has no err */
    StrVec command;         /* exec: repeated command=; at least one, or it is refused */
} PodExecOptions;
MUST_USE json_t *kube_exec_options(const KubeRequest *r, PodExecOptions *ret); /* for attach too: no command is asked for */
void exec_options_done(PodExecOptions *o);
static inline UNUSED void exec_options_done_at(PodExecOptions *o) { exec_options_done(o); }

typedef struct { size_t n; uint16_t v[64]; } PodPortForwardOptions; /* ports=80,90 and repeated; 0 ports: the streams say */
MUST_USE json_t *kube_port_forward_options(const KubeRequest *r, PodPortForwardOptions *ret);

/* Percent-decoding; <plus>: "+" is a blank, as in a query. NULL for a broken escape, a NUL, and what is no UTF-8. Caller
 * frees. */
MUST_USE char *kube_unescape(const char *s, size_t n, bool plus);

#endif
