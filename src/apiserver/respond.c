/* respond.c - how a call is answered: its form, its headers, its end. */
#include "apiserver/api_priv.h"
#include "apiserver/events_v1.h"
#include "kube/table.h"
#include "os/fs.h"

void api_warn(ApiCall *c, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    if (s.n && !strvec_has(&c->warnings, s.p))
        strvec_add(&c->warnings, s.p);
}

size_t api_headers(ApiCall *c, const char *content_type, HttpHeader h[API_HEADERS], StrVec *mem)
{
    size_t n = 0;
    h[n++] = (HttpHeader){"Content-Type", content_type};
    h[n++] = (HttpHeader){"Cache-Control", "no-cache, private"};
    for (size_t i = 0; i < c->warnings.n && n < API_HEADERS; i++) {
        char *text = kube_warning(c->warnings.v[i]);
        if (!text)
            continue;
        strvec_add_take(mem, text);
        h[n++] = (HttpHeader){"Warning", text};
    }
    return n;
}

static void reply(ApiCall *c, int code, const char *content_type, HttpBuf *body, int retry_after_s)
{
    HttpHeader h[API_HEADERS + 1];
    SCOPED(strvec_done) StrVec mem = {0};
    char retry[16];
    if (!c->req)
        return;
    size_t n = api_headers(c, content_type, h, &mem);
    if (retry_after_s) {
        (void)snprintf(retry, sizeof retry, "%d", retry_after_s);
        h[n++] = (HttpHeader){"Retry-After", retry};
    }
    HttpRequest *r = MOVE(c->req, NULL);
    http_set_data(r, NULL);
    http_reply_buf(r, code, h, n, body);
}

static void reply_str(ApiCall *c, int code, const char *content_type, Str *text /* taken */, int retry_after_s)
{
    SCOPED(http_buf_unref) HttpBuf *b = http_buf_take(text);
    reply(c, code, content_type, b, retry_after_s);
}

void api_reply_text(ApiCall *c, int code, const char *content_type, const char *text, size_t n)
{
    SCOPED(http_buf_unref) HttpBuf *b = http_buf_new(text, n);
    reply(c, code, content_type, b, 0);
}

void api_reply_take(ApiCall *c, int code, const char *content_type, Str *text)
{
    reply_str(c, code, content_type, text, 0);
}

static void render(ApiCall *c, int code, const json_t *j, int retry_after_s)
{
    char *text = kube_render(j, &c->accept);
    size_t n = strlen(text);
    Str s = {text, n, n + 1};
    reply_str(c, code, kube_content_type_of(&c->accept, ACCEPT_OBJECT), &s, retry_after_s);
}

void api_reply_json(ApiCall *c, int code, json_t *j)
{
    render(c, code, j, 0);
    json_decref(j);
}

void api_reply_status(ApiCall *c, json_t *status)
{
    c->accept.as = AS_IS;
    render(c, kube_status_code(status), status, (int)json_i64(json_object_get(status, "details"), "retryAfterSeconds", 0));
    json_decref(status);
}

void api_reply_err(ApiCall *c, Err *e)
{
    SCOPED(err_free) Err *mine = e;
    api_reply_status(c, kube_status_of(mine, kube_request_ref(&c->kr)));
}

json_t *api_table_options(const ApiCall *c, bool v1beta1, TableOptions *ret)
{
    const char *include = str_or(kube_query(&c->kr, "includeObject"), "");
    *ret = (TableOptions){.v1beta1 = v1beta1, .now_ns = os_now_ns()};
    if (str_eq(include, "None"))
        ret->include = INCLUDE_NONE;
    else if (str_eq(include, "Object"))
        ret->include = INCLUDE_OBJECT;
    else if (*include && !str_eq(include, "Metadata"))
        return kube_bad_request("unrecognized includeObject value: \"%s\"", include);
    return NULL;
}

json_t *api_not_acceptable(void)
{
    return kube_not_acceptable("application/json, application/yaml");
}

void api_reply_object(ApiCall *c, int code, const json_t *o)
{
    TableOptions t;
    json_t *bad = c->accept.as == AS_PARTIAL_LIST ? api_not_acceptable() : api_table_options(c, c->accept.v1beta1, &t);
    if (bad)
        api_reply_status(c, bad);
    else if (c->accept.as == AS_TABLE)
        api_reply_json(c, code, kube_table_one(c->kr.kind, o, &t));
    else if (c->accept.as == AS_PARTIAL)
        api_reply_json(c, code, kube_partial(o, c->accept.v1beta1));
    else if (c->kr.kind->id == KUBE_EVENTS_V1)
        api_reply_json(c, code, event_to_events_v1(o));
    else
        render(c, code, o, 0);
}

void api_reply_item(ApiCall *c, int code, const ObjItem *i)
{
    if (c->accept.as == AS_IS && c->accept.type == MEDIA_JSON && !c->accept.pretty && c->kr.kind->id != KUBE_EVENTS_V1) {
        Str s = {0};
        str_add_n(&s, i->text, i->n);
        str_add_c(&s, '\n');
        reply_str(c, code, "application/json", &s, 0);
        return;
    }
    SCOPED(json_unref) json_t *o = objitem_json(i);
    api_reply_object(c, code, o);
}
