/* probes.c - the I/O of probes. When to probe and what an outcome means is plan/probe.h's. */
#include "agent/worker.h"

#define PROBE_OUTPUT_MAX 10240 /* pkg/probe/http maxRespBodyLength, and exec's */
/* prober.maxProbeRetries: an attempt that could not be made at all is tried again at once, this often. */
static const char *const kind_names[PROBE_KIND_N] = {"Startup", "Liveness", "Readiness"};

struct ProbeRun {
    Worker *w;
    ProbeSlot *slot; /* NULL = cancelled */
    char *id;        /* instance that is probed */
    NetCall *call;
};

static void probe_run_free(ProbeRun *r)
{
    worker_unref(r->w);
    free(r->id);
    free(r);
}

static void probe_cancel(ProbeRun *r)
{
    if (!r)
        return;
    r->slot = NULL;
    if (r->call) {
        netcall_cancel(MOVE(r->call, NULL));
        probe_run_free(r);
    } /* an exec's callback comes, and finds nobody to tell */
}

static void probe_finish(ProbeRun *r, bool ok, const char *output)
{
    ProbeSlot *slot = r->slot;
    Worker *w = r->w;
    if (slot && !w->closed) {
        slot->run = NULL;
        /* The outcome of an instance that is gone says nothing about the new one. */
        if (str_eq(slot->machine.container_id, r->id)) {
            bool changed = probe_worker_outcome(&slot->machine, slot->spec, ok, output, worker_now());
            if (!ok)
                worker_event(w, true, "Unhealthy", slot->container->name, "%s probe failed: %s",
                             kind_names[slot->machine.kind], output);
            (void)changed;
        } else {
            slot->machine.in_flight = false;
        }
        worker_dirty(w); /* also arms the timer for the next attempt */
    }
    probe_run_free(r);
}

static void on_probe_exec(void *arg, const ExecResult *res, Err *err)
{
    ProbeRun *r = arg;
    SCOPED(str_done) Str s = {0};
    bool ok = false;
    if (err) {
        SCOPED(mem_free) char *text = err_text(err);
        str_add(&s, text);
        err_free(err);
    } else if (res->timed_out) {
        const OptInt *t = r->slot ? &r->slot->spec->timeout_seconds : NULL;
        str_fmt(&s, "command timed out after %llds", (long long)(t && t->set ? t->v : 1));
    } else {
        ok = res->exit_code == 0;
        str_add_n(&s, res->out, res->n_out);
    }
    probe_finish(r, ok, str_or(s.p, ""));
}

static void on_probe_net(void *arg, const NetCallResult *res)
{
    ProbeRun *r = arg;
    r->call = NULL;
    probe_finish(r, res->ok, res->output);
}

static Err *probe_attempt(ProbeRun *r)
{
    Worker *w = r->w;
    const Probe *p = r->slot->spec;
    Runtime *rt = w->agent->cfg.rt;
    uv_loop_t *loop = w->agent->cfg.loop;
    const char *host = worker_probe_host(w);
    int64_t timeout = (p->timeout_seconds.set && p->timeout_seconds.v > 0 ? p->timeout_seconds.v : 1) * NS_PER_S;
    if (p->exec) {
        SCOPED(strvec_done) StrVec argv = {0};
        LIST_EACH(arg, &p->exec->command)
            strvec_add(&argv, *arg);
        return rt->ops->exec_sync(rt, worker_uid(w), r->id, (const char *const *)argv.v, timeout, PROBE_OUTPUT_MAX,
                                  on_probe_exec, r);
    }
    if (p->http_get)
        return netcall_http(loop, p->http_get, r->slot->container, host, "kube-probe/1.35", timeout, on_probe_net, r,
                            &r->call);
    if (p->tcp_socket)
        return netcall_tcp(loop, p->tcp_socket, r->slot->container, host, timeout, on_probe_net, r, &r->call);
    if (p->grpc)
        return netcall_grpc(loop, p->grpc, host, timeout, on_probe_net, r, &r->call);
    return err_new(ERR_BUG, 0, "missing probe handler for %s", r->slot->container->name); /* validation refuses it */
}

static void probe_start(Worker *w, ProbeSlot *slot, const char *id)
{
    ProbeRun *r = NEW(ProbeRun);
    r->w = worker_ref(w);
    r->slot = slot;
    r->id = mem_dup_str(id);
    slot->run = r;
    slot->machine.in_flight = true;
    SCOPED(err_free) Err *e = probe_attempt(r);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        probe_finish(r, false, text);
    }
}

static void add_slots(Worker *w, const ContainerList *list, bool init)
{
    LIST_EACH(c, list) {
        if (init && !container_is_sidecar(c))
            continue;
        const Probe *const specs[PROBE_KIND_N] = {c->startup_probe, c->liveness_probe, c->readiness_probe};
        for (int k = 0; k < PROBE_KIND_N; k++) {
            if (!specs[k])
                continue;
            ProbeSlot *s = LIST_ADD(&w->probes);
            s->container = c;
            s->spec = specs[k];
            probe_worker_init(&s->machine, (ProbeKind)k);
        }
    }
}

void probes_init(Worker *w)
{
    add_slots(w, &w->rec.pod->spec.init_containers, true);
    add_slots(w, &w->rec.pod->spec.containers, false);
}

static bool container_started(const Worker *w, const char *name)
{
    const PodStatus *s = &w->rec.pod->status;
    LIST_EACH(c, &s->init_container_statuses)
        if (str_eq(c->name, name))
            return c->started.v;
    LIST_EACH(c, &s->container_statuses)
        if (str_eq(c->name, name))
            return c->started.v;
    return false;
}

static void on_probe_timer(uv_timer_t *t)
{
    worker_dirty(t->data);
}

void probes_sync(Worker *w, const PodFacts *facts)
{
    const Pod *pod = w->rec.pod;
    int64_t now = worker_now(), next = NS_NONE;
    bool deleted = pod->metadata.deletion_timestamp.set || w->rec.terminating;
    LIST_EACH(slot, &w->probes) {
        const ContainerFact *f = pod_facts_newest(facts, slot->container->name);
        if (!plan_probe_enabled(pod, slot->container, slot->machine.kind, f)) {
            probe_cancel(MOVE(slot->run, NULL));
            slot->machine.in_flight = false;
            continue;
        }
        int64_t at = NS_NONE;
        ProbeResult before = slot->machine.result;
        SCOPED(mem_free) char *id_before = mem_dup_str(slot->machine.container_id);
        ProbeStep step = probe_worker_step(&slot->machine, slot->spec, f,
                                           container_started(w, slot->container->name), deleted, now, &at);
        if (!str_eq(id_before, slot->machine.container_id))
            probe_cancel(MOVE(slot->run, NULL));
        if (before != slot->machine.result)
            worker_dirty(w);
        if (step == PROBE_RUN && !slot->run)
            probe_start(w, slot, f->id);
        else if (at != NS_NONE && (next == NS_NONE || at < next))
            next = at;
    }
    if (next == NS_NONE) {
        (void)uv_timer_stop(&w->probe_timer);
        return;
    }
    uv_update_time(w->agent->cfg.loop);
    uint64_t ms = next <= now ? 1 : (uint64_t)((next - now + NS_PER_MS - 1) / NS_PER_MS);
    (void)uv_timer_start(&w->probe_timer, on_probe_timer, ms, 0);
}

void probes_facts(Worker *w, PlanInput *in)
{
    LIST_EACH(slot, &w->probes) {
        ProbeFact *f = NULL;
        LIST_EACH(i, &in->probes)
            if (str_eq(i->container, slot->container->name))
                f = i;
        if (!f) {
            f = LIST_ADD(&in->probes);
            f->container = mem_dup_str(slot->container->name);
        }
        const ContainerFact *c = pod_facts_newest(in->runtime, slot->container->name);
        /* A result of an earlier instance is no result. */
        if (c && str_eq(c->id, slot->machine.container_id)) {
            f->result[slot->machine.kind] = slot->machine.result;
            f->message[slot->machine.kind] = mem_dup_str(slot->machine.message);
        }
    }
}

void probes_done(Worker *w)
{
    LIST_EACH(slot, &w->probes) {
        probe_cancel(MOVE(slot->run, NULL));
        probe_worker_done(&slot->machine);
    }
    free(w->probes.v);
    w->probes.v = NULL;
    w->probes.n = 0;
}
