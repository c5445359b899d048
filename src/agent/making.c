/* making.c - everything the runtime must be told about one container: from the spec, the Pod's own objects and its volumes. */
#include "agent/making.h"

#include "node/resources.h"

static NamespaceMode pid_mode(const PodSpec *s, const Container *c)
{
    if (s->host_pid.v)
        return NS_NODE;
    if (c->target_container_name && *c->target_container_name)
        return NS_TARGET;
    return s->share_process_namespace.v ? NS_POD : NS_CONTAINER;
}

/* hostPorts of regular containers and sidecars: those of plain init containers would clash with them (the kubelet's
 * MakePortMappings reads spec.containers; sidecars since KEP-753). */
static void add_port_mappings(const ContainerList *list, bool sidecars_only, SandboxConfig *sc)
{
    LIST_EACH(c, list) {
        if (sidecars_only && !container_is_sidecar(c))
            continue;
        LIST_EACH(p, &c->ports) {
            if (!p->host_port.set || p->host_port.v == 0)
                continue;
            static const char *const names[][2] = {{"TCP", "tcp"}, {"UDP", "udp"}, {"SCTP", "sctp"}};
            const char *protocol = "tcp";
            for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (str_eq(p->protocol, names[i][0]))
                    protocol = names[i][1];
            PortMapping *m = LIST_ADD(&sc->port_mappings);
            m->container_port = (int32_t)p->container_port.v;
            m->host_port = (int32_t)p->host_port.v;
            m->protocol = mem_dup_str(protocol);
            m->host_ip = mem_dup_str(p->host_ip);
        }
    }
}

static bool has_privileged(const ContainerList *l)
{
    LIST_EACH(c, l)
        if (c->security_context && c->security_context->privileged.v)
            return true;
    return false;
}

void making_sandbox_done(MakingSandbox *m)
{
    LIST_EACH(p, &m->c.port_mappings) {
        free(p->protocol);
        free(p->host_ip);
    }
    free(m->c.port_mappings.v);
    free(m->hostname);
    free(m->log_directory);
    *m = (MakingSandbox){0};
}

void making_sandbox(const Worker *w, uint32_t attempt, MakingSandbox *m)
{
    const Pod *p = w->rec.pod;
    const PodSpec *s = &p->spec;
    m->hostname = pod_hostname(p);
    m->log_directory = mem_fmt("%s/%s_%s_%s", w->agent->log_dir, p->metadata.namespace_, p->metadata.name, p->metadata.uid);
    m->c = (SandboxConfig){
        .name = p->metadata.name,
        .namespace_ = p->metadata.namespace_,
        .uid = p->metadata.uid,
        .attempt = attempt,
        .hostname = s->host_network.v ? "" : m->hostname,
        .log_directory = m->log_directory,
        .labels = p->metadata.labels,
        .annotations = p->metadata.annotations,
        .network = s->host_network.v ? NS_NODE : NS_POD,
        .pid = s->host_pid.v ? NS_NODE : s->share_process_namespace.v ? NS_POD : NS_CONTAINER,
        .ipc = s->host_ipc.v ? NS_NODE : NS_POD,
        .qos_class = pod_qos_class(s),
        .privileged = has_privileged(&s->init_containers) || has_privileged(&s->containers) || has_privileged(&s->ephemeral_containers),
        .pod_sec = s->security_context,
    };
    if (s->security_context) {
        m->c.sysctls.n = s->security_context->sysctls.n;
        m->c.sysctls.v = s->security_context->sysctls.v;
    }
    if (!s->host_network.v) {
        add_port_mappings(&s->containers, false, &m->c);
        add_port_mappings(&s->init_containers, true, &m->c);
    }
    resources_pod(p, &m->c);
}

/* Writes /etc/hosts and kin once for each sandbox: its addresses may differ from the last one's. */
static Err *write_pod_files(Worker *w, const char *sandbox_id, const VolumesContext *ctx, const PodFacts *facts)
{
    if (str_eq(w->files_for, sandbox_id))
        return NULL;
    LIST_EACH(s, &facts->sandboxes) {
        if (!str_eq(s->id, sandbox_id))
            continue;
        bool host = w->rec.pod->spec.host_network.v;
        Err *e = podfiles_write(ctx, host ? w->agent->host_ips.v : s->ips.v, host ? w->agent->host_ips.n : s->ips.n);
        if (e)
            return e;
        mem_set_str(&w->files_for, sandbox_id);
    }
    return NULL;
}

static uint32_t sandbox_attempt(const PodFacts *facts, const char *id)
{
    LIST_EACH(s, &facts->sandboxes)
        if (str_eq(s->id, id))
            return s->attempt;
    return 0;
}

void making_done(Making *m)
{
    strvec_done(&m->env);
    strvec_done(&m->arena);
    strvec_done(&m->cc.command);
    strvec_done(&m->cc.args);
    free(m->mounts.v);
    free(m->cc.devices.v);
    free(m->cc.hugepages.v);
    free(m->log_path);
    free(m->hash);
    free(m->termination_log);
    pod_facts_done(&m->facts);
    making_sandbox_done(&m->sandbox);
}

Err *making_config(Worker *w, const Container *c, const MakingFor *want, Making *m)
{
    const Pod *p = w->rec.pod;
    VolumesContext ctx = worker_volumes(w);
    ctx.observe = want->observe;
    SCOPED(strvec_done) StrVec warnings = {0}, dns_warnings = {0};
    ctx.warnings = &dns_warnings;
    w->agent->cfg.rt->ops->pod_facts(w->agent->cfg.rt, worker_uid(w), &m->facts);
    Err *e = write_pod_files(w, want->sandbox_id, &ctx, &m->facts);
    if (e)
        return e;
    ctx.warnings = &warnings;
    StrList ips = {0};
    LIST_EACH(s, &m->facts.sandboxes)
        if (str_eq(s->id, want->sandbox_id))
            ips = p->spec.host_network.v ? w->agent->host_ips : s->ips;
    e = env_resolve(&ctx, c, ips.n ? ips.v[0] : "", &ips, &m->env);
    if (!e)
        e = volumes_container_mounts(&ctx, c, &m->env, want->attempt, &m->mounts, &m->arena);
    if (e)
        return e->reason[0] ? e : err_reason(e, "CreateContainerConfigError");
    ContainerConfig *cc = &m->cc;
    env_expand_list(&c->command, &m->env, &cc->command);
    env_expand_list(&c->args, &m->env, &cc->args);
    m->log_path = mem_fmt("%s/%u.log", c->name, want->attempt);
    m->hash = plan_container_hash(c);
    cc->name = c->name;
    cc->attempt = want->attempt;
    cc->image = c->image;
    cc->image_id = want->image_id;
    cc->working_dir = str_or(c->working_dir, "");
    cc->env = m->env;
    cc->mounts.n = m->mounts.n;
    cc->mounts.v = m->mounts.v;
    cc->annotations = p->metadata.annotations;
    cc->labels = p->metadata.labels;
    cc->log_path = m->log_path;
    cc->stdin_ = c->stdin_.v;
    cc->stdin_once = c->stdin_once.v;
    cc->tty = c->tty.v;
    cc->stop_signal = c->lifecycle ? c->lifecycle->stop_signal : NULL;
    m->termination_log = volumes_termination_log(w->agent->root, p->metadata.uid, c->name, want->attempt);
    cc->termination_message_path = c->termination_message_path;
    cc->termination_message_host_path = m->termination_log;
    cc->termination_message_from_logs = str_eq(c->termination_message_policy, "FallbackToLogsOnError");
    cc->sec = c->security_context;
    cc->pod_sec = p->spec.security_context;
    cc->pid = pid_mode(&p->spec, c);
    if (cc->pid == NS_TARGET) {
        const ContainerFact *t = pod_facts_newest(&m->facts, c->target_container_name);
        if (!t || t->state != RUN_RUNNING)
            return err_reason(err_new(ERR_NOT_FOUND, 0, "target container \"%s\" is not running",
                                      c->target_container_name),
                              "CreateContainerConfigError");
        cc->pid_target_id = t->id;
    }
    cc->spec_hash = m->hash;
    if (w->agent->cfg.rt->ops->caps & RUNTIME_CAP_SANDBOX_AGAIN) {
        making_sandbox(w, sandbox_attempt(&m->facts, want->sandbox_id), &m->sandbox);
        cc->sandbox = &m->sandbox.c;
    }
    for (size_t i = 0; i < dns_warnings.n; i++)
        worker_event(w, true, "DNSConfigForming", NULL, "%s", dns_warnings.v[i]);
    for (size_t i = 0; i < warnings.n && !want->quiet; i++)
        worker_event(w, true, "InvalidEnvironmentVariableNames", c->name, "%s", warnings.v[i]);
    DeviceList devices = {0};
    e = volumes_container_devices(&ctx, c, &devices, &m->arena);
    cc->devices.n = devices.n;
    cc->devices.v = devices.v;
    if (e)
        return e;
    resources_container(p, c, w->agent->node_memory_bytes, cc);
    return NULL;
}
