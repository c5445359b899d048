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
