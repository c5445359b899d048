#include "cli/api_until.h"

#include <unistd.h>

#include "cli/terminal.h"
#include "client/fields.h"
#include "os/fs.h"

typedef struct {
    ApiUntil *u;
    Err *failed;
    bool done;
} Round;

static void see(Round *r, const json_t *object)
{
    r->done = r->u->met(r->u->arg, object, &r->failed);
    if (r->done && object) {
        json_decref(r->u->last);
        r->u->last = json_incref((json_t *)(uintptr_t)object);
    }
}

static bool on_event(void *arg, const char *type, const json_t *object)
{
    Round *r = arg;
    if (str_eq(type, "DELETED")) {
        see(r, NULL);
        /* There is nothing more to wait for but to say that it is not there. */
        return !r->done && !r->failed && !r->u->must_be;
    }
    if (!str_eq(type, "BOOKMARK"))
        see(r, object);
    return !r->done && !r->failed;
}

static Err *look(const ApiCmd *c, const Target *t, const char *path, Round *r, char **ret_version)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(json_unref) json_t *gone = NULL;
    SCOPED(mem_free) char *own = api_cmd_path(c, t);
    Err *e = client_list(c->api, path, NULL, 0, &list);
    json_t *items = json_object_get(list, "items"), *one = json_array_get(items, 0);
    if (e)
        return e;
    if (!one && r->u->must_be && t->name)
        return client_get(c->api, own, NULL, &gone); /* not there: in the words for it */
    if (one) {
        json_object_set_new(one, "kind", json_string(t->kind->kind));
        json_object_set_new(one, "apiVersion", json_string("v1"));
    }
    see(r, one);
    *ret_version = mem_dup_str(at_str(list, "metadata.resourceVersion"));
    return r->failed;
}

static Err *timed_out(const Target *t)
{
    return t->name ? err_new(ERR_TIMEOUT, 0, "timed out waiting for the condition on %s/%s", t->kind->resource, t->name)
                   : err_new(ERR_TIMEOUT, 0, "timed out waiting for the condition");
}

Err *api_until(const ApiCmd *c, const Target *t, ApiUntil *u)
{
    SCOPED(mem_free) char *path = api_cmd_watch_path(c, t);
    Round r = {.u = u};
    for (;;) {
        SCOPED(str_done) Str watch = {0};
        SCOPED(mem_free) char *version = NULL;
        SCOPED(api_watch_done) ApiWatch w = {.event = on_event, .arg = &r};
        Err *e = look(c, t, path, &r, &version);
        if (e || r.done)
            return e;
        if (u->end_ns == NS_NONE)
            return err_new(ERR_TIMEOUT, 0, "condition not met for %s/%s", t->kind->resource, str_or(t->name, ""));
        int64_t left = u->end_ns - os_monotonic_ns();
        if (left <= 0)
            return timed_out(t);
        if (u->notice && terminal_is(STDERR_FILENO))
            fprintf(stderr, "%s\n", u->notice);
        u->notice = NULL;
        str_add(&watch, path);
        api_query(&watch, "watch", "true");
        api_query(&watch, "resourceVersion", version);
        e = client_watch(c->api, watch.p, NULL, left, &w);
        if (r.failed || r.done) {
            err_free(e);
            return r.failed;
        }
        if (e && e->kind == ERR_TIMEOUT && !e->reason[0]) {
            err_free(e);
            return timed_out(t);
        }
        if (e && !api_is(e, "Expired") && !api_is(e, "Gone"))
            return e;
        err_free(e); /* too old, or ended by the server: from the start */
    }
}
