/* validate_container.c - what all containers have in common: ports, environment, mounts; and the three lists of them. */
#include "api/validate_priv.h"

/* --- ports ------------------------------------------------------------------------------------------------------ */

static void check_port(Checker *c, const Path *at, const ContainerPort *p, StrVec *names)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP"};
    if (p->name && !v_port_name_ok(p->name))
        v_port_name(c->r, CHILD(at, "name"), p->name);
    else if (p->name && strvec_has(names, p->name))
        v_duplicate(c->r, CHILD(at, "name"), p->name);
    else if (p->name)
        strvec_add(names, p->name);
    if (!p->container_port.v)
        v_required(c->r, CHILD(at, "containerPort"), NULL);
    else
        v_port_num(c->r, CHILD(at, "containerPort"), p->container_port.v);
    if (p->host_port.v)
        v_port_num(c->r, CHILD(at, "hostPort"), p->host_port.v);
    if (!p->protocol)
        v_required(c->r, CHILD(at, "protocol"), NULL);
    else
        v_one_of(c->r, CHILD(at, "protocol"), p->protocol, protocols, ARRAY_LEN(protocols));
}

static void check_ports(Checker *c, const Path *at, const Container *ctr)
{
    SCOPED(strvec_done) StrVec names = {0};
    for (size_t i = 0; i < ctr->ports.n; i++)
        check_port(c, AT_INDEX(at, i), &ctr->ports.v[i], &names);
}

static void check_host_ports(Checker *c, const Path *at, const Container *ctr, StrVec *taken)
{
    for (size_t i = 0; i < ctr->ports.n; i++) {
        const ContainerPort *p = &ctr->ports.v[i];
        if (!p->host_port.v)
            continue;
        SCOPED(mem_free) char *key = mem_fmt("%s/%s/%lld", str_or(p->protocol, ""), str_or(p->host_ip, ""),
                                             (long long)p->host_port.v);
        if (strvec_has(taken, key))
            v_duplicate(c->r, CHILD(AT_INDEX(CHILD(at, "ports"), i), "hostPort"), key);
        else
            strvec_add(taken, key);
    }
}

/* --- environment ------------------------------------------------------------------------------------------------ */

static void check_key_ref(Report *r, const Path *at, const KeySelector *s)
{
    v_dns_subdomain(r, CHILD(at, "name"), s->name);
    if (str_empty(s->key))
        v_required(r, CHILD(at, "key"), NULL);
    else
        v_config_key(r, CHILD(at, "key"), s->key);
}

static void check_value_from(Report *r, const Path *at, const EnvVar *e)
{
    const EnvVarSource *s = e->value_from;
    if (!s)
        return;
    if (s->field_ref)
        check_field_ref(r, CHILD(at, "fieldRef"), s->field_ref, false);
    if (s->resource_field_ref)
        check_resource_field_ref(r, CHILD(at, "resourceFieldRef"), s->resource_field_ref, false);
    if (s->config_map_key_ref)
        check_key_ref(r, CHILD(at, "configMapKeyRef"), s->config_map_key_ref);
    if (s->secret_key_ref)
        check_key_ref(r, CHILD(at, "secretKeyRef"), s->secret_key_ref);
    int n = !!s->field_ref + !!s->resource_field_ref + !!s->config_map_key_ref + !!s->secret_key_ref + !!s->file_key_ref;
    if (!n)
        v_invalid(r, at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`");
    else if (!str_empty(e->value))
        v_invalid(r, at, "", "may not be specified when `value` is not empty");
    else if (n > 1)
        v_invalid(r, at, "", "may not have more than one field specified at a time");
}

static void check_name_source(Report *r, const Path *at, const NameSource *s)
{
    if (str_empty(s->name))
        v_required(r, CHILD(at, "name"), NULL);
    else
        v_dns_subdomain_prefix(r, CHILD(at, "name"), s->name);
}

static void check_env_from(Report *r, const Path *list, const Path *at, const EnvFromSource *e)
{
    if (e->prefix)
        v_env_name(r, CHILD(at, "prefix"), e->prefix);
    if (e->config_map_ref)
        check_name_source(r, CHILD(at, "configMapRef"), e->config_map_ref);
    if (e->secret_ref)
        check_name_source(r, CHILD(at, "secretRef"), e->secret_ref);
    /* Upstream gives these two the path of the list. */
    if (!e->config_map_ref && !e->secret_ref)
        v_invalid(r, list, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (e->config_map_ref && e->secret_ref)
        v_invalid(r, list, "", "may not have more than one field specified at a time");
}

void check_env(Checker *c, const Path *at, const Container *ctr)
{
    for (size_t i = 0; i < ctr->env.n; i++) {
        const EnvVar *e = &ctr->env.v[i];
        const Path *here = AT_INDEX(CHILD(at, "env"), i);
        if (str_empty(e->name))
            v_required(c->r, CHILD(here, "name"), NULL);
        else
            v_env_name(c->r, CHILD(here, "name"), e->name);
        check_value_from(c->r, CHILD(here, "valueFrom"), e);
    }
    const Path *from = CHILD(at, "envFrom");
    for (size_t i = 0; i < ctr->env_from.n; i++)
        check_env_from(c->r, from, AT_INDEX(from, i), &ctr->env_from.v[i]);
}

/* --- mounts ----------------------------------------------------------------------------------------------------- */

/* A volume that had no error, or NULL. */
static const Volume *find_volume(const Checker *c, const char *name)
{
    for (size_t i = 0; i < c->spec->volumes.n; i++)
        if (c->volume_ok[i] && str_eq(c->spec->volumes.v[i].name, name))
            return &c->spec->volumes.v[i];
    return NULL;
}

static void check_overlap(Checker *c, const Path *at, const Container *ctr, const VolumeMount *m)
{
    bool name = false, path = false;
    LIST_EACH(d, &ctr->volume_devices) {
        name = name || str_eq(str_or(d->name, ""), str_or(m->name, ""));
        path = path || str_eq(str_or(d->device_path, ""), str_or(m->mount_path, ""));
    }
    if (name)
        v_invalid(c->r, CHILD(at, "name"), m->name, "must not already exist in volumeDevices");
    if (path)
        v_invalid(c->r, CHILD(at, "mountPath"), m->mount_path, "must not already exist as a path in volumeDevices");
}

static void check_propagation(Checker *c, const Path *at, const Container *ctr, const char *mode)
{
    static const char *const modes[] = {"Bidirectional", "HostToContainer", "None"};
    v_one_of(c->r, at, mode, modes, ARRAY_LEN(modes));
    bool privileged = ctr->security_context && ctr->security_context->privileged.v;
    if (strcmp(mode, "Bidirectional") == 0 && !privileged)
        v_forbidden(c->r, at, "Bidirectional mount propagation is available only to privileged containers");
}

static void check_recursive_read_only(Checker *c, const Path *at, const VolumeMount *m)
{
    static const char *const modes[] = {"Disabled", "Enabled", "IfPossible"};
    if (!m->recursive_read_only || !v_one_of(c->r, at, m->recursive_read_only, modes, ARRAY_LEN(modes)) ||
        strcmp(m->recursive_read_only, "Disabled") == 0)
        return;
    if (!m->read_only.v)
        v_forbidden(c->r, at, "may only be specified when readOnly is true");
    if (m->mount_propagation && strcmp(m->mount_propagation, "None") != 0)
        v_forbidden(c->r, at, "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_path(Checker *c, const Path *list, const Path *at, const VolumeMount *m, const Volume *v)
{
    if (v && v->image && m->sub_path)
        v_invalid(c->r, CHILD(at, "subPath"), m->sub_path, "not allowed in image volume sources");
    if (v && v->image && m->sub_path_expr)
        v_invalid(c->r, CHILD(at, "subPathExpr"), m->sub_path_expr, "not allowed in image volume sources");
    /* Upstream gives these the path of the list. */
    if (m->sub_path)
        v_local_descending(c->r, CHILD(list, "subPath"), m->sub_path);
    if (m->sub_path_expr && m->sub_path)
        v_invalid(c->r, CHILD(at, "subPathExpr"), m->sub_path_expr, "subPathExpr and subPath are mutually exclusive");
    if (m->sub_path_expr)
        v_local_descending(c->r, CHILD(list, "subPathExpr"), m->sub_path_expr);
}

void check_volume_mounts(Checker *c, const Path *ctr_at, const Container *ctr)
{
    const Path *list = CHILD(ctr_at, "volumeMounts");
    SCOPED(strvec_done) StrVec paths = {0};
    for (size_t i = 0; i < ctr->volume_mounts.n; i++) {
        const VolumeMount *m = &ctr->volume_mounts.v[i];
        const Path *at = AT_INDEX(list, i);
        const char *mount_path = str_or(m->mount_path, "");
        const Volume *v = find_volume(c, m->name);
        if (str_empty(m->name))
            v_required(c->r, CHILD(at, "name"), NULL);
        if (!v)
            v_not_found(c->r, CHILD(at, "name"), m->name);
        if (!*mount_path)
            v_required(c->r, CHILD(at, "mountPath"), NULL);
        if (strvec_has(&paths, mount_path))
            v_invalid(c->r, CHILD(at, "mountPath"), mount_path, "must be unique");
        strvec_add(&paths, mount_path);
        check_overlap(c, at, ctr, m);
        check_sub_path(c, list, at, m, v);
        if (m->mount_propagation)
            check_propagation(c, CHILD(list, "mountPropagation"), ctr, m->mount_propagation);
        check_recursive_read_only(c, CHILD(list, "recursiveReadOnly"), m);
    }
}

static void check_device_overlap(Checker *c, const Path *at, const Container *ctr, const VolumeDevice *d)
{
    bool name = false, path = false;
    LIST_EACH(m, &ctr->volume_mounts) {
        name = name || str_eq(str_or(m->name, ""), str_or(d->name, ""));
        path = path || str_eq(str_or(m->mount_path, ""), str_or(d->device_path, ""));
    }
    if (name)
        v_invalid(c->r, CHILD(at, "name"), d->name, "must not already exist in volumeMounts");
    if (path)
        v_invalid(c->r, CHILD(at, "devicePath"), d->device_path, "must not already exist as a path in volumeMounts");
}

static bool has_backsteps(const char *path)
{
    SCOPED(report_done) Report r = {0};
    v_no_backsteps(&r, NULL, path);
    return !report_ok(&r);
}

static void check_volume_devices(Checker *c, const Path *list, const Container *ctr)
{
    SCOPED(strvec_done) StrVec names = {0};
    SCOPED(strvec_done) StrVec paths = {0};
    for (size_t i = 0; i < ctr->volume_devices.n; i++) {
        const VolumeDevice *d = &ctr->volume_devices.v[i];
        const Path *at = AT_INDEX(list, i);
        const char *path = str_or(d->device_path, "");
        const Volume *v = find_volume(c, d->name);
        if (str_empty(d->name))
            v_required(c->r, CHILD(at, "name"), NULL);
        if (d->name && strvec_has(&names, d->name))
            v_invalid(c->r, CHILD(at, "name"), d->name, "must be unique");
        if (v && !v->persistent_volume_claim && !v->ephemeral)
            v_invalid(c->r, CHILD(at, "name"), d->name,
                      "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
        if (!v)
            v_not_found(c->r, CHILD(at, "name"), d->name);
        if (!*path)
            v_required(c->r, CHILD(at, "devicePath"), NULL);
        if (strvec_has(&paths, path))
            v_invalid(c->r, CHILD(at, "devicePath"), path, "must be unique");
        if (has_backsteps(path))
            v_invalid(c->r, CHILD(at, "devicePath"), path, "can not contain backsteps ('..')");
        else
            strvec_add(&paths, path);
        check_device_overlap(c, at, ctr, d);
        if (d->name)
            strvec_add(&names, d->name);
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

static void check_resize_policy(Checker *c, const Path *at, const Container *ctr)
{
    static const char *const resources[] = {"cpu", "memory"};
    static const char *const policies[] = {"NotRequired", "RestartContainer"};
    SCOPED(strvec_done) StrVec seen = {0};
    for (size_t i = 0; i < ctr->resize_policy.n; i++) {
        const ContainerResizePolicy *p = &ctr->resize_policy.v[i];
        const char *name = str_or(p->resource_name, "");
        if (strvec_has(&seen, name))
            v_duplicate(c->r, AT_INDEX(at, i), name);
        strvec_add(&seen, name);
        if (!*name)
            v_required(c->r, at, NULL);
        else
            v_one_of(c->r, at, name, resources, ARRAY_LEN(resources));
        if (str_empty(p->restart_policy))
            v_required(c->r, at, NULL);
        else
            v_one_of(c->r, at, p->restart_policy, policies, ARRAY_LEN(policies));
        if (str_eq(c->spec->restart_policy, "Never") && !str_eq(p->restart_policy, "NotRequired"))
            v_invalid(c->r, at, p->restart_policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_enum_required(Report *r, const Path *at, const char *value, const char *const list[], size_t n)
{
    if (str_empty(value))
        v_required(r, at, NULL);
    else
        v_one_of(r, at, value, list, n);
}

void check_container_common(Checker *c, const Path *at, const Container *ctr)
{
    static const char *const message_policies[] = {"File", "FallbackToLogsOnError"};
    static const char *const pull_policies[] = {"Always", "IfNotPresent", "Never"};
    if (str_empty(ctr->name))
        v_required(c->r, CHILD(at, "name"), NULL);
    else
        v_dns_label(c->r, CHILD(at, "name"), ctr->name);
    if (str_empty(ctr->image))
        v_required(c->r, CHILD(at, "image"), NULL);
    check_enum_required(c->r, CHILD(at, "terminationMessagePolicy"), ctr->termination_message_policy, message_policies,
                        ARRAY_LEN(message_policies));
    check_ports(c, CHILD(at, "ports"), ctr);
    check_env(c, at, ctr);
    check_volume_mounts(c, at, ctr);
    check_volume_devices(c, CHILD(at, "volumeDevices"), ctr);
    check_enum_required(c->r, CHILD(at, "imagePullPolicy"), ctr->image_pull_policy, pull_policies,
                        ARRAY_LEN(pull_policies));
    if (ctr->resources)
        check_resources(c->r, CHILD(at, "resources"), ctr->resources, false);
    check_resize_policy(c, CHILD(at, "resizePolicy"), ctr);
    check_security_context(c, CHILD(at, "securityContext"), ctr->security_context);
}

static void check_name_unique(Checker *c, const Path *at, const char *name, StrVec *names)
{
    if (strvec_has(names, str_or(name, "")))
        v_duplicate(c->r, CHILD(at, "name"), name);
    else
        strvec_add(names, str_or(name, ""));
}

static void check_regular(Checker *c, StrVec *names)
{
    const Path *list = CHILD(CHILD(NULL, "spec"), "containers");
    if (!c->spec->containers.n) {
        v_required(c->r, list, NULL);
        return;
    }
    for (size_t i = 0; i < c->spec->containers.n; i++) {
        const Container *ctr = &c->spec->containers.v[i];
        const Path *at = AT_INDEX(list, i);
        check_container_common(c, at, ctr);
        check_name_unique(c, at, ctr->name, names);
        if (ctr->lifecycle)
            check_lifecycle(c, CHILD(at, "lifecycle"), ctr->lifecycle);
        check_probes(c, at, ctr);
        check_restart_regular(c, at, ctr);
        warn_restart_rules(c, at, ctr);
    }
    SCOPED(strvec_done) StrVec ports = {0};
    for (size_t i = 0; i < c->spec->containers.n; i++)
        check_host_ports(c, AT_INDEX(list, i), &c->spec->containers.v[i], &ports);
}

static void check_plain_init(Checker *c, const Path *at, const Container *ctr)
{
    static const char text[] = "may not be set for init containers without restartPolicy=Always";
    if (ctr->lifecycle)
        v_forbidden(c->r, CHILD(at, "lifecycle"), text);
    if (ctr->liveness_probe)
        v_forbidden(c->r, CHILD(at, "livenessProbe"), text);
    if (ctr->readiness_probe)
        v_forbidden(c->r, CHILD(at, "readinessProbe"), text);
    if (ctr->startup_probe)
        v_forbidden(c->r, CHILD(at, "startupProbe"), text);
}

static void check_init(Checker *c, StrVec *names)
{
    const Path *list = CHILD(CHILD(NULL, "spec"), "initContainers");
    for (size_t i = 0; i < c->spec->init_containers.n; i++) {
        const Container *ctr = &c->spec->init_containers.v[i];
        const Path *at = AT_INDEX(list, i);
        check_container_common(c, at, ctr);
        check_restart_init(c, at, ctr);
        warn_restart_rules(c, at, ctr);
        if (!str_empty(ctr->name))
            check_name_unique(c, at, ctr->name, names);
        /* Plain init containers run one by one, so only the ports of one can be in each other's way. */
        SCOPED(strvec_done) StrVec ports = {0};
        check_host_ports(c, at, ctr, &ports);
        if (!container_is_sidecar(ctr)) {
            check_plain_init(c, at, ctr);
            continue;
        }
        if (ctr->lifecycle)
            check_lifecycle(c, CHILD(at, "lifecycle"), ctr->lifecycle);
        check_probes(c, at, ctr);
    }
}

static void check_image_space(Checker *c, const Path *at, const char *image)
{
    size_t n = strlen(str_or(image, ""));
    if (n && (strchr(" \t\n\r\v\f", image[0]) || strchr(" \t\n\r\v\f", image[n - 1])))
        v_invalid(c->r, CHILD(at, "image"), image, "must not have leading or trailing whitespace");
}

static void forbid_for_ephemeral(Checker *c, const Path *at, const Container *ctr)
{
    static const char text[] = "cannot be set for an Ephemeral Container";
    const struct {
        const char *key;
        bool set;
    } rows[] = {
        {"ports", ctr->ports.n},
        {"resources", ctr->resources && (ctr->resources->limits.n || ctr->resources->requests.n || ctr->resources->claims.n)},
        {"resizePolicy", ctr->resize_policy.n},
        {"restartPolicy", ctr->restart_policy},
        {"restartPolicyRules", ctr->restart_policy_rules.n},
        {"livenessProbe", ctr->liveness_probe},
        {"readinessProbe", ctr->readiness_probe},
        {"startupProbe", ctr->startup_probe},
        {"lifecycle", ctr->lifecycle},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].set)
            v_forbidden(c->r, CHILD(at, rows[i].key), text);
    for (size_t i = 0; i < ctr->volume_mounts.n; i++) {
        const Path *mount = AT_INDEX(CHILD(at, "volumeMounts"), i);
        if (ctr->volume_mounts.v[i].sub_path)
            v_forbidden(c->r, CHILD(mount, "subPath"), text);
        if (ctr->volume_mounts.v[i].sub_path_expr)
            v_forbidden(c->r, CHILD(mount, "subPathExpr"), text);
    }
}

/* <names>: of regular and init containers. */
static void check_ephemeral(Checker *c, StrVec *names)
{
    const Path *list = CHILD(CHILD(NULL, "spec"), "ephemeralContainers");
    SCOPED(strvec_done) StrVec others = {0};
    for (size_t i = 0; i < names->n; i++)
        strvec_add(&others, names->v[i]);
    for (size_t i = 0; i < c->spec->ephemeral_containers.n; i++) {
        const Container *ctr = &c->spec->ephemeral_containers.v[i];
        const Path *at = AT_INDEX(list, i);
        check_container_common(c, at, ctr);
        check_image_space(c, at, ctr->image);
        check_name_unique(c, at, ctr->name, names);
        if (ctr->target_container_name && !strvec_has(&others, ctr->target_container_name))
            v_not_found(c->r, CHILD(at, "targetContainerName"), ctr->target_container_name);
        forbid_for_ephemeral(c, at, ctr);
    }
}

void check_containers(Checker *c)
{
    SCOPED(strvec_done) StrVec names = {0};
    check_regular(c, &names);
    check_init(c, &names);
    check_ephemeral(c, &names);
}

void check_images(Checker *c)
{
    const Path *spec = CHILD(NULL, "spec");
    for (size_t i = 0; i < c->spec->containers.n; i++)
        check_image_space(c, AT_INDEX(CHILD(spec, "containers"), i), c->spec->containers.v[i].image);
    for (size_t i = 0; i < c->spec->init_containers.n; i++)
        check_image_space(c, AT_INDEX(CHILD(spec, "initContainers"), i), c->spec->init_containers.v[i].image);
}
