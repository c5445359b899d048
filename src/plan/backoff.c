/* backoff.c - who must wait how long: crashes, image pulls, in-place restarts (pod-restart.md 4).
 *
 * Upstream: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go. An entry is made at the first restart, which is
 * immediate; its delay is what the next one has to keep. */
#include "base/str.h"
#include "plan/plan_priv.h"

void backoff_done(BackoffTable *t)
{
    LIST_EACH(e, t)
    {
        free(e->key);
    }
    free(t->v);
    *t = (BackoffTable){0};
}

void backoff_copy(BackoffTable *dst, const BackoffTable *src)
{
    *dst = (BackoffTable){0};
    LIST_EACH(e, src)
    {
        BackoffEntry *d = LIST_ADD(dst);
        *d = *e;
        d->key = mem_dup_str(e->key);
    }
}

BackoffEntry *backoff_find(const BackoffTable *t, const char *key)
{
    LIST_EACH(e, t)
    {
        if (str_eq(e->key, key))
            return e;
    }
    return NULL;
}

BackoffEntry *backoff_add(BackoffTable *t, const char *key)
{
    BackoffEntry *e = LIST_ADD(t);
    e->key = mem_dup_str(key);
    return e;
}

void backoff_drop(BackoffTable *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->v[i].key, key)) {
            free(t->v[i].key);
            memmove(&t->v[i], &t->v[i + 1], (t->n - i - 1) * sizeof *t->v);
            t->n--;
            return;
        }
}

static bool later_by(int64_t a, int64_t b, int64_t span)
{
    return ns_sub(a, b) > span;
}

static int64_t doubled(int64_t delay, int64_t initial, int64_t max)
{
    int64_t next = delay <= 0 ? initial : delay > max / 2 ? max : delay * 2;
    return next > max ? max : next;
}

bool backoff_holds(const View *v, const char *key, int64_t since, int64_t *ret_until)
{
    const BackoffEntry *e = backoff_find(&v->out->backoff, key);
    if (!e || later_by(since, e->last_update_ns, v->in->config.backoff_reset_ns))
        return false;
    *ret_until = ns_add(since, e->delay_ns);
    return v->now < *ret_until;
}

void backoff_next(View *v, const char *key, int64_t since)
{
    const PlanConfig *c = &v->in->config;
    BackoffEntry *e = backoff_find(&v->out->backoff, key);
    if (!e)
        e = backoff_add(&v->out->backoff, key);
    else if (!later_by(since, e->last_update_ns, c->backoff_reset_ns)) {
        e->delay_ns = doubled(e->delay_ns, c->backoff_initial_ns, c->backoff_max_ns);
        e->last_update_ns = v->now;
        return;
    }
    e->delay_ns = doubled(0, c->backoff_initial_ns, c->backoff_max_ns);
    e->last_update_ns = v->now;
}

void backoff_pull_failed(View *v, const Ctr *c, int64_t failed_at, int64_t *ret_until)
{
    SCOPED(mem_free) char *key = mem_fmt("image:%s", c->spec->name);
    const BackoffEntry *e = backoff_find(&v->out->backoff, key);
    if (!e || e->last_update_ns < failed_at) {
        backoff_next(v, key, failed_at);
        BackoffEntry *n = backoff_find(&v->out->backoff, key);
        n->last_update_ns = failed_at;
        e = n;
    }
    *ret_until = ns_add(e->last_update_ns, e->delay_ns);
}

/* None while the Pod makes progress: a run that had become initialized clears the slate. Otherwise the first is
 * immediate, then 10 s, 20 s, ... counted from the moment that the restart began (docs/decisions.md, D7). */
void backoff_restart_begins(View *v)
{
    const PlanConfig *c = &v->in->config;
    BackoffTable *t = &v->out->backoff;
    if (!c->restart_all_backoff || view_run_initialized(v)) {
        backoff_drop(t, "");
        return;
    }
    BackoffEntry *e = backoff_find(t, "");
    if (!e)
        e = backoff_add(t, "");
    else if (later_by(v->now, e->last_update_ns, c->backoff_reset_ns))
        e->delay_ns = 0;
    else
        e->delay_ns = doubled(e->delay_ns, c->restart_all_initial_ns, c->restart_all_max_ns);
    e->last_update_ns = v->now;
}

bool backoff_restart_holds(const View *v, int64_t *ret_until, int64_t *ret_delay)
{
    const BackoffEntry *e = backoff_find(&v->out->backoff, "");
    if (!v->in->config.restart_all_backoff || !e || view_any_instance(v) || view_any_in_flight(v))
        return false;
    *ret_delay = e->delay_ns;
    *ret_until = ns_add(e->last_update_ns, e->delay_ns);
    return v->now < *ret_until;
}

void backoff_gc(View *v)
{
    BackoffTable *t = &v->out->backoff;
    for (size_t i = t->n; i-- > 0;)
        if (later_by(v->now, ns_add(t->v[i].last_update_ns, t->v[i].delay_ns), ns_add(v->in->config.backoff_max_ns, v->in->config.backoff_max_ns)) &&
            !view_any_in_flight(v)) {
            SCOPED(mem_free) char *key = mem_dup_str(t->v[i].key);
            backoff_drop(t, key);
        }
}
