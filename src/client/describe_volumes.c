/* describe_volumes.c - the volumes of a Pod, by a table of their kinds. */
#include "client/describe_priv.h"

typedef enum { ROW_TEXT, ROW_BOOL, ROW_OR_NONE, ROW_OR_UNSET } RowForm;
typedef struct {
    const char *member, *type;
    struct {
        const char *label, *path;
        RowForm form;
    } rows[4];
} VolumeKind;

static const VolumeKind kinds[] = {
    {"hostPath", "HostPath (bare host directory volume)", {{"Path", "path"}, {"HostPathType", "type", ROW_OR_NONE}}},
    {"emptyDir",
     "EmptyDir (a temporary directory that shares a pod's lifetime)",
     {{"Medium", "medium"}, {"SizeLimit", "sizeLimit", ROW_OR_UNSET}}},
    {"secret",
     "Secret (a volume populated by a Secret)",
     {{"SecretName", "secretName"}, {"Optional", "optional", ROW_BOOL}}},
    {"configMap",
     "ConfigMap (a volume populated by a ConfigMap)",
     {{"Name", "name"}, {"Optional", "optional", ROW_BOOL}}},
    {"nfs",
     "NFS (an NFS mount that lasts the lifetime of a pod)",
     {{"Server", "server"}, {"Path", "path"}, {"ReadOnly", "readOnly", ROW_BOOL}}},
    {"persistentVolumeClaim",
     "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
     {{"ClaimName", "claimName"}, {"ReadOnly", "readOnly", ROW_BOOL}}},
    {"ephemeral",
     "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
     {{"StorageClass", "volumeClaimTemplate.spec.storageClassName"},
      {"Volume", "volumeClaimTemplate.spec.volumeName"}}},
    {"downwardAPI", "DownwardAPI (a volume populated by information about the pod)", {{NULL}}},
    {"projected", "Projected (a volume that contains injected data from multiple sources)", {{NULL}}},
    {"csi",
     "CSI (a Container Storage Interface (CSI) volume source)",
     {{"Driver", "driver"}, {"FSType", "fsType"}, {"ReadOnly", "readOnly", ROW_BOOL}}},
    {"image", "Image (a container image or OCI artifact)", {{"Reference", "reference"}, {"PullPolicy", "pullPolicy"}}},
};

static void row(Desc *d, const char *label, const json_t *v, RowForm form)
{
    SCOPED(mem_free) char *text = value_text(v);
    const char *shown = text;
    if (form == ROW_BOOL)
        shown = json_is_true(v) ? "true" : "false";
    else if (form == ROW_OR_NONE)
        shown = v ? text : "<none>";
    else if (form == ROW_OR_UNSET)
        shown = *text && !str_eq(text, "0") ? text : "<unset>";
    w(d, 2, "%s:\t%s\n", label, shown);
}

static void downward_items(Desc *d, const json_t *items)
{
    w(d, 2, "Items:\n");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *m = json_array_get(items, i);
        const char *field = at_str(m, "fieldRef.fieldPath");
        w(d, 3, "%s -> %s\n", *field ? field : at_str(m, "resourceFieldRef.resource"), at_str(m, "path"));
    }
}

static void projected_sources(Desc *d, const json_t *sources)
{
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *s = json_array_get(sources, i);
        if (at(s, "secret")) {
            row(d, "SecretName", at(s, "secret.name"), ROW_TEXT);
            row(d, "Optional", at(s, "secret.optional"), ROW_BOOL);
        } else if (at(s, "downwardAPI")) {
            w(d, 2, "DownwardAPI:\ttrue\n");
        } else if (at(s, "configMap")) {
            row(d, "ConfigMapName", at(s, "configMap.name"), ROW_TEXT);
            row(d, "Optional", at(s, "configMap.optional"), ROW_BOOL);
        } else if (at(s, "serviceAccountToken")) {
            row(d, "TokenExpirationSeconds", at(s, "serviceAccountToken.expirationSeconds"), ROW_TEXT);
        }
    }
}

static void volume(Desc *d, const json_t *v)
{
    w(d, 1, "%s:\n", at_str(v, "name"));
    for (const VolumeKind *k = kinds; k < kinds + ARRAY_LEN(kinds); k++) {
        const json_t *source = json_object_get(v, k->member);
        if (!source)
            continue;
        w(d, 2, "Type:\t%s\n", k->type);
        for (size_t i = 0; i < ARRAY_LEN(k->rows) && k->rows[i].label; i++)
            row(d, k->rows[i].label, at(source, k->rows[i].path), k->rows[i].form);
        if (str_eq(k->member, "downwardAPI"))
            downward_items(d, at(source, "items"));
        if (str_eq(k->member, "projected"))
            projected_sources(d, at(source, "sources"));
        return;
    }
    w(d, 1, "<unknown>\n");
}

void describe_volumes(Desc *d, const json_t *volumes)
{
    w(d, 0, "Volumes:%s\n", json_array_size(volumes) ? "" : "\t<none>");
    for (size_t i = 0; i < json_array_size(volumes); i++)
        volume(d, json_array_get(volumes, i));
}
