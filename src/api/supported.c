/* supported.c - what Kubernetes accepts and this agent cannot honour: refused by name, never ignored. */
#include "api/validate_priv.h"

#define NOT_SUPPORTED "not supported by reprise"

typedef struct {
    const char *key;
    bool set;
    const char *hint;
} Row;

static void refuse(Report *r, const Path *at, const Row rows[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].set)
            v_forbidden(r, CHILD(at, rows[i].key), "%s", rows[i].hint);
}

static void check_volume_types(Checker *c, const Path *at, const Volume *v)
{
    static const char mount_it[] = "mount it on the host and use hostPath";
    const struct {
        const char *key;
        bool set;
        const char *hint;
    } rows[] = {
        {"nfs", v->nfs, mount_it},
        {"csi", v->csi, mount_it},
        {"iscsi", v->iscsi, mount_it},
        {"ephemeral", v->ephemeral, "use emptyDir, or persistentVolumeClaim to keep the data"},
        {"fc", v->fc, mount_it},
        {"rbd", v->rbd, mount_it},
        {"cephfs", v->cephfs, mount_it},
        {"glusterfs", v->glusterfs, mount_it},
        {"cinder", v->cinder, mount_it},
        {"flocker", v->flocker, mount_it},
        {"flexVolume", v->flex_volume, mount_it},
        {"azureFile", v->azure_file, mount_it},
        {"azureDisk", v->azure_disk, mount_it},
        {"vsphereVolume", v->vsphere_volume, mount_it},
        {"quobyte", v->quobyte, mount_it},
        {"photonPersistentDisk", v->photon_persistent_disk, mount_it},
        {"portworxVolume", v->portworx_volume, mount_it},
        {"scaleIO", v->scale_io, mount_it},
        {"storageos", v->storageos, mount_it},
        {"gitRepo", v->git_repo, "clone in an init container into an emptyDir"},
        {"gcePersistentDisk", v->gce_persistent_disk, mount_it},
        {"awsElasticBlockStore", v->aws_elastic_block_store, mount_it},
        {"image", v->image, "copy the files in an init container of that image into an emptyDir"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].set)
            v_forbidden(c->r, CHILD(at, rows[i].key), "%s volumes are " NOT_SUPPORTED ": %s", rows[i].key, rows[i].hint);
}

static void check_projection(Checker *c, const Path *at, const VolumeProjection *p)
{
    const Row rows[] = {
        {"serviceAccountToken", p->service_account_token,
         "service account tokens are " NOT_SUPPORTED ", for there is no API server that could issue one: remove the source, "
         "or set automountServiceAccountToken: false if it was added for you"},
        {"clusterTrustBundle", p->cluster_trust_bundle,
         "cluster trust bundles are " NOT_SUPPORTED ", for there is no API server: use a configMap"},
        {"podCertificate", p->pod_certificate,
         "Pod certificates are " NOT_SUPPORTED ", for there is no API server: use a secret"},
    };
    refuse(c->r, at, rows, ARRAY_LEN(rows));
}

static void check_volumes_supported(Checker *c, const Path *spec)
{
    for (size_t i = 0; i < c->spec->volumes.n; i++) {
        const Volume *v = &c->spec->volumes.v[i];
        const Path *at = AT_INDEX(CHILD(spec, "volumes"), i);
        check_volume_types(c, at, v);
        for (size_t k = 0; v->projected && k < v->projected->sources.n; k++)
            check_projection(c, AT_INDEX(CHILD(CHILD(at, "projected"), "sources"), k), &v->projected->sources.v[k]);
    }
}

static void check_resources_supported(Checker *c, const Path *at, const ResourceRequirements *res)
{
    if (!res)
        return;
    if (res->claims.n)
        v_forbidden(c->r, CHILD(at, "claims"), "resource claims are " NOT_SUPPORTED ": name the device in a CDI annotation");
    LIST_EACH(limit, &res->limits)
        if (strchr(limit->key, '/') && !strstr(limit->key, "kubernetes.io/"))
            v_forbidden(c->r, AT_KEY(CHILD(at, "limits"), limit->key),
                        "extended resources are " NOT_SUPPORTED ", for there are no device plugins: name the device in a CDI "
                        "annotation (cdi.k8s.io/...)");
}

static void check_container_supported(Checker *c, const Path *at, const Container *ctr)
{
    for (size_t i = 0; i < ctr->env.n; i++)
        if (ctr->env.v[i].value_from && ctr->env.v[i].value_from->file_key_ref)
            v_forbidden(c->r, CHILD(CHILD(AT_INDEX(CHILD(at, "env"), i), "valueFrom"), "fileKeyRef"),
                        "fileKeyRef is " NOT_SUPPORTED ": read the file in the container's command");
    check_resources_supported(c, CHILD(at, "resources"), ctr->resources);
    if (ctr->volume_devices.n)
        v_forbidden(c->r, CHILD(at, "volumeDevices"),
                    "block volumes are " NOT_SUPPORTED ": use a hostPath volume of type BlockDevice");
    if (ctr->security_context && ctr->security_context->windows_options)
        v_forbidden(c->r, CHILD(CHILD(at, "securityContext"), "windowsOptions"), "Windows is " NOT_SUPPORTED);
}

/* An empty JSON list asks for nothing. */
static bool raw_given(const char *raw)
{
    return raw && strcmp(raw, "[]") != 0;
}

void check_supported(Checker *c)
{
    const Path *spec = CHILD(NULL, "spec");
    const PodSpec *s = c->spec;
    check_volumes_supported(c, spec);
    const ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    const char *const keys[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; k < lists[i]->n; k++)
            check_container_supported(c, AT_INDEX(CHILD(spec, keys[i]), k), &lists[i]->v[k]);
    const Row rows[] = {
        {"hostUsers", s->host_users.set && !s->host_users.v, "user namespaces are " NOT_SUPPORTED ": remove hostUsers: false"},
        {"resourceClaims", raw_given(s->resource_claims),
         "resource claims are " NOT_SUPPORTED ": name the device in a CDI annotation"},
        {"runtimeClassName", s->runtime_class_name,
         "runtime classes are " NOT_SUPPORTED ": every Pod uses the OCI runtime that reprise was started with"},
        {"hostnameOverride", s->hostname_override, "hostnameOverride is " NOT_SUPPORTED ": use hostname"},
        {"workloadRef", s->workload_ref, "workload references are " NOT_SUPPORTED ", for there is no scheduler"},
    };
    refuse(c->r, spec, rows, ARRAY_LEN(rows));
    for (size_t i = 0; i < s->readiness_gates.n; i++)
        report_warn(c->r, "spec.readinessGates[%zu]: nothing here sets condition \"%s\", so the Pod will not become Ready", i,
                    str_or(s->readiness_gates.v[i].condition_type, ""));
    if (s->os && str_eq(s->os->name, "windows"))
        v_forbidden(c->r, CHILD(CHILD(spec, "os"), "name"), "Windows is " NOT_SUPPORTED);
    if (s->security_context && s->security_context->windows_options && !s->os)
        v_forbidden(c->r, CHILD(CHILD(spec, "securityContext"), "windowsOptions"), "Windows is " NOT_SUPPORTED);
}
