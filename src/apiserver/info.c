/* info.c - what is no resource: discovery, OpenAPI, /version, health, and what the node has to say. The documents never change while the
 * program runs: each is made once, and has an ETag, by which clients keep it. */
#include "apiserver/api_priv.h"
#include "kube/discovery.h"

struct InfoDoc {
    struct InfoDoc *next;
    char *key, *type; /* owned */
    char etag[24];
    HttpBuf *buf;
};

void info_free(ApiServer *s)
{
    while (s->info) {
        struct InfoDoc *d = s->info;
        s->info = d->next;
        http_buf_unref(d->buf);
        free(d->key);
        free(d->type);
        free(d);
    }
}

/* --- documents ---------------------------------------------------------------------------------------------------- */

static AcceptWhat accepted_of(KubePath p)
{
    return p == PATH_API || p == PATH_APIS ? ACCEPT_DISCOVERY : p == PATH_OPENAPI_V2 ? ACCEPT_OPENAPI_V2 : ACCEPT_PLAIN;
}

/* NULL: not served. */
static json_t *document(const KubeRequest *r, const MediaChoice *a)
{
    bool aggregated = a->as == AS_DISCOVERY_V2 || a->as == AS_DISCOVERY_V2BETA1;
    switch (r->path) {
    case PATH_API:
        return aggregated ? kube_discovery_list(true, a->as == AS_DISCOVERY_V2BETA1) : kube_api_versions(NULL);
    case PATH_APIS:
        return aggregated ? kube_discovery_list(false, a->as == AS_DISCOVERY_V2BETA1) : kube_api_groups();
    case PATH_GROUP:
        return kube_api_group(r->group);
    case PATH_GROUP_VERSION:
        return kube_api_resources(r->group);
    case PATH_VERSION:
        return kube_version_info("", "");
    case PATH_OPENAPI_V2:
        return kube_openapi_v2();
    case PATH_OPENAPI_V3:
        return r->name ? kube_openapi_v3(r->name) : kube_openapi_v3_index();
    case PATH_RESOURCE:
    case PATH_HEALTH:
    case PATH_METRICS:
    case PATH_METRICS_RESOURCE:
    case PATH_STATS:
        break;
    }
    return NULL;
}

/* FNV-1a: it tells documents of this program from each other, no more. */
static void set_etag(struct InfoDoc *d, const char *bytes, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    (void)snprintf(d->etag, sizeof d->etag, "\"%016llx\"", (unsigned long long)h);
}

static struct InfoDoc *make(ApiServer *s, const KubeRequest *r, const MediaChoice *a, const char *key)
{
    size_t n = 0;
    char *text;
    if (a->type == MEDIA_PROTOBUF) {
        const uint8_t *bytes = kube_openapi_v2_protobuf(&n);
        text = mem_dup(bytes, n);
    } else {
        SCOPED(json_unref) json_t *j = document(r, a);
        if (!j)
            return NULL;
        text = kube_render(j, a);
        n = strlen(text);
    }
    struct InfoDoc *d = NEW(struct InfoDoc);
    *d = (struct InfoDoc){.next = s->info, .key = mem_dup_str(key), .type = mem_dup_str(kube_content_type_of(a, accepted_of(r->path))),
                          .buf = http_buf_new(text, n)};
    set_etag(d, text, n);
    free(text);
    s->info = d;
    return d;
}

/* What is served is a small, fixed set, and so is the set of keys. */
static struct InfoDoc *find(ApiServer *s, const KubeRequest *r, const MediaChoice *a)
{
    SCOPED(mem_free) char *key = mem_fmt("%d %s %s %d %d %d", (int)r->path, str_or(r->group, ""), str_or(r->name, ""), (int)a->type,
                                         (int)a->as, a->pretty);
    for (struct InfoDoc *d = s->info; d; d = d->next)
        if (str_eq(d->key, key))
            return d;
    return make(s, r, a, key);
}

static void serve_document(ApiCall *c)
{
    const char *accept = http_header(c->req, "Accept"), *agent = http_header(c->req, "User-Agent");
    json_t *bad = kube_accept(accept, accepted_of(c->kr.path), kube_query(&c->kr, "pretty"), agent, &c->accept);
    const struct InfoDoc *d = bad ? NULL : find(c->s, &c->kr, &c->accept);
    c->accept.as = AS_IS;
    if (!d) {
        api_reply_status(c, bad ? bad : kube_no_resource());
        return;
    }
    const char *known = http_header(c->req, "If-None-Match");
    HttpHeader h[] = {{"Content-Type", d->type}, {"Cache-Control", "public"}, {"ETag", d->etag}, {"Vary", "Accept"}};
    HttpRequest *r = MOVE(c->req, NULL);
    http_set_data(r, NULL);
    bool same = known && strstr(known, d->etag);
    http_reply_buf(r, same ? 304 : 200, h, ARRAY_LEN(h), same ? NULL : d->buf);
}

/* --- health ------------------------------------------------------------------------------------------------------- */

static void why_not_ready(const ApiServer *s, Str *node, Str *store)
{
    ObjStoreState st;
    objstore_state(s->store, &st);
    if (!st.writable)
        str_fmt(store, "%s", *st.error ? st.error : "writes fail");
    if (s->stopping)
        str_add(node, "the server is shutting down");
    else if (s->node.ready)
        s->node.ready(s->node.arg, node);
}

/* /healthz and /livez: it answers, so it lives. /readyz: the node is ready, and what is written is kept. */
static void serve_health(ApiCall *c)
{
    SCOPED(str_done) Str node = {0}, store = {0}, out = {0};
    bool ready = str_eq(c->kr.group, "readyz");
    if (ready)
        why_not_ready(c->s, &node, &store);
    const struct { const char *name; const Str *why; } checks[] = {{"ping", NULL}, {"store", &store}, {"node", &node}};
    bool verbose = kube_query(&c->kr, "verbose") != NULL, good = true, known = !c->kr.name;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        bool bad = checks[i].why && checks[i].why->n;
        if (c->kr.name && !str_eq(c->kr.name, checks[i].name))
            continue;
        known = true;
        good = good && !bad;
        str_fmt(&out, "[%c]%s %s", bad ? '-' : '+', checks[i].name, bad ? "failed: " : "ok");
        str_fmt(&out, "%s\n", bad ? checks[i].why->p : "");
    }
    if (!known) {
        api_reply_status(c, kube_no_resource());
        return;
    }
    if (good && !verbose) {
        str_clear(&out);
        str_add(&out, "ok");
    } else {
        str_fmt(&out, "%s check %s\n", c->kr.group, good ? "passed" : "failed");
    }
    api_reply_text(c, good ? 200 : 500, "text/plain; charset=utf-8", out.p, out.n);
}

static void serve_metrics(ApiCall *c, void (*render)(void *arg, Str *out))
{
    SCOPED(str_done) Str out = {0};
    if (!render) {
        api_reply_status(c, kube_no_resource());
        return;
    }
    render(c->s->node.arg, &out);
    api_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", str_or(out.p, ""), out.n);
}

static void serve_stats(ApiCall *c)
{
    json_t *j = c->s->node.stats_summary ? c->s->node.stats_summary(c->s->node.arg) : NULL;
    if (j)
        api_reply_json(c, 200, j);
    else
        api_reply_status(c, kube_no_resource());
}

void api_info(ApiCall *c)
{
    if (c->kr.path == PATH_HEALTH)
        serve_health(c);
    else if (c->kr.path == PATH_METRICS)
        serve_metrics(c, c->s->node.metrics);
    else if (c->kr.path == PATH_METRICS_RESOURCE)
        serve_metrics(c, c->s->node.resource_metrics);
    else if (c->kr.path == PATH_STATS)
        serve_stats(c);
    else
        serve_document(c);
}
