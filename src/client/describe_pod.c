/* describe_pod.c - kubectl's describePod(), and what it leaves out and a restart is about: restart policies, rules,
 * restarts in place. */
#include "api/objects.h"
#include "api/quantity.h"
#include "client/describe_priv.h"
#include "kube/table.h"

/* --- containers --------------------------------------------------------------------------------------------------- */

static const json_t *named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(at_str(json_array_get(list, i), "name"), name))
            return json_array_get(list, i);
    return NULL;
}

static void ports(Desc *d, const json_t *list, const char *member, const char *one, const char *many)
{
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        str_fmt(&s, "%s%lld/%s", i ? ", " : "", (long long)at_i64(p, member), at_str(p, "protocol"));
        if (*at_str(p, "name"))
            str_fmt(&s, " (%s)", at_str(p, "name"));
    }
    w(d, 2, "%s:\t%s\n", json_array_size(list) > 1 ? many : one, or_none(s.p));
}

static void seccomp(Desc *d, int level, const json_t *profile)
{
    if (!profile)
        return;
    w(d, level, "SeccompProfile:\t%s\n", at_str(profile, "type"));
    if (str_eq(at_str(profile, "type"), "Localhost"))
        w(d, level ? level + 1 : 0, "LocalhostProfile:\t%s\n", at_str(profile, "localhostProfile"));
}

/* A word a line, and a line of a word a line. */
static void words(Desc *d, const char *title, const json_t *list)
{
    if (!json_array_size(list))
        return;
    w(d, 2, "%s:\n", title);
    for (size_t i = 0; i < json_array_size(list); i++)
        for (const char *p = str_or(json_string_value(json_array_get(list, i)), "");;) {
            size_t n = strcspn(p, "\n");
            w(d, 3, "%.*s\n", (int)n, p);
            if (!p[n])
                break;
            p += n + 1;
        }
}

static void state(Desc *d, const char *title, const json_t *s)
{
    char a[RFC1123_MAX], b[RFC1123_MAX];
    const json_t *running = at(s, "running"), *ended = at(s, "terminated");
    if (running) {
        w(d, 2, "%s:\tRunning\n", title);
        w(d, 3, "Started:\t%s\n", rfc1123(at_str(running, "startedAt"), a));
        return;
    }
    w(d, 2, "%s:\t%s\n", title, ended ? "Terminated" : "Waiting");
    const json_t *why = ended ? ended : at(s, "waiting");
    if (*at_str(why, "reason"))
        w(d, 3, "Reason:\t%s\n", at_str(why, "reason"));
    if (!ended)
        return;
    if (*at_str(ended, "message"))
        w(d, 3, "Message:\t%s\n", at_str(ended, "message"));
    w(d, 3, "Exit Code:\t%lld\n", (long long)at_i64(ended, "exitCode"));
    if (at_i64(ended, "signal") > 0)
        w(d, 3, "Signal:\t%lld\n", (long long)at_i64(ended, "signal"));
    w(d, 3, "Started:\t%s\n", rfc1123(at_str(ended, "startedAt"), a));
    w(d, 3, "Finished:\t%s\n", rfc1123(at_str(ended, "finishedAt"), b));
}

/* Not in kubectl: what becomes of the container, and of the Pod, when it exits. */
static void restart_rules(Desc *d, const json_t *c)
{
    const json_t *rules = at(c, "restartPolicyRules");
    if (*at_str(c, "restartPolicy"))
        w(d, 2, "Restart Policy:\t%s\n", at_str(c, "restartPolicy"));
    if (json_array_size(rules))
        w(d, 2, "Restart Rules:\n");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *r = json_array_get(rules, i);
        SCOPED(mem_free) char *values = go_list(at(r, "exitCodes.values"));
        w(d, 3, "%s:\texit code %s %s\n", at_str(r, "action"), at_str(r, "exitCodes.operator"), values);
    }
}

static void resources(Desc *d, int level, const json_t *r)
{
    static const char *const parts[][2] = {{"limits", "Limits"}, {"requests", "Requests"}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const json_t *list = at(r, parts[i][0]);
        if (json_object_size(list))
            w(d, level, "%s:\n", parts[i][1]);
        desc_resources(d, level + 1, list);
    }
}

static void probe(Desc *d, const char *title, const json_t *p)
{
    SCOPED(str_done) Str s = {0};
    const char *host = at_str(p, "tcpSocket.host");
    if (!p)
        return;
    if (at(p, "exec")) {
        SCOPED(mem_free) char *command = go_list(at(p, "exec.command"));
        str_fmt(&s, "exec %s", command);
    } else if (at(p, "httpGet")) {
        SCOPED(mem_free) char *port = value_text(at(p, "httpGet.port"));
        const char *path = at_str(p, "httpGet.path");
        str_fmt(&s, "http-get %s://%s%s%s%s", str_eq(at_str(p, "httpGet.scheme"), "HTTPS") ? "https" : "http",
                at_str(p, "httpGet.host"), *port ? ":" : "", port, path);
    } else if (at(p, "tcpSocket")) {
        SCOPED(mem_free) char *port = value_text(at(p, "tcpSocket.port"));
        str_fmt(&s, "tcp-socket %s:%s", host, port);
    } else if (at(p, "grpc")) {
        str_fmt(&s, "grpc <pod>:%lld %s", (long long)at_i64(p, "grpc.port"), at_str(p, "grpc.service"));
    } else {
        str_add(&s, "unknown");
    }
    w(d, 2, "%s:\t%s delay=%llds timeout=%llds period=%llds successThreshold=%lld failureThreshold=%lld\n", title, s.p,
      (long long)at_i64(p, "initialDelaySeconds"), (long long)at_i64(p, "timeoutSeconds"),
      (long long)at_i64(p, "periodSeconds"), (long long)at_i64(p, "successThreshold"),
      (long long)at_i64(p, "failureThreshold"));
}

static const char *optional(const json_t *ref)
{
    return at_true(ref, "optional") ? "true" : "false";
}

static void env_from(Desc *d, const json_t *list)
{
    if (!json_array_size(list))
        return;
    w(d, 2, "Environment Variables from:\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *e = json_array_get(list, i), *map = at(e, "configMapRef"), *ref = map ? map : at(e, "secretRef");
        w(d, 3, "%s\t%s", at_str(ref, "name"), map ? "ConfigMap" : "Secret");
        if (*at_str(e, "prefix"))
            w(d, 0, " with prefix '%s'", at_str(e, "prefix"));
        w(d, 0, "\tOptional: %s\n", optional(ref));
    }
}

/* The Pod's own field, of those that do not change: metadata.name, metadata.labels['x']. */
static const char *field_value(const json_t *pod, const char *path)
{
    const char *bracket = strchr(path, '[');
    if (!str_starts(path, "metadata."))
        return "";
    if (!bracket)
        return at_str(pod, path);
    SCOPED(mem_free) char *map = mem_dup_strn(path, (size_t)(bracket - path));
    size_t n = strlen(bracket);
    if (n < 5 || bracket[1] != '\'')
        return "";
    SCOPED(mem_free) char *key = mem_dup_strn(bracket + 2, n - 4);
    return str_or(json_str(at(pod, map), key), "");
}

/* limits.cpu of the container itself in units of the divisor, rounded up; 0 is what the node has. */
static char *resource_value(const json_t *container, const json_t *ref)
{
    const char *resource = at_str(ref, "resource"), *dot = strchr(resource, '.');
    SCOPED(mem_free) char *divisor = value_text(at(ref, "divisor"));
    int64_t value = 0, by = 0;
    if (!dot)
        return mem_dup_str("");
    SCOPED(mem_free) char *kind = mem_dup_strn(resource, (size_t)(dot - resource));
    SCOPED(mem_free) char *amount = value_text(json_object_get(at(at(container, "resources"), kind), dot + 1));
    bool cpu = str_eq(dot, ".cpu");
    bool (*parse)(const char *q, int64_t *ret) = cpu ? quantity_milli : quantity_value;
    if (!parse(*divisor && !str_eq(divisor, "0") ? divisor : "1", &by) || by <= 0 ||
        (*amount && !parse(amount, &value)))
        return mem_dup_str("");
    if (value == 0 && (str_eq(resource, "limits.cpu") || str_eq(resource, "limits.memory")))
        return mem_dup_str("node allocatable");
    return mem_fmt("%lld", (long long)(value / by + (value % by > 0)));
}

static void env_one(Desc *d, const json_t *pod, const json_t *container, const json_t *e)
{
    const char *name = at_str(e, "name");
    const json_t *from = at(e, "valueFrom"), *ref;
    if (!from) {
        for (const char *p = at_str(e, "value");;) {
            size_t n = strcspn(p, "\n");
            if (p == at_str(e, "value"))
                w(d, 3, "%s:\t%.*s\n", name, (int)n, p);
            else
                w(d, 3, "\t%.*s\n", (int)n, p);
            if (!p[n])
                return;
            p += n + 1;
        }
    }
    if ((ref = at(from, "fieldRef")) != NULL) {
        w(d, 3, "%s:\t%s (%s:%s)\n", name, field_value(pod, at_str(ref, "fieldPath")), at_str(ref, "apiVersion"),
          at_str(ref, "fieldPath"));
    } else if ((ref = at(from, "resourceFieldRef")) != NULL) {
        SCOPED(mem_free) char *value = resource_value(container, ref);
        w(d, 3, "%s:\t%s (%s)\n", name, value, at_str(ref, "resource"));
    } else if ((ref = at(from, "secretKeyRef")) != NULL) {
        w(d, 3, "%s:\t<set to the key '%s' in secret '%s'>\tOptional: %s\n", name, at_str(ref, "key"),
          at_str(ref, "name"), optional(ref));
    } else if ((ref = at(from, "configMapKeyRef")) != NULL) {
        w(d, 3, "%s:\t<set to the key '%s' of config map '%s'>\tOptional: %s\n", name, at_str(ref, "key"),
          at_str(ref, "name"), optional(ref));
    }
}

static int compare_mounts(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    return strcmp(at_str(*x, "mountPath"), at_str(*y, "mountPath"));
}

static void mounts(Desc *d, const json_t *list)
{
    size_t n;
    const json_t **v = sorted(list, compare_mounts, &n);
    w(d, 2, "Mounts:%s\n", n ? "" : "\t<none>");
    for (size_t i = 0; i < n; i++) {
        SCOPED(str_done) Str flags = {0};
        str_add(&flags, at_true(v[i], "readOnly") ? "ro" : "rw");
        if (*at_str(v[i], "subPath")) {
            str_add(&flags, ",path=");
            str_add_quoted(&flags, at_str(v[i], "subPath"));
        }
        w(d, 3, "%s from %s (%s)\n", at_str(v[i], "mountPath"), at_str(v[i], "name"), flags.p);
    }
    free(v);
}

static void container(Desc *d, const json_t *pod, const json_t *c, const json_t *s)
{
    const json_t *env = at(c, "env");
    w(d, 1, "%s:\n", at_str(c, "name"));
    if (s)
        w(d, 2, "Container ID:\t%s\n", at_str(s, "containerID"));
    w(d, 2, "Image:\t%s\n", at_str(c, "image"));
    if (s)
        w(d, 2, "Image ID:\t%s\n", at_str(s, "imageID"));
    ports(d, at(c, "ports"), "containerPort", "Port", "Ports");
    ports(d, at(c, "ports"), "hostPort", "Host Port", "Host Ports");
    seccomp(d, 2, at(c, "securityContext.seccompProfile"));
    words(d, "Command", at(c, "command"));
    words(d, "Args", at(c, "args"));
    if (s) {
        state(d, "State", at(s, "state"));
        if (at(s, "lastState.terminated"))
            state(d, "Last State", at(s, "lastState"));
        w(d, 2, "Ready:\t%s\n", at_true(s, "ready") ? "True" : "False");
        w(d, 2, "Restart Count:\t%lld\n", (long long)at_i64(s, "restartCount"));
    }
    restart_rules(d, c);
    resources(d, 2, at(c, "resources"));
    probe(d, "Liveness", at(c, "livenessProbe"));
    probe(d, "Readiness", at(c, "readinessProbe"));
    probe(d, "Startup", at(c, "startupProbe"));
    env_from(d, at(c, "envFrom"));
    w(d, 2, "Environment:%s\n", json_array_size(env) ? "" : "\t<none>");
    for (size_t i = 0; i < json_array_size(env); i++)
        env_one(d, pod, c, json_array_get(env, i));
    mounts(d, at(c, "volumeMounts"));
}

static void containers(Desc *d, const json_t *pod, const char *title, const char *list, const char *statuses)
{
    const json_t *l = at(pod, list);
    w(d, 0, "%s:%s\n", title, json_array_size(l) ? "" : " <none>");
    for (size_t i = 0; i < json_array_size(l); i++)
        container(d, pod, json_array_get(l, i), named(at(pod, statuses), at_str(json_array_get(l, i), "name")));
}

/* --- the Pod ------------------------------------------------------------------------------------------------------ */

static void head(Desc *d, const json_t *pod)
{
    static const char *const rows[][2] = {{"Priority Class Name", "spec.priorityClassName"},
                                          {"Runtime Class Name", "spec.runtimeClassName"},
                                          {"Service Account", "spec.serviceAccountName"}};
    char buf[RFC1123_MAX];
    w(d, 0, "Name:\t%s\nNamespace:\t%s\n", at_str(pod, "metadata.name"), at_str(pod, "metadata.namespace"));
    if (at(pod, "spec.priority"))
        w(d, 0, "Priority:\t%lld\n", (long long)at_i64(pod, "spec.priority"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (*at_str(pod, rows[i][1]))
            w(d, 0, "%s:\t%s\n", rows[i][0], at_str(pod, rows[i][1]));
    if (*at_str(pod, "spec.nodeName"))
        w(d, 0, "Node:\t%s/%s\n", at_str(pod, "spec.nodeName"), at_str(pod, "status.hostIP"));
    else
        w(d, 0, "Node:\t<none>\n");
    if (*at_str(pod, "status.startTime"))
        w(d, 0, "Start Time:\t%s\n", rfc1123(at_str(pod, "status.startTime"), buf));
}

static void status(Desc *d, const json_t *pod)
{
    static const char *const rows[][2] = {{"Reason", "status.reason"}, {"Message", "status.message"}};
    const char *phase = at_str(pod, "status.phase"), *deleted = at_str(pod, "metadata.deletionTimestamp");
    char age[HUMAN_MAX];
    if (*deleted && !str_eq(phase, "Failed") && !str_eq(phase, "Succeeded")) {
        w(d, 0, "Status:\tTerminating (lasts %s)\n", age_of(d, deleted, age));
        w(d, 0, "Termination Grace Period:\t%llds\n", (long long)at_i64(pod, "metadata.deletionGracePeriodSeconds"));
    } else {
        w(d, 0, "Status:\t%s\n", phase);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (*at_str(pod, rows[i][1]))
            w(d, 0, "%s:\t%s\n", rows[i][0], at_str(pod, rows[i][1]));
    seccomp(d, 0, at(pod, "spec.securityContext.seccompProfile"));
}

static void addresses(Desc *d, const json_t *pod)
{
    const json_t *ips = at(pod, "status.podIPs"), *owners = at(pod, "metadata.ownerReferences");
    w(d, 0, "IP:\t%s\nIPs:%s\n", at_str(pod, "status.podIP"), json_array_size(ips) ? "" : "\t<none>");
    for (size_t i = 0; i < json_array_size(ips); i++)
        w(d, 1, "IP:\t%s\n", at_str(json_array_get(ips, i), "ip"));
    for (size_t i = 0; i < json_array_size(owners); i++)
        if (at_true(json_array_get(owners, i), "controller"))
            w(d, 0, "Controlled By:\t%s/%s\n", at_str(json_array_get(owners, i), "kind"),
              at_str(json_array_get(owners, i), "name"));
    if (*at_str(pod, "status.nominatedNodeName"))
        w(d, 0, "NominatedNodeName:\t%s\n", at_str(pod, "status.nominatedNodeName"));
}

static const json_t *condition(const json_t *pod, const char *type)
{
    const json_t *list = at(pod, "status.conditions");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(at_str(json_array_get(list, i), "type"), type))
            return json_array_get(list, i);
    return NULL;
}

static void conditions(Desc *d, const json_t *pod)
{
    const json_t *gates = at(pod, "spec.readinessGates"), *list = at(pod, "status.conditions");
    if (json_array_size(gates))
        w(d, 0, "Readiness Gates:\n  Type\tStatus\n");
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const char *type = at_str(json_array_get(gates, i), "conditionType");
        const json_t *c = condition(pod, type);
        w(d, 1, "%s \t%s \n", type, c ? at_str(c, "status") : "<none>");
    }
    if (json_array_size(list))
        w(d, 0, "Conditions:\n  Type\tStatus\n");
    for (size_t i = 0; i < json_array_size(list); i++)
        w(d, 1, "%s \t%s \n", at_str(json_array_get(list, i), "type"), at_str(json_array_get(list, i), "status"));
}

/* Not in kubectl: the last restart in place, or the one that is under way (KEP-5532's condition). */
static void restart_in_place(Desc *d, const json_t *pod)
{
    char buf[RFC1123_MAX];
    const json_t *c = condition(pod, "AllContainersRestarting");
    if (!c)
        return;
    bool now = str_eq(at_str(c, "status"), "True");
    w(d, 0, "In-Place Restart:\t%s %s\n", now ? "under way since" : "done",
      rfc1123(at_str(c, "lastTransitionTime"), buf));
    if (*at_str(c, "reason"))
        w(d, 1, "Reason:\t%s\n", at_str(c, "reason"));
    if (*at_str(c, "message"))
        w(d, 1, "Message:\t%s\n", at_str(c, "message"));
}

static int compare_tolerations(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    return strcmp(at_str(*x, "key"), at_str(*y, "key"));
}

static void toleration(Desc *d, const json_t *t)
{
    const char *key = at_str(t, "key"), *value = at_str(t, "value"), *effect = at_str(t, "effect");
    w(d, 0, "%s%s%s%s%s", key, *value ? "=" : "", value, *effect ? ":" : "", effect);
    if (str_eq(at_str(t, "operator"), "Exists") && !*value)
        w(d, 0, "%sop=Exists", *key || *effect ? " " : "");
    if (at(t, "tolerationSeconds"))
        w(d, 0, " for %llds", (long long)at_i64(t, "tolerationSeconds"));
    w(d, 0, "\n");
}

static void tolerations(Desc *d, const json_t *list)
{
    size_t n;
    const json_t **v = sorted(list, compare_tolerations, &n);
    w(d, 0, "Tolerations:\t%s", n ? "" : "<none>\n");
    for (size_t i = 0; i < n; i++) {
        w(d, 0, "%s", i ? "\t" : "");
        toleration(d, v[i]);
    }
    free(v);
}

/* The status says it; of a Pod without one it is counted. */
static void qos(Desc *d, const json_t *pod)
{
    const char *said = at_str(pod, "status.qosClass");
    SCOPED(report_done) Report r = {0};
    SCOPED(pod_free) Pod *p = *said ? NULL : api_decode(&type_Pod, pod, "", DECODE_LENIENT, &r);
    w(d, 0, "QoS Class:\t%s\n", *said ? said : pod_qos_class(&p->spec));
}

void describe_pod(Desc *d, const json_t *pod)
{
    head(d, pod);
    desc_meta(d, pod);
    status(d, pod);
    addresses(d, pod);
    w(d, 0, "Restart Policy:\t%s\n", at_str(pod, "spec.restartPolicy"));
    if (at(pod, "spec.resources")) {
        w(d, 0, "Resources:\n");
        resources(d, 1, at(pod, "spec.resources"));
    }
    if (json_array_size(at(pod, "spec.initContainers")))
        containers(d, pod, "Init Containers", "spec.initContainers", "status.initContainerStatuses");
    containers(d, pod, "Containers", "spec.containers", "status.containerStatuses");
    if (json_array_size(at(pod, "spec.ephemeralContainers")))
        containers(d, pod, "Ephemeral Containers", "spec.ephemeralContainers", "status.ephemeralContainerStatuses");
    conditions(d, pod);
    restart_in_place(d, pod);
    describe_volumes(d, at(pod, "spec.volumes"));
    qos(d, pod);
    desc_labels(d, "Node-Selectors", at(pod, "spec.nodeSelector"));
    tolerations(d, at(pod, "spec.tolerations"));
    describe_events(d);
}
