#include "daemon/correlate.h"

#include "base/strindex.h"

#define CACHE_MAX 4096                      /* maxLruCacheEntries */
#define SIMILAR_MAX 10                      /* defaultAggregateMaxEvents */
#define SIMILAR_NS (INT64_C(600) * NS_PER_S) /* defaultAggregateIntervalInSeconds */
#define SPAM_BURST 25                       /* defaultSpamBurst */
#define SPAM_REFILL_NS (INT64_C(300) * NS_PER_S) /* 1 / defaultSpamQPS */

/* --- a cache that forgets what was not used for longest --------------------------------------------------------------- */

typedef struct Row Row;
struct Row {
    Row *newer, *older;
    char *key;
    /* similar */
    StrVec messages;
    int64_t last_ns;
    /* seen */
    int64_t count, first_ns;
    char *name;
    /* spam: a token is SPAM_REFILL_NS */
    int64_t tokens_ns;
};
typedef struct {
    StrIndex index;
    Row *newest, *oldest;
    size_t n;
} Cache;

static void row_free(Row *r)
{
    strvec_done(&r->messages);
    free(r->key);
    free(r->name);
    free(r);
}

static void unlink_row(Cache *c, const Row *r)
{
    if (r->newer)
        r->newer->older = r->older;
    else
        c->newest = r->older;
    if (r->older)
        r->older->newer = r->newer;
    else
        c->oldest = r->newer;
}

static void link_newest(Cache *c, Row *r)
{
    r->newer = NULL;
    r->older = c->newest;
    if (c->newest)
        c->newest->newer = r;
    else
        c->oldest = r;
    c->newest = r;
}

/* Found, or made (*ret_new); <key> is taken. */
static Row *cache_get(Cache *c, char *key, bool *ret_new)
{
    Row *r = strindex_get(&c->index, key);
    *ret_new = !r;
    if (r) {
        free(key);
        unlink_row(c, r);
        link_newest(c, r);
        return r;
    }
    if (c->n == CACHE_MAX) {
        Row *old = c->oldest;
        unlink_row(c, old);
        strindex_remove(&c->index, old->key);
        row_free(old);
        c->n--;
    }
    r = NEW(Row);
    r->key = key;
    strindex_add(&c->index, r->key, r);
    link_newest(c, r);
    c->n++;
    return r;
}

static void cache_done(Cache *c)
{
    for (Row *r = c->newest, *next; r; r = next) {
        next = r->older;
        row_free(r);
    }
    strindex_done(&c->index);
}

struct Correlator {
    Cache similar, seen, spam;
    int64_t last_name_ns;
};

Correlator *correlator_new(void)
{
    return NEW(Correlator);
}

void correlator_free(Correlator *c)
{
    if (!c)
        return;
    cache_done(&c->similar);
    cache_done(&c->seen);
    cache_done(&c->spam);
    free(c);
}

void correlated_done(Correlated *c)
{
    free(c->name);
    free(c->message);
    *c = (Correlated){0};
}

/* --- keys: getSpamKey(), EventAggregatorByReasonFunc(), getEventKey() --------------------------------------------------- */

static char *joined(const char *const *parts, size_t n)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++) {
        str_add(&s, str_or(parts[i], ""));
        str_add_c(&s, '\x1f'); /* upstream puts nothing between them */
    }
    return str_take(&s);
}

static char *spam_key(const EventFacts *e)
{
    const char *const parts[] = {e->component, e->host, e->kind, e->namespace_, e->name, e->uid};
    return joined(parts, ARRAY_LEN(parts));
}

static char *similar_key(const EventFacts *e)
{
    const char *const parts[] = {e->component, e->host, e->kind, e->namespace_, e->name, e->uid, e->type, e->reason};
    return joined(parts, ARRAY_LEN(parts));
}

static char *event_key(const EventFacts *e)
{
    const char *const parts[] = {e->component, e->host, e->kind,   e->namespace_, e->name,
                                 e->field_path, e->uid, e->type, e->reason,     e->message};
    return joined(parts, ARRAY_LEN(parts));
}

/* --- the three steps ---------------------------------------------------------------------------------------------------- */

/* EventAggregate(): is this one of many that differ in the message alone? */
static bool is_one_of_many(Correlator *c, const EventFacts *e, int64_t now_ns)
{
    bool fresh;
    Row *r = cache_get(&c->similar, similar_key(e), &fresh);
    if (!fresh && now_ns - r->last_ns > SIMILAR_NS)
        strvec_done(&r->messages);
    if (!strvec_has(&r->messages, str_or(e->message, "")))
        strvec_add(&r->messages, str_or(e->message, ""));
    r->last_ns = now_ns;
    if (r->messages.n < SIMILAR_MAX)
        return false;
    free(r->messages.v[0]); /* PopAny(): the set never grows beyond that */
    memmove(r->messages.v, r->messages.v + 1, r->messages.n * sizeof *r->messages.v);
    r->messages.n--;
    return true;
}

/* Two events of one name never have the same nanosecond. */
static char *new_name(Correlator *c, const EventFacts *e, int64_t now_ns)
{
    c->last_name_ns = now_ns > c->last_name_ns ? now_ns : c->last_name_ns + 1;
    return mem_fmt("%s.%016llx", str_or(e->name, ""), (unsigned long long)c->last_name_ns);
}

/* eventObserve(): counts it. <key> is taken. */
static void observe(Correlator *c, const EventFacts *e, char *key, int64_t now_ns, Correlated *out)
{
    bool fresh;
    Row *r = cache_get(&c->seen, key, &fresh);
    if (fresh) {
        r->name = new_name(c, e, now_ns);
        r->first_ns = now_ns;
    }
    r->count++;
    out->count = r->count;
    out->first_ns = r->first_ns;
    out->name = mem_dup_str(r->name);
}

/* EventSourceObjectSpamFilter.Filter(): a bucket of 25 for each object. */
static bool is_spam(Correlator *c, const EventFacts *e, int64_t now_ns)
{
    bool fresh;
    const int64_t full = SPAM_BURST * SPAM_REFILL_NS;
    Row *r = cache_get(&c->spam, spam_key(e), &fresh);
    int64_t passed = fresh ? full : now_ns - r->last_ns;
    r->tokens_ns = passed >= full - r->tokens_ns ? full : passed > 0 ? r->tokens_ns + passed : r->tokens_ns;
    r->last_ns = now_ns;
    if (r->tokens_ns < SPAM_REFILL_NS)
        return true;
    r->tokens_ns -= SPAM_REFILL_NS;
    return false;
}

void correlate(Correlator *c, const EventFacts *e, int64_t now_ns, Correlated *out)
{
    *out = (Correlated){0};
    out->combined = is_one_of_many(c, e, now_ns);
    out->message = out->combined ? mem_fmt("(combined from similar events): %s", str_or(e->message, "")) : mem_dup_str(str_or(e->message, ""));
    observe(c, e, out->combined ? similar_key(e) : event_key(e), now_ns, out);
    out->skip = is_spam(c, e, now_ns);
}
