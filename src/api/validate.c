/* validate.c - a Pod's create, checked in kube-apiserver's order (ValidatePodCreate), then against what this agent can do. */
#include "api/validate_priv.h"

/* Go's %#v of a list of strings: []string{"a", "b"}. */
static void invalid_list(Report *r, const Path *at, const StrList *l, const char *detail)
{
    SCOPED(mem_free) char *path = path_text(at);
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < l->n; i++) {
        str_add(&s, i ? ", " : "");
        str_add_quoted(&s, l->v[i]);
    }
    report_add(r, CAUSE_INVALID, path, "Invalid value: []string{%s}: %s", s.p, detail);
}

static void check_dns_config(Checker *c, const Path *at)
{
    const PodDNSConfig *d = c->spec->dns_config;
    if (str_eq(c->spec->dns_policy, "None") && !d) {
        v_required(c->r, at, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    if (str_eq(c->spec->dns_policy, "None") && !d->nameservers.n) {
        v_required(c->r, CHILD(at, "nameservers"),
                   "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if (!d)
        return;
    if (d->nameservers.n > 3)
        invalid_list(c->r, CHILD(at, "nameservers"), &d->nameservers, "must not have more than 3 nameservers");
    for (size_t i = 0; i < d->nameservers.n; i++)
        v_ip(c->r, AT_INDEX(CHILD(at, "nameservers"), i), d->nameservers.v[i]);
    if (d->searches.n > 32)
        invalid_list(c->r, CHILD(at, "searches"), &d->searches, "must not have more than 32 search paths");
    size_t chars = 0;
    for (size_t i = 0; i < d->searches.n; i++)
        chars += strlen(d->searches.v[i]) + (i > 0);
    if (chars > 2048)
        invalid_list(c->r, CHILD(at, "searches"), &d->searches,
                     "must not have more than 2048 characters (including spaces) in the search list");
    for (size_t i = 0; i < d->searches.n; i++) {
        SCOPED(mem_free) char *search = mem_dup_str(d->searches.v[i]);
        size_t n = strlen(search);
        if (n > 1 && search[n - 1] == '.')
            search[n - 1] = '\0';
        if (strcmp(search, ".") != 0)
            v_dns_subdomain_underscore(c->r, AT_INDEX(CHILD(at, "searches"), i), search);
    }
    for (size_t i = 0; i < d->options.n; i++)
        if (str_empty(d->options.v[i].name))
            v_required(c->r, AT_INDEX(CHILD(at, "options"), i), "must not be empty");
}

static void check_toleration(Report *r, const Path *at, const Toleration *t)
{
    static const char *const operators[] = {"Equal", "Exists"};
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};
    if (t->key)
        v_qualified_name(r, CHILD(at, "key"), t->key, t->key);
    if (!t->key && !str_eq(t->operator_, "Exists"))
        v_invalid(r, CHILD(at, "operator"), t->operator_,
                  "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (t->toleration_seconds.set && !str_eq(t->effect, "NoExecute"))
        v_invalid(r, CHILD(at, "effect"), t->effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    if (!t->operator_ || strcmp(t->operator_, "Equal") == 0)
        v_label_value(r, CHILD(at, "operator"), t->value);
    else if (v_one_of(r, CHILD(at, "operator"), t->operator_, operators, ARRAY_LEN(operators)) && t->value)
        v_invalid(r, CHILD(at, "operator"), t->value, "value must be empty when `operator` is 'Exists'");
    if (t->effect)
        v_one_of(r, CHILD(at, "effect"), t->effect, effects, ARRAY_LEN(effects));
}

static void check_host_network_ports(Checker *c, const Path *spec)
{
    if (!c->spec->host_network.v)
        return;
    for (size_t i = 0; i < c->spec->containers.n; i++) {
        const Container *ctr = &c->spec->containers.v[i];
        for (size_t k = 0; k < ctr->ports.n; k++)
            if (ctr->ports.v[k].host_port.v != ctr->ports.v[k].container_port.v)
                v_invalid_int(c->r, CHILD(AT_INDEX(CHILD(AT_INDEX(CHILD(spec, "containers"), i), "ports"), k), "hostPort"),
                              ctr->ports.v[k].host_port.v, "must match `containerPort` when `hostNetwork` is true");
    }
}

static void check_policies(Checker *c, const Path *spec)
{
    static const char *const restart[] = {"Always", "OnFailure", "Never"};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"};
    if (str_empty(c->spec->restart_policy))
        v_required(c->r, CHILD(spec, "restartPolicy"), NULL);
    else
        v_one_of(c->r, CHILD(spec, "restartPolicy"), c->spec->restart_policy, restart, ARRAY_LEN(restart));
    if (str_empty(c->spec->dns_policy))
        v_required(c->r, CHILD(spec, "dnsPolicy"), NULL);
    else
        v_one_of(c->r, CHILD(spec, "dnsPolicy"), c->spec->dns_policy, dns, ARRAY_LEN(dns));
}

static void check_host_users(Checker *c, const Path *spec)
{
    if (!c->spec->host_users.set || c->spec->host_users.v)
        return;
    if (c->spec->host_network.v)
        v_forbidden(c->r, CHILD(spec, "hostNetwork"), "when `pod.Spec.HostUsers` is false");
    if (c->spec->host_pid.v)
        v_forbidden(c->r, CHILD(spec, "HostPID"), "when `pod.Spec.HostUsers` is false");
    if (c->spec->host_ipc.v)
        v_forbidden(c->r, CHILD(spec, "HostIPC"), "when `pod.Spec.HostUsers` is false");
}

static void check_names(Checker *c, const Path *spec)
{
    const PodSpec *s = c->spec;
    if (s->service_account_name)
        v_dns_subdomain(c->r, CHILD(spec, "serviceAccountName"), s->service_account_name);
    if (s->node_name)
        v_dns_subdomain(c->r, CHILD(spec, "nodeName"), s->node_name);
    if (s->active_deadline_seconds.set)
        v_range(c->r, CHILD(spec, "activeDeadlineSeconds"), s->active_deadline_seconds.v, 1, INT32_MAX);
    if (s->hostname)
        v_dns_label(c->r, CHILD(spec, "hostname"), s->hostname);
    if (s->subdomain)
        v_dns_label(c->r, CHILD(spec, "subdomain"), s->subdomain);
}

static void check_os(Checker *c, const Path *spec)
{
    static const char *const names[] = {"linux", "windows"};
    static const char text[] = "windows options cannot be set for a linux pod";
    const PodSpec *s = c->spec;
    if (!s->os)
        return;
    if (str_empty(s->os->name)) {
        v_required(c->r, CHILD(CHILD(spec, "os"), "name"), "cannot be empty");
        return;
    }
    if (!v_one_of(c->r, CHILD(spec, "os"), s->os->name, names, ARRAY_LEN(names)) || strcmp(s->os->name, "linux") != 0)
        return;
    if (s->security_context && s->security_context->windows_options)
        v_forbidden(c->r, CHILD(CHILD(spec, "securityContext"), "windowsOptions"), text);
    const ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    const char *const keys[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; k < lists[i]->n; k++)
            if (lists[i]->v[k].security_context && lists[i]->v[k].security_context->windows_options)
                v_forbidden(c->r, CHILD(CHILD(AT_INDEX(CHILD(spec, keys[i]), k), "securityContext"), "windowsOptions"), text);
}

/* Fields that only a scheduler or a cluster uses: kept, and held to their format. */
static void check_scheduling(Checker *c, const Path *spec)
{
    static const char *const preemption[] = {"PreemptLowerPriority", "Never"};
    const PodSpec *s = c->spec;
    for (size_t i = 0; i < s->tolerations.n; i++)
        check_toleration(c->r, AT_INDEX(CHILD(spec, "tolerations"), i), &s->tolerations.v[i]);
    for (size_t i = 0; i < s->host_aliases.n; i++) {
        const Path *at = AT_INDEX(CHILD(spec, "hostAliases"), i);
        v_ip(c->r, CHILD(at, "ip"), s->host_aliases.v[i].ip);
        for (size_t k = 0; k < s->host_aliases.v[i].hostnames.n; k++)
            v_dns_subdomain(c->r, AT_INDEX(CHILD(at, "hostnames"), k), s->host_aliases.v[i].hostnames.v[k]);
    }
    if (s->priority_class_name)
        v_dns_subdomain(c->r, CHILD(spec, "priorityClassName"), s->priority_class_name);
    if (s->runtime_class_name)
        v_dns_subdomain(c->r, CHILD(spec, "runtimeClassName"), s->runtime_class_name);
    if (s->preemption_policy && !*s->preemption_policy)
        v_required(c->r, CHILD(spec, "preemptionPolicy"), NULL);
    else if (s->preemption_policy)
        v_one_of(c->r, CHILD(spec, "preemptionPolicy"), s->preemption_policy, preemption, ARRAY_LEN(preemption));
    if (s->overhead.n) {
        ResourceRequirements overhead = {.limits = s->overhead}; /* borrowed */
        check_resources(c->r, CHILD(spec, "overhead"), &overhead, false);
    }
}

static void check_spec(Checker *c)
{
    const Path *spec = CHILD(NULL, "spec");
    const PodSpec *s = c->spec;
    SCOPED(mem_free) bool *ok = mem_alloc_n(s->volumes.n, sizeof *ok);
    c->volume_ok = ok;
    if (!s->termination_grace_period_seconds.set)
        v_required(c->r, CHILD(spec, "terminationGracePeriodSeconds"), NULL);
    check_volumes(c, ok);
    check_containers(c);
    if (s->resources)
        check_resources(c->r, CHILD(spec, "resources"), s->resources, true);
    check_host_network_ports(c, spec);
    check_policies(c, spec);
    check_labels(c->r, CHILD(spec, "nodeSelector"), &s->node_selector);
    check_pod_security_context(c, CHILD(spec, "securityContext"), s->security_context);
    check_dns_config(c, CHILD(spec, "dnsConfig"));
    for (size_t i = 0; i < s->readiness_gates.n; i++) {
        const char *type = s->readiness_gates.v[i].condition_type;
        v_qualified_name(c->r, CHILD(AT_INDEX(CHILD(spec, "readinessGates"), i), "conditionType"), type, type);
    }
    check_host_users(c, spec);
    check_names(c, spec);
    check_scheduling(c, spec);
    check_os(c, spec);
    c->volume_ok = NULL;
}

static void check_token_needs_account(Checker *c)
{
    if (c->spec->service_account_name)
        return;
    for (size_t i = 0; i < c->spec->volumes.n; i++) {
        const ProjectedVolumeSource *p = c->spec->volumes.v[i].projected;
        for (size_t k = 0; p && k < p->sources.n; k++)
            if (p->sources.v[k].service_account_token) {
                const Path *volume = AT_INDEX(CHILD(CHILD(NULL, "spec"), "volumes"), i);
                const Path *source = AT_INDEX(CHILD(CHILD(volume, "projected"), "sources"), k);
                v_forbidden(c->r, CHILD(source, "serviceAccountToken"),
                            "must not be specified when serviceAccountName is not set");
            }
    }
}

static void validate(const Pod *p, const FeatureGates *gates, bool create, Report *r)
{
    Checker c = {.pod = p, .spec = &p->spec, .gates = gates, .r = r};
    const Path *spec = CHILD(NULL, "spec");
    check_meta(r, &p->metadata, true);
    check_pod_annotations(&c);
    check_spec(&c);
    check_token_needs_account(&c);
    check_images(&c);
    if (create && p->spec.ephemeral_containers.n)
        v_forbidden(r, CHILD(spec, "ephemeralContainers"), "cannot be set on create");
    check_supported(&c);
}

void pod_validate(const Pod *p, const FeatureGates *gates, Report *r)
{
    validate(p, gates, true, r);
}

void pod_validate_stored(const Pod *p, const FeatureGates *gates, Report *r)
{
    validate(p, gates, false, r);
}
