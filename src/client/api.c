#include "client/api.h"

#include <curl/curl.h>

#include "client/fields.h"
#include "os/fs.h"

#define ANSWER_MAX ((size_t)256 << 20) /* of memory, before a client gives up on a list */

typedef struct Transfer Transfer;
struct Transfer {
    Transfer *next;
    ApiClient *api;
    CURL *easy;
    struct curl_slist *headers;
    Str answer;       /* what is not for ops.data: all of a call, or the Status of a stream that was refused */
    ApiStreamOps ops; /* data NULL: a call */
    bool enough, too_large;
    char error[CURL_ERROR_SIZE];
};

struct ApiClient {
    char *socket;
    CURLM *multi;
    Transfer *streams;
    StrVec warned;
    ApiConfig config;
};

/* --- what comes in ------------------------------------------------------------------------------------------------ */

static long code_of(CURL *easy)
{
    long code = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    Transfer *t = arg;
    n *= size;
    if (t->ops.data && code_of(t->easy) < 300) {
        t->enough = !t->ops.data(t->ops.arg, p, n);
        return t->enough ? 0 : n;
    }
    t->too_large = t->answer.n + n > ANSWER_MAX;
    if (t->too_large)
        return 0;
    str_add_n(&t->answer, p, n);
    return n;
}

/* Warning: 299 - "text", the text quoted as HTTP does. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    const Transfer *t = arg;
    static const char name[] = "warning: 299 ";
    n *= size;
    if (!t->api->config.warn || n <= sizeof name || strncasecmp(p, name, sizeof name - 1) != 0)
        return n;
    SCOPED(mem_free) char *line = mem_dup_strn(p, n);
    SCOPED(str_done) Str text = {0};
    const char *c = strchr(line, '"');
    for (c = c ? c + 1 : ""; *c && *c != '"'; c++)
        str_add_c(&text, *c == '\\' && c[1] ? *++c : *c);
    if (text.n && !strvec_has(&t->api->warned, text.p)) {
        strvec_add(&t->api->warned, text.p);
        t->api->config.warn(t->api->config.warn_arg, text.p);
    }
    return n;
}

/* --- transfers ---------------------------------------------------------------------------------------------------- */

static void transfer_free(Transfer *t)
{
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    str_done(&t->answer);
    free(t);
}
SCOPED_FN(transfer_free, Transfer *, NULL)

static void add_header(Transfer *t, const char *name, const char *value)
{
    SCOPED(mem_free) char *line = mem_fmt("%s: %s", name, value);
    struct curl_slist *l = curl_slist_append(t->headers, line);
    if (!l)
        abort(); /* out of memory */
    t->headers = l;
}

static Transfer *transfer_new(ApiClient *a, const ApiCall *c)
{
    Transfer *t = NEW(Transfer);
    SCOPED(mem_free) char *url = mem_fmt("http://localhost%s", c->path);
    t->api = a;
    t->easy = curl_easy_init();
    if (!t->easy)
        abort();
    add_header(t, "Accept", c->accept ? c->accept : "application/json");
    if (c->body) {
        add_header(t, "Content-Type", c->type ? c->type : "application/json");
        add_header(t, "Expect", ""); /* no 100-continue over a local socket */
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_n);
        curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, c->body);
    }
    if (c->method)
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, c->method);
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, a->socket);
    curl_easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "reprise/" REPRISE_VERSION);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    return t;
}

static Err *cannot_connect(const ApiClient *a, int sys)
{
    const char *what =
        "is the daemon running? (systemctl status reprise; systemctl start reprise; or: sudo reprise node)";
    if (sys == EACCES || sys == EPERM)
        what = "use sudo, or become a member of the socket's group (sudo usermod -aG reprise $USER) and log in again";
    SCOPED(mem_free) char *why = sys ? err_go_errno(sys) : mem_dup_str("cannot connect");
    return err_new(ERR_UNAVAILABLE, 0, "the API's socket %s: %s: %s", a->socket, why, what);
}

static Err *transfer_error(const Transfer *t, CURLcode code)
{
    long sys = 0;
    if (code == CURLE_OK || t->enough)
        return NULL;
    (void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &sys);
    if (code == CURLE_COULDNT_CONNECT)
        return cannot_connect(t->api, (int)sys);
    if (t->too_large)
        return err_new(ERR_LIMIT, 0, "the answer is larger than %zu MiB: ask for less, or use --chunk-size",
                       ANSWER_MAX >> 20);
    return err_new(ERR_UNAVAILABLE, 0, "the connection to the API: %s",
                   t->error[0] ? t->error : curl_easy_strerror(code));
}

static Err *answer_json(const Transfer *t, json_t **ret)
{
    json_error_t why;
    if (json_too_deep(str_or(t->answer.p, ""), t->answer.n))
        return err_new(ERR_INVALID, 0, "the API's answer is nested too deeply");
    *ret = json_loadb(str_or(t->answer.p, ""), t->answer.n, JSON_DECODE_ANY, &why);
    return *ret ? NULL : err_new(ERR_INVALID, 0, "the API's answer is no JSON: %s", why.text);
}

/* The Status that a refused request was answered with; what is no JSON is shown as it is. */
static Err *refused(const Transfer *t)
{
    SCOPED(json_unref) json_t *status = NULL;
    Err *e = answer_json(t, &status);
    if (!e)
        return api_status_error(status, code_of(t->easy));
    err_free(e);
    return err_reason(err_new(ERR_UNAVAILABLE, 0, "HTTP status %ld: %.200s", code_of(t->easy), str_or(t->answer.p, "")),
                      "-");
}

Err *client_call(ApiClient *a, const ApiCall *c, long *ret_code, json_t **ret)
{
    SCOPED(transfer_free) Transfer *t = transfer_new(a, c);
    Err *e = transfer_error(t, curl_easy_perform(t->easy));
    if (e)
        return e;
    if (code_of(t->easy) >= 300)
        return refused(t);
    if (ret_code)
        *ret_code = code_of(t->easy);
    return answer_json(t, ret);
}

Err *client_get(ApiClient *a, const char *path, const char *accept, json_t **ret)
{
    return client_call(a, &(ApiCall){.path = path, .accept = accept}, NULL, ret);
}

Err *client_list(ApiClient *a, const char *path, const char *accept, int64_t chunk, json_t **ret)
{
    SCOPED(json_unref) json_t *all = NULL;
    SCOPED(mem_free) char *next = NULL;
    do {
        SCOPED(str_done) Str full = {0};
        SCOPED(json_unref) json_t *page = NULL;
        SCOPED(mem_free) char *limit = mem_fmt("%lld", (long long)chunk);
        str_add(&full, path);
        if (chunk > 0)
            api_query(&full, "limit", limit);
        if (next)
            api_query(&full, "continue", next);
        Err *e = client_get(a, full.p, accept, &page);
        if (e)
            return e;
        mem_set_str(&next, *at_str(page, "metadata.continue") ? at_str(page, "metadata.continue") : NULL);
        if (!all) {
            all = json_incref(page);
            continue;
        }
        const char *member = json_object_get(all, "rows") ? "rows" : "items";
        (void)json_array_extend(json_object_get(all, member), json_object_get(page, member));
    } while (next);
    *ret = MOVE(all, NULL);
    return NULL;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

Err *client_stream(ApiClient *a, const ApiCall *c, const ApiStreamOps *ops)
{
    Transfer *t = transfer_new(a, c);
    t->ops = *ops;
    if (curl_multi_add_handle(a->multi, t->easy) != CURLM_OK) {
        transfer_free(t);
        return err_new(ERR_BUG, 0, "libcurl takes no more transfers");
    }
    t->next = a->streams;
    a->streams = t;
    return NULL;
}

static void drop(ApiClient *a, Transfer *t)
{
    for (Transfer **l = &a->streams; *l; l = &(*l)->next)
        if (*l == t) {
            *l = t->next;
            break;
        }
    (void)curl_multi_remove_handle(a->multi, t->easy);
    transfer_free(t);
}

void client_stop(ApiClient *a)
{
    while (a->streams)
        drop(a, a->streams);
}

static void end_done(ApiClient *a)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(a->multi, &left)) != NULL;) {
        char *private = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        Transfer *t = (Transfer *)(void *)private;
        Err *e = transfer_error(t, m->data.result);
        if (!e && !t->enough && code_of(t->easy) >= 300)
            e = refused(t);
        ApiStreamOps ops = t->ops;
        drop(a, t);
        ops.end(ops.arg, e);
    }
}

Err *client_run(ApiClient *a, int64_t timeout_ns)
{
    int64_t end = os_monotonic_ns() + timeout_ns;
    while (a->streams) {
        int running, ready;
        int64_t left_ms = timeout_ns < 0 ? 60000 : (end - os_monotonic_ns()) / NS_PER_MS;
        (void)curl_multi_perform(a->multi, &running);
        end_done(a);
        if (!a->streams)
            break;
        if (timeout_ns >= 0 && os_monotonic_ns() >= end) {
            client_stop(a);
            return err_new(ERR_TIMEOUT, 0, "timed out waiting for the condition");
        }
        if (running)
            (void)curl_multi_poll(a->multi, NULL, 0, (int)(left_ms > 60000 ? 60000 : left_ms + 1), &ready);
    }
    return NULL;
}

/* --- watches ------------------------------------------------------------------------------------------------------ */

static bool watch_line(ApiWatch *w, const char *line, size_t n)
{
    SCOPED(json_unref) json_t *event = NULL;
    json_error_t why;
    if (n == 0)
        return true;
    if (!json_too_deep(line, n))
        event = json_loadb(line, n, 0, &why);
    const char *type = json_str(event, "type");
    if (!type) {
        w->failed = err_new(ERR_INVALID, 0, "the API's watch sent no event");
        return false;
    }
    if (str_eq(type, "ERROR")) {
        w->failed = api_status_error(json_object_get(event, "object"), 0);
        return false;
    }
    return w->event(w->arg, type, json_object_get(event, "object"));
}

static bool watch_data(void *arg, const char *p, size_t n)
{
    ApiWatch *w = arg;
    while (n) {
        const char *end = memchr(p, '\n', n);
        size_t k = end ? (size_t)(end - p) : n;
        if (w->line.n + k > ANSWER_MAX) {
            w->failed = err_new(ERR_LIMIT, 0, "an event of the API's watch is larger than %zu MiB", ANSWER_MAX >> 20);
            return false;
        }
        str_add_n(&w->line, p, k);
        if (!end)
            break;
        bool more = watch_line(w, str_or(w->line.p, ""), w->line.n);
        str_clear(&w->line);
        if (!more)
            return false;
        p = end + 1;
        n -= k + 1;
    }
    return true;
}

static void watch_end(void *arg, Err *e)
{
    ApiWatch *w = arg;
    if (w->failed)
        err_free(e);
    else
        w->failed = e;
}

Err *client_watch(ApiClient *a, const char *path, const char *accept, int64_t timeout_ns, ApiWatch *w)
{
    Err *e = client_stream(a, &(ApiCall){.path = path, .accept = accept}, &(ApiStreamOps){watch_data, watch_end, w});
    e = e ? e : client_run(a, timeout_ns);
    return e ? e : MOVE(w->failed, NULL);
}

void api_watch_done(ApiWatch *w)
{
    str_done(&w->line);
    err_free(w->failed);
    w->failed = NULL;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

Err *api_client_new(const ApiConfig *c, ApiClient **ret)
{
    struct {
        char path[108];
    } sun; /* unix(7) */
    if (strlen(c->socket) >= sizeof sun.path)
        return err_new(ERR_INVALID, 0, "the path of the API's socket is longer than %zu bytes: %s", sizeof sun.path - 1,
                       c->socket);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_new(ERR_UNSUPPORTED, 0, "libcurl cannot be set up");
    ApiClient *a = NEW(ApiClient);
    a->socket = mem_dup_str(c->socket);
    a->config = *c;
    a->config.socket = NULL;
    a->multi = curl_multi_init();
    if (!a->multi)
        abort();
    *ret = a;
    return NULL;
}

void api_client_free(ApiClient *a)
{
    if (!a)
        return;
    client_stop(a);
    (void)curl_multi_cleanup(a->multi);
    curl_global_cleanup();
    strvec_done(&a->warned);
    free(a->socket);
    free(a);
}
