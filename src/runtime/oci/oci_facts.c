#include "runtime/oci/oci_priv.h"

static char *text_of(const json_t *o, const char *key)
{
    return mem_dup_str(json_str(o, key));
}

static void sandbox_fact(const char *id, const json_t *o, PodFacts *out)
{
    SandboxFact *s = LIST_ADD(&out->sandboxes);
    size_t i;
    json_t *ip;
    s->id = mem_dup_str(id);
    s->attempt = (uint32_t)json_i64(o, "attempt", 0);
    s->state = str_eq(json_str(o, "state"), "ready") ? SANDBOX_READY : SANDBOX_NOT_READY;
    s->host_network = !json_flag(json_object_get(o, "new_ns"), "net", true);
    s->created_at_ns = json_i64(o, "created_at_ns", NS_NONE);
    s->pid = (int32_t)json_i64(o, "pid", 0);
    json_array_foreach(json_object_get(o, "ips"), i, ip)
        if (json_is_string(ip))
            *LIST_ADD(&s->ips) = mem_dup_str(json_string_value(ip));
}

static bool run_state(const char *name, RunState *ret)
{
    static const struct {
        const char *name;
        RunState state;
    } states[] = {{"created", RUN_CREATED}, {"running", RUN_RUNNING}, {"exited", RUN_EXITED}};
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (str_eq(name, states[i].name)) {
            *ret = states[i].state;
            return true;
        }
    return false; /* prepared, creating: its request is under way, or it is being undone */
}

static void standby_fact(const char *id, const json_t *o, PodFacts *out)
{
    StandbyFact *s = LIST_ADD(&out->standbys);
    s->id = mem_dup_str(id);
    s->name = mem_dup_str(str_or(json_str(o, "name"), ""));
    s->sandbox_id = text_of(o, "sandbox");
    s->attempt = (uint32_t)json_i64(o, "attempt", 0);
    s->key = text_of(o, "key");
    s->bytes = json_i64(o, "standby_bytes", 0);
}

static void container_fact(const char *id, const json_t *o, PodFacts *out)
{
    RunState state;
    if (str_eq(json_str(o, "state"), "standby") && !json_flag(o, "removing", false))
        standby_fact(id, o, out);
    if (!run_state(json_str(o, "state"), &state) || json_flag(o, "removing", false))
        return;
    ContainerFact *c = LIST_ADD(&out->containers);
    c->id = mem_dup_str(id);
    c->name = mem_dup_str(str_or(json_str(o, "name"), ""));
    c->sandbox_id = text_of(o, "sandbox");
    c->attempt = (uint32_t)json_i64(o, "attempt", 0);
    c->state = state;
    c->exit_known = json_flag(o, "exit_known", false);
    c->exit_code = (int32_t)json_i64(o, "exit_code", 0);
    c->signal = (int32_t)json_i64(o, "signal", 0);
    c->reason = text_of(o, "reason");
    c->message = text_of(o, "message");
    c->created_at_ns = json_i64(o, "created_at_ns", NS_NONE);
    c->started_at_ns = json_i64(o, "started_at_ns", NS_NONE);
    c->finished_at_ns = json_i64(o, "finished_at_ns", NS_NONE);
    c->image = text_of(o, "image");
    c->image_id = text_of(o, "image_id");
    c->log_path = text_of(o, "log_path");
    c->spec_hash = text_of(o, "spec_hash");
    c->pid = (int32_t)json_i64(o, "pid", 0);
    c->stop_since_ns = c->term_at_ns = c->kill_at_ns = NS_NONE; /* the agent's own */
}

void oci_facts_from_json(const json_t *facts, const char *hidden_sandbox, PodFacts *out)
{
    const char *id;
    json_t *o;
    *out = (PodFacts){0};
    json_object_foreach(json_object_get(facts, "sandboxes"), id, o)
        if (!str_eq(id, hidden_sandbox))
            sandbox_fact(id, o, out);
    json_object_foreach(json_object_get(facts, "containers"), id, o) container_fact(id, o, out);
    pod_facts_sort(out);
}
