/* validate_volume.c - spec.volumes, and what selects fields of a Pod for files and environment. */
#include "api/quantity.h"
#include "api/validate_priv.h"

#define MODE_MSG "must be a number between 0 and 0777 (octal), both inclusive"

static void check_mode(Report *r, const Path *at, OptInt mode)
{
    if (mode.set && (mode.v < 0 || mode.v > 0777))
        v_invalid_int(r, at, mode.v, MODE_MSG);
}

/* --- selectors -------------------------------------------------------------------------------------------------- */

static const char *const env_fields[] = {"metadata.name",           "metadata.namespace", "metadata.uid",
                                         "spec.nodeName",           "spec.serviceAccountName",
                                         "status.hostIP",           "status.hostIPs",     "status.podIP",
                                         "status.podIPs"};
static const char *const volume_fields[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                            "metadata.namespace", "metadata.uid"};
/* What v1 knows as field labels of a Pod at all (pkg/apis/core/pods/helpers.go). */
static const char *const known_fields[] = {"metadata.annotations", "metadata.labels",         "metadata.name",
                                           "metadata.namespace",   "metadata.uid",            "spec.nodeName",
                                           "spec.restartPolicy",   "spec.serviceAccountName", "spec.schedulerName",
                                           "status.phase",         "status.hostIP",           "status.hostIPs",
                                           "status.podIP",         "status.podIPs"};
static const char *const resource_fields[] = {"limits.cpu",     "limits.ephemeral-storage",   "limits.memory",
                                              "requests.cpu",   "requests.ephemeral-storage", "requests.memory"};

/* metadata.labels['key']: true, and the two parts. */
static bool subscripted(const char *path, char **ret_path, char **ret_key)
{
    const char *open = strstr(path, "['");
    if (!open || !str_ends(path, "']") || strlen(open) < 4)
        return false;
    *ret_path = mem_dup_strn(path, (size_t)(open - path));
    *ret_key = mem_dup_strn(open + 2, strlen(open) - 4);
    return true;
}

static void check_subscript(Report *r, const Path *at, const char *whole, const char *path, char *key)
{
    bool annotations = strcmp(path, "metadata.annotations") == 0;
    if (!annotations && strcmp(path, "metadata.labels") != 0) {
        v_invalid(r, CHILD(at, "fieldPath"), whole,
                  "error converting fieldPath: field label does not support subscript: %s", whole);
        return;
    }
    for (char *p = key; annotations && *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    v_qualified_name(r, at, key, key);
}

void check_field_ref(Report *r, const Path *at, const ObjectFieldSelector *s, bool volume)
{
    const Path *field = CHILD(at, "fieldPath");
    if (str_empty(s->api_version)) {
        v_required(r, CHILD(at, "apiVersion"), NULL);
        return;
    }
    if (str_empty(s->field_path)) {
        v_required(r, field, NULL);
        return;
    }
    if (strcmp(s->api_version, "v1") != 0) {
        v_invalid(r, field, s->field_path, "error converting fieldPath: unsupported pod version: %s", s->api_version);
        return;
    }
    SCOPED(mem_free) char *path = NULL;
    SCOPED(mem_free) char *key = NULL;
    if (subscripted(s->field_path, &path, &key))
        check_subscript(r, at, s->field_path, path, key);
    else if (!v_is_one_of(s->field_path, known_fields, ARRAY_LEN(known_fields)))
        v_invalid(r, field, s->field_path, "error converting fieldPath: field label not supported: %s", s->field_path);
    else if (volume)
        v_one_of(r, field, s->field_path, volume_fields, ARRAY_LEN(volume_fields));
    else
        v_one_of(r, field, s->field_path, env_fields, ARRAY_LEN(env_fields));
}

static bool is_hugepages(const char *resource)
{
    return str_starts(resource, "requests.hugepages-") || str_starts(resource, "limits.hugepages-");
}

static void check_divisor(Report *r, const Path *at, const ResourceFieldSelector *s)
{
    static const char *const sizes[] = {"1",  "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
    static const char *const cpu[] = {"1", "1m"};
    if (!s->divisor || quantity_cmp(s->divisor, "0") == 0)
        return;
    SCOPED(mem_free) char *d = quantity_canonical(s->divisor);
    const char *res = str_or(s->resource, "");
    const char *what = str_ends(res, ".memory")              ? "memory"
                       : str_ends(res, ".ephemeral-storage") ? "local ephemeral storage"
                       : is_hugepages(res)                   ? "hugepages"
                                                             : NULL;
    if (str_ends(res, ".cpu") && !v_is_one_of(d, cpu, ARRAY_LEN(cpu)))
        v_invalid(r, CHILD(at, "divisor"), res, "only divisor's values 1m and 1 are supported with the cpu resource");
    else if (what && !v_is_one_of(d, sizes, ARRAY_LEN(sizes)))
        v_invalid(r, CHILD(at, "divisor"), res,
                  "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "
                  "%s resource",
                  what);
}

void check_resource_field_ref(Report *r, const Path *at, const ResourceFieldSelector *s, bool volume)
{
    if (volume && str_empty(s->container_name))
        v_required(r, CHILD(at, "containerName"), NULL);
    else if (str_empty(s->resource))
        v_required(r, CHILD(at, "resource"), NULL);
    else if (!is_hugepages(s->resource))
        v_one_of(r, CHILD(at, "resource"), s->resource, resource_fields, ARRAY_LEN(resource_fields));
    check_divisor(r, at, s);
}

/* --- sources ---------------------------------------------------------------------------------------------------- */

static void check_item(Report *r, const Path *at, const KeyToPath *k)
{
    if (str_empty(k->key))
        v_required(r, CHILD(at, "key"), NULL);
    if (str_empty(k->path))
        v_required(r, CHILD(at, "path"), NULL);
    v_local_not_reserved(r, CHILD(at, "path"), k->path);
    check_mode(r, CHILD(at, "mode"), k->mode);
}

static void check_files(Report *r, const Path *at, const FilesVolumeSource *f, const char *name_key)
{
    if (str_empty(f->name))
        v_required(r, CHILD(at, name_key), NULL);
    check_mode(r, CHILD(at, "defaultMode"), f->default_mode);
    for (size_t i = 0; i < f->items.n; i++)
        check_item(r, AT_INDEX(CHILD(at, "items"), i), &f->items.v[i]);
}

static void check_downward_file(Report *r, const Path *at, const DownwardAPIVolumeFile *f)
{
    if (str_empty(f->path))
        v_required(r, CHILD(at, "path"), NULL);
    v_local_not_reserved(r, CHILD(at, "path"), f->path);
    if (f->field_ref) {
        check_field_ref(r, CHILD(at, "fieldRef"), f->field_ref, true);
        if (f->resource_field_ref)
            v_invalid(r, at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (f->resource_field_ref) {
        check_resource_field_ref(r, CHILD(at, "resourceFieldRef"), f->resource_field_ref, true);
    } else {
        v_required(r, at, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(r, CHILD(at, "mode"), f->mode);
}

/* Upstream gives the errors of a file the path of the volume, without the item: kept, for its words are the contract. */
static void check_downward(Report *r, const Path *at, const DownwardAPIVolumeSource *d)
{
    check_mode(r, CHILD(at, "defaultMode"), d->default_mode);
    LIST_EACH(f, &d->items)
        check_downward_file(r, at, f);
}

/* Paths of all sources of one projected volume must differ. */
static void claim_path(Report *r, const Path *at, StrVec *taken, const char *path, const char *shown)
{
    if (str_empty(path))
        return;
    if (strvec_has(taken, path))
        v_invalid(r, at, shown, "conflicting duplicate paths");
    else
        strvec_add(taken, path);
}

static void check_files_projection(Report *r, const Path *volume, const Path *at, const FilesVolumeSource *f, StrVec *taken)
{
    if (str_empty(f->name))
        v_required(r, CHILD(at, "name"), NULL);
    for (size_t i = 0; i < f->items.n; i++) {
        check_item(r, AT_INDEX(CHILD(at, "items"), i), &f->items.v[i]);
        claim_path(r, volume, taken, f->items.v[i].path, f->name);
    }
}

static void check_token(Report *r, const Path *volume, const Path *at, const ServiceAccountTokenProjection *t)
{
    const Path *seconds = CHILD(at, "expirationSeconds");
    if (t->expiration_seconds.v < 10 * 60)
        v_invalid_int(r, seconds, t->expiration_seconds.v, "may not specify a duration less than 10 minutes");
    if (t->expiration_seconds.v > INT64_C(1) << 32)
        v_invalid_int(r, seconds, t->expiration_seconds.v, "may not specify a duration larger than 2^32 seconds");
    if (str_empty(t->path))
        v_required(r, CHILD(volume, "path"), NULL);
    else
        v_local_not_reserved(r, CHILD(volume, "path"), t->path);
}

static void check_projection(Report *r, const Path *volume, const Path *at, const VolumeProjection *p, StrVec *taken)
{
    if (p->secret)
        check_files_projection(r, volume, CHILD(at, "secret"), p->secret, taken);
    if (p->config_map)
        check_files_projection(r, volume, CHILD(at, "configMap"), p->config_map, taken);
    if (p->downward_api)
        LIST_EACH(f, &p->downward_api->items) {
            check_downward_file(r, CHILD(at, "downwardAPI"), f);
            claim_path(r, volume, taken, f->path, f->path);
        }
    if (p->service_account_token)
        check_token(r, volume, CHILD(at, "serviceAccountToken"), p->service_account_token);
    int n = !!p->secret + !!p->config_map + !!p->downward_api + !!p->service_account_token + !!p->cluster_trust_bundle +
            !!p->pod_certificate;
    if (n > 1)
        v_forbidden(r, at, "may not specify more than 1 volume type per source");
}

static void check_projected(Report *r, const Path *at, const ProjectedVolumeSource *p)
{
    check_mode(r, CHILD(at, "defaultMode"), p->default_mode);
    SCOPED(strvec_done) StrVec taken = {0};
    for (size_t i = 0; i < p->sources.n; i++)
        check_projection(r, at, AT_INDEX(CHILD(at, "sources"), i), &p->sources.v[i], &taken);
}

static void check_host_path(Report *r, const Path *at, const HostPathVolumeSource *h)
{
    static const char *const types[] = {"",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                        "File", "FileOrCreate", "Socket"};
    if (str_empty(h->path)) {
        v_required(r, CHILD(at, "path"), NULL);
        return;
    }
    v_no_backsteps(r, CHILD(at, "path"), h->path);
    if (h->type)
        v_one_of(r, CHILD(at, "type"), h->type, types, ARRAY_LEN(types));
}

static void check_empty_dir(Report *r, const Path *at, const EmptyDirVolumeSource *e)
{
    if (e->size_limit && quantity_cmp(e->size_limit, "0") < 0)
        v_forbidden(r, CHILD(at, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

/* --- volumes ---------------------------------------------------------------------------------------------------- */

/* One volume's check in progress: the first source is checked, each further one is forbidden. */
typedef struct {
    Report *r;
    const Path *at;
    bool taken;
} Source;

static bool first(Source *s, const void *source, const char *key)
{
    if (!source)
        return false;
    if (s->taken) {
        v_forbidden(s->r, CHILD(s->at, key), "may not specify more than 1 volume type");
        return false;
    }
    s->taken = true;
    return true;
}

static void check_source(Report *r, const Path *at, const Volume *v)
{
    Source s = {r, at, false};
    if (first(&s, v->empty_dir, "emptyDir"))
        check_empty_dir(r, CHILD(at, "emptyDir"), v->empty_dir);
    if (first(&s, v->host_path, "hostPath"))
        check_host_path(r, CHILD(at, "hostPath"), v->host_path);
    (void)first(&s, v->git_repo, "gitRepo");
    (void)first(&s, v->gce_persistent_disk, "gcePersistentDisk");
    (void)first(&s, v->aws_elastic_block_store, "awsElasticBlockStore");
    if (first(&s, v->secret, "secret"))
        check_files(r, CHILD(at, "secret"), v->secret, "secretName");
    (void)first(&s, v->nfs, "nfs");
    (void)first(&s, v->iscsi, "iscsi");
    (void)first(&s, v->glusterfs, "glusterfs");
    (void)first(&s, v->flocker, "flocker");
    if (first(&s, v->persistent_volume_claim, "persistentVolumeClaim") &&
        str_empty(v->persistent_volume_claim->claim_name))
        v_required(r, CHILD(CHILD(at, "persistentVolumeClaim"), "claimName"), NULL);
    (void)first(&s, v->rbd, "rbd");
    (void)first(&s, v->cinder, "cinder");
    (void)first(&s, v->cephfs, "cephFS");
    (void)first(&s, v->quobyte, "quobyte");
    if (first(&s, v->downward_api, "downwarAPI")) /* upstream's spelling, in this one error */
        check_downward(r, CHILD(at, "downwardAPI"), v->downward_api);
    (void)first(&s, v->fc, "fc");
    (void)first(&s, v->flex_volume, "flexVolume");
    if (first(&s, v->config_map, "configMap"))
        check_files(r, CHILD(at, "configMap"), v->config_map, "name");
    (void)first(&s, v->azure_file, "azureFile");
    (void)first(&s, v->vsphere_volume, "vsphereVolume");
    (void)first(&s, v->photon_persistent_disk, "photonPersistentDisk");
    (void)first(&s, v->portworx_volume, "portworxVolume");
    (void)first(&s, v->azure_disk, "azureDisk");
    (void)first(&s, v->storageos, "storageos");
    if (first(&s, v->projected, "projected"))
        check_projected(r, CHILD(at, "projected"), v->projected);
    (void)first(&s, v->scale_io, "scaleIO");
    (void)first(&s, v->csi, "csi");
    (void)first(&s, v->ephemeral, "ephemeral");
    (void)first(&s, v->image, "image");
    if (!s.taken)
        v_required(r, at, "must specify a volume type");
}

void check_volumes(Checker *c, bool ok[])
{
    const Path *at = CHILD(CHILD(NULL, "spec"), "volumes");
    SCOPED(strvec_done) StrVec names = {0};
    for (size_t i = 0; i < c->spec->volumes.n; i++) {
        const Volume *v = &c->spec->volumes.v[i];
        const Path *here = AT_INDEX(at, i), *name = CHILD(here, "name");
        size_t before = c->r->errors.n;
        check_source(c->r, here, v);
        if (str_empty(v->name))
            v_required(c->r, name, NULL);
        else
            v_dns_label(c->r, name, v->name);
        if (v->name && strvec_has(&names, v->name))
            v_duplicate(c->r, name, v->name);
        ok[i] = c->r->errors.n == before;
        if (ok[i])
            strvec_add(&names, v->name);
    }
}
