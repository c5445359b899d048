/* objects.h - manifests in, validated objects out: what `reprise run`, `validate` and the API all start from. */
#ifndef REPRISE_API_OBJECTS_H
#define REPRISE_API_OBJECTS_H

#include "api/codec.h"
#include "api/features.h"

/* All documents of one input. */
typedef struct {
    LIST_OF(Pod *) pods;
    LIST_OF(ConfigMap *) config_maps;
    LIST_OF(Secret *) secrets;
    LIST_OF(PersistentVolumeClaim *) pvcs;
} Objects;
void objects_done(Objects *o);
static inline UNUSED void objects_done_at(Objects *o) { objects_done(o); }

/* One document's verdict, for printing: "Pod", "ml-worker-pod" and what was found. */
typedef struct {
    char *source; /* file name, or "-" */
    size_t index; /* document in the file, from 0 */
    char *kind, *name, *namespace_;
    const Pod *pod; /* what the document became, owned by Objects; NULL if it is no Pod */
    Report report;
} DocReport;
typedef struct { LIST_OF(DocReport) docs; } DocReports;
void doc_reports_done(DocReports *r);
static inline UNUSED void doc_reports_done_at(DocReports *r) { doc_reports_done(r); }
bool doc_reports_ok(const DocReports *r);

/* Parses YAML or JSON (several documents, List kinds expanded), decodes strictly, defaults and validates each, drops
 * disabled fields by <gates>. Adds valid and invalid objects alike to <objs>; <reports> has one entry a document. Err
 * only if the text is not YAML/JSON at all. max 4 MiB (ERR_LIMIT). */
MUST_USE Err *objects_parse(const char *source, const char *text, size_t n, const FeatureGates *gates, Objects *objs,
                            DocReports *reports);

typedef enum { READS_CONFIG_MAP, READS_SECRET, READS_PVC } PodReads;
/* Does <p> read the object of that name in its own namespace: in volumes, env, or as imagePullSecret? */
bool pod_reads(const Pod *p, PodReads kind, const char *name);
/* Adds copies of the ConfigMaps, Secrets and claims in <all> that <p> reads: in volumes, env, and as imagePullSecrets. */
void objects_of_pod(const Pod *p, const Objects *all, Objects *out);

/* Fills what kube-apiserver fills: pod.c. generateName is not resolved here. */
void pod_default(Pod *p);
/* Every error of a create, in kube-apiserver's words and order, then what this agent cannot honour (Forbidden:
 * "... is not supported by reprise"). */
void pod_validate(const Pod *p, const FeatureGates *gates, Report *r);
/* The same of a Pod that exists, after an update: it may have ephemeral containers. What may change is not checked here. */
void pod_validate_stored(const Pod *p, const FeatureGates *gates, Report *r);
/* Warnings for what breaks under in-place restart; see `reprise validate --lint`. */
void pod_lint(const Pod *p, Report *r);
/* metadata alone, of a kind whose names are DNS subdomains. */
void object_meta_validate(const ObjectMeta *m, bool namespaced, Report *r);
void config_map_validate(const ConfigMap *c, Report *r);
void secret_default(Secret *s); /* type Opaque, stringData merged */
void secret_validate(const Secret *s, Report *r);
void pvc_validate(const PersistentVolumeClaim *c, Report *r);

/* "Guaranteed", "Burstable" or "BestEffort" (static strings). */
const char *pod_qos_class(const PodSpec *s);
/* Sidecar: entry of initContainers whose restartPolicy is Always. */
bool container_is_sidecar(const Container *c);
/* The regular or init container of that name; NULL: there is none. */
const Container *pod_container_named(const Pod *p, const char *name);
/* A metav1.Status of a failed create, as kube-apiserver would answer; new json_t. */
MUST_USE json_t *report_status_json(const Report *r, const char *kind, const char *name);

#endif
