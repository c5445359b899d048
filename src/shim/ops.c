#include "os/fault.h"
#include "shim/shim.h"

typedef struct {
    const char *name;
    void (*plain)(Req *r);
    void (*ctr)(Ctr *c, Req *r);         /* of the container named in the request */
    void (*sandbox)(Sandbox *b, Req *r); /* of the sandbox named in the request */
    bool gone_is_done;                   /* naming what is not there succeeds */
} Op;

static void op_signal(Ctr *c, Req *r)
{
    Err *e = ctr_signal(c, (int)json_i64(r->body, "signal", 0));
    if (e)
        req_err(r, e);
    else
        req_ok(r, NULL);
}

/* All in one turn, before anything else happens: the in-place restart kills every container in the same instant. */
static void op_kill(Req *r)
{
    size_t i;
    json_t *id;
    fault_step("shim.kill");
    json_array_foreach(json_object_get(r->body, "containers"), i, id)
    {
        Ctr *c = ctr_find(r->shim, json_string_value(id));
        if (c)
            ctr_kill(c);
    }
    fault_step("shim.killed");
    req_ok(r, NULL);
}

static void op_shutdown(Req *r)
{
    Shim *s = r->shim;
    if (s->sandboxes || s->ctrs || s->trash) {
        req_err(r, err_new(ERR_EXISTS, 0, "the shim still holds a sandbox or containers"));
        return;
    }
    req_ok(r, NULL);
    shim_maybe_end(s);
}

static const Op ops[] = {
    {.name = "sandbox_create", .plain = sandbox_create},
    {.name = "sandbox_ready", .sandbox = sandbox_ready},
    {.name = "sandbox_stop", .sandbox = sandbox_stop, .gone_is_done = true},
    {.name = "sandbox_remove", .sandbox = sandbox_remove, .gone_is_done = true},
    {.name = "prepare", .plain = ctr_prepare},
    {.name = "create", .ctr = ctr_create},
    {.name = "start", .ctr = ctr_start},
    {.name = "signal", .ctr = op_signal, .gone_is_done = true},
    {.name = "kill", .plain = op_kill},
    {.name = "remove", .ctr = ctr_remove, .gone_is_done = true},
    {.name = "exec", .ctr = exec_run},
    {.name = "shutdown", .plain = op_shutdown},
};

static void dispatch_named(const Op *op, Req *r, const char *kind, const char *id)
{
    Ctr *c = op->ctr ? ctr_find(r->shim, id) : NULL;
    Sandbox *b = op->sandbox ? sandbox_find(r->shim, id) : NULL;
    if (c)
        op->ctr(c, r);
    else if (b)
        op->sandbox(b, r);
    else if (op->gone_is_done)
        req_ok(r, NULL);
    else
        req_err(r, err_new(ERR_NOT_FOUND, 0, "%s: no %s \"%s\"", op->name, kind, str_or(id, "")));
}

void ops_dispatch(Req *r)
{
    const char *name = json_str(r->body, "op");
    if (r->shim->ending) { /* the connection breaks in a moment: the agent asks the next shim */
        req_drop(r);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!str_eq(name, ops[i].name))
            continue;
        if (ops[i].plain)
            ops[i].plain(r);
        else if (ops[i].ctr)
            dispatch_named(&ops[i], r, "container", json_str(r->body, "container"));
        else
            dispatch_named(&ops[i], r, "sandbox", json_str(r->body, "sandbox"));
        return;
    }
    req_err(r, err_new(ERR_INVALID, 0, "unknown operation \"%s\"", str_or(name, "")));
}
