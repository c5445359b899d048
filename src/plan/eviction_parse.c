/* eviction_parse.c - the kubelet's words for eviction thresholds (pkg/kubelet/eviction/helpers.go, ParseThresholdConfig). */
#include <stdio.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/str.h"
#include "plan/eviction.h"

#define STATEMENT_MAX 200 /* bytes of one; nobody's is longer */

const char *const evict_signal_names[EVICT_SIGNALS + 1] = {
    [EVICT_MEMORY] = "memory.available",
    [EVICT_NODEFS] = "nodefs.available",
    [EVICT_NODEFS_INODES] = "nodefs.inodesFree",
    [EVICT_IMAGEFS] = "imagefs.available",
    [EVICT_IMAGEFS_INODES] = "imagefs.inodesFree",
    [EVICT_PID] = "pid.available",
};

typedef struct {
    EvictSignal signal;
    bool ignored; /* a signal that the kubelet knows, and sets itself */
    char value[STATEMENT_MAX];
} Statement;

/* The next of "SIGNAL<sep>VALUE,...". *at is moved behind it. */
static Err *statement_next(const char **at, char sep, Statement *ret)
{
    size_t n = strcspn(*at, ",");
    const char *text = *at, *eq = memchr(text, sep, n);
    *at += n + (text[n] == ',');
    if (n >= STATEMENT_MAX || !eq)
        return err_new(ERR_INVALID, 0, "malformed pair, expect string%cstring: %.*s", sep, (int)(n < STATEMENT_MAX ? n : STATEMENT_MAX), text);
    SCOPED(mem_free) char *name = mem_dup_strn(text, (size_t)(eq - text));
    (void)snprintf(ret->value, sizeof ret->value, "%.*s", (int)(n - (size_t)(eq - text) - 1), eq + 1);
    ret->ignored = str_eq(name, "containerfs.available") || str_eq(name, "containerfs.inodesFree");
    int i = 0;
    while (i < EVICT_SIGNALS && !str_eq(name, evict_signal_names[i]))
        i++;
    ret->signal = (EvictSignal)i;
    if (i == EVICT_SIGNALS && !ret->ignored)
        return err_new(ERR_INVALID, 0, "unsupported eviction signal %s", name);
    return NULL;
}

static Err *percent_parse(const Statement *s, float *ret)
{
    const char *p = s->value;
    bool negative = *p == '-', any = false;
    p += *p == '-' || *p == '+';
    double v = 0, place = 1;
    for (bool fraction = false; *p && *p != '%'; p++) {
        if (*p == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (*p < '0' || *p > '9')
            return err_new(ERR_INVALID, 0, "eviction threshold %s: \"%s\" is not a percentage", evict_signal_names[s->signal], s->value);
        any = true;
        if (fraction)
            v += (*p - '0') * (place /= 10);
        else
            v = v * 10 + (*p - '0');
    }
    if (!any)
        return err_new(ERR_INVALID, 0, "eviction threshold %s: \"%s\" is not a percentage", evict_signal_names[s->signal], s->value);
    *ret = (float)(negative ? -v : v) / 100;
    return NULL;
}

static Err *quantity_parse(const Statement *s, EvictValue *v)
{
    SCOPED(mem_free) char *text = quantity_canonical(s->value);
    if (!text || !quantity_value(s->value, &v->amount))
        return err_new(ERR_INVALID, 0, "eviction threshold %s: \"%s\" is not a quantity", evict_signal_names[s->signal], s->value);
    (void)snprintf(v->text, sizeof v->text, "%s", text);
    return NULL;
}

/* v->set stays false for what says nothing. */
static Err *value_parse(const Statement *s, bool minimum, EvictValue *v)
{
    const char *name = evict_signal_names[s->signal];
    *v = (EvictValue){.percent = str_ends(s->value, "%")};
    if (v->percent && !minimum && (str_eq(s->value, "0%") || str_eq(s->value, "100%")))
        return NULL;
    v->set = true;
    if (!v->percent) {
        Err *e = quantity_parse(s, v);
        if (e)
            return e;
        if (!minimum && v->amount <= 0)
            return err_new(ERR_INVALID, 0, "eviction threshold %s must be positive: %s", name, v->text);
        return v->amount < 0 ? err_new(ERR_INVALID, 0, "negative eviction minimum reclaim specified for %s", name) : NULL;
    }
    Err *e = percent_parse(s, &v->fraction);
    if (e)
        return e;
    if (minimum && v->fraction <= 0)
        return err_new(ERR_INVALID, 0, "eviction percentage minimum reclaim %s must be positive: %s", name, s->value);
    if (v->fraction < 0)
        return err_new(ERR_INVALID, 0, "eviction percentage threshold %s must be >= 0%%: %s", name, s->value);
    if (!minimum && v->fraction > 1)
        return err_new(ERR_INVALID, 0, "eviction percentage threshold %s must be <= 100%%: %s", name, s->value);
    return NULL;
}

/* A Go map: the last of a name counts. */
static Err *values_parse(const char *text, char sep, bool minimum, EvictValue ret[EVICT_SIGNALS])
{
    Statement s = {0};
    for (const char *at = str_or(text, ""); *at;) {
        Err *e = statement_next(&at, sep, &s);
        if (!e && !s.ignored)
            e = value_parse(&s, minimum, &ret[s.signal]);
        if (e)
            return e;
    }
    return NULL;
}

static Err *graces_parse(const char *text, int64_t ret[EVICT_SIGNALS])
{
    Statement s = {0};
    for (const char *at = str_or(text, ""); *at;) {
        int64_t ns = 0;
        Err *e = statement_next(&at, '=', &s);
        if (!e && !duration_parse(s.value, &ns))
            e = err_new(ERR_INVALID, 0, "time: invalid duration \"%s\"", s.value);
        if (!e && ns < 0)
            e = err_new(ERR_INVALID, 0, "invalid eviction grace period specified: %s, must be a positive value", s.value);
        if (e)
            return e;
        if (!s.ignored)
            ret[s.signal] = ns;
    }
    return NULL;
}

static void add(EvictConfig *c, EvictSignal signal, const EvictValue *value, const EvictValue *minimum, int64_t grace_ns)
{
    if (value->set)
        c->v[c->n++] = (EvictThreshold){signal, *value, *minimum, grace_ns};
}

Err *eviction_parse(const char *hard, const char *soft, const char *soft_grace, const char *min_reclaim, EvictConfig *ret)
{
    EvictValue hards[EVICT_SIGNALS] = {0}, softs[EVICT_SIGNALS] = {0}, minimums[EVICT_SIGNALS] = {0};
    int64_t graces[EVICT_SIGNALS];
    for (size_t i = 0; i < EVICT_SIGNALS; i++)
        graces[i] = -1;
    Err *e = values_parse(hard, '<', false, hards);
    if (!e)
        e = values_parse(soft, '<', false, softs);
    if (!e)
        e = graces_parse(soft_grace, graces);
    if (!e)
        e = values_parse(min_reclaim, '=', true, minimums);
    for (size_t i = 0; i < EVICT_SIGNALS && !e; i++)
        if (softs[i].set && graces[i] < 0)
            e = err_new(ERR_INVALID, 0, "grace period must be specified for the soft eviction threshold %s", evict_signal_names[i]);
    if (e)
        return e;
    ret->n = 0;
    for (int i = 0; i < EVICT_SIGNALS; i++) {
        add(ret, (EvictSignal)i, &hards[i], &minimums[i], 0);
        add(ret, (EvictSignal)i, &softs[i], &minimums[i], graces[i]);
    }
    return NULL;
}
