/* netcall_http.c - httpGet of probes and hooks: libcurl's multi interface on the loop, one multi handle for all calls
 * of a loop.
 *
 * Redirects are followed by hand, since the kubelet's rule is its own: to the same host name at most ten requests in
 * all, to another host not at all, which is a success with a warning (pkg/probe/http/http.go, RedirectChecker). Names
 * are looked up by netcall.c and pinned with CURLOPT_CONNECT_TO, because libcurl would start a thread for each. */
#include <ctype.h>
#include <curl/curl.h>
#include <arpa/inet.h>
#include <strings.h>

#include "node/netcall_priv.h"

#define MAX_BODY (10u << 10) /* maxRespBodyLength */
/* Before libcurl's own 300 KB, which not every 7.88.1 has (CVE-2023-38039); Go takes 10 MB. */
#define MAX_HEADERS (256u << 10)
#define MAX_REQUESTS 10u

typedef struct {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    unsigned n_calls;
    bool busy; /* in its own loop over finished transfers: must not go away */
} Hub;

typedef struct {
    NetCall call;
    Hub *hub;
    CURL *easy;
    bool in_multi;
    char *scheme, *first_url, *url, *host_header;
    struct curl_slist *headers;           /* all but Host */
    struct curl_slist *sent, *connect_to; /* of the request under way */
    unsigned n_requests;
    Str body;
    size_t header_bytes;
    bool answered; /* the final header block is here */
    char *location;
    char error[CURL_ERROR_SIZE];
} HttpCall;

static Hub *hubs[8]; /* one a loop: a process has one, tests have a few */

static void transfer_ended(HttpCall *h, CURLcode rc);

/* --- the multi handle on the loop --------------------------------------------------------------------------------- */

static void on_hub_closed(uv_handle_t *t)
{
    free(t->data);
}

static void hub_release(Hub *hub)
{
    if (hub->n_calls || hub->busy)
        return;
    for (size_t i = 0; i < ARRAY_LEN(hubs); i++)
        if (hubs[i] == hub)
            hubs[i] = NULL;
    (void)curl_multi_setopt(hub->multi, CURLMOPT_TIMERFUNCTION, NULL);
    (void)curl_multi_cleanup(hub->multi);
    uv_close((uv_handle_t *)&hub->timer, on_hub_closed);
}

static void hub_act(Hub *hub, curl_socket_t fd, int events)
{
    int running, left;
    bool outer = !hub->busy;
    hub->busy = true;
    (void)curl_multi_socket_action(hub->multi, fd, events, &running);
    for (CURLMsg *m; outer && (m = curl_multi_info_read(hub->multi, &left));) {
        HttpCall *h = NULL;
        CURLcode rc = m->data.result;
        if (m->msg == CURLMSG_DONE && !curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &h))
            transfer_ended(h, rc);
    }
    if (!outer)
        return;
    hub->busy = false;
    hub_release(hub);
}

static void on_hub_timer(uv_timer_t *t)
{
    hub_act(t->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    Hub *hub = arg;
    (void)multi;
    if (ms < 0)
        (void)uv_timer_stop(&hub->timer);
    else
        (void)uv_timer_start(&hub->timer, on_hub_timer, (uint64_t)ms, 0);
    return 0;
}

typedef struct {
    uv_poll_t poll;
    Hub *hub;
    curl_socket_t fd;
} Watch;

static void on_watch_closed(uv_handle_t *p)
{
    free(p->data);
}

static void on_watch(uv_poll_t *p, int status, int events)
{
    Watch *w = p->data;
    int mask = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    hub_act(w->hub, w->fd, status < 0 ? CURL_CSELECT_ERR : mask);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    Hub *hub = arg;
    Watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            (void)curl_multi_assign(hub->multi, fd, NULL);
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (!w) {
        w = NEW(Watch);
        *w = (Watch){.hub = hub, .fd = fd};
        if (uv_poll_init_socket(hub->loop, &w->poll, fd)) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        (void)curl_multi_assign(hub->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_watch) ? -1 : 0;
}

/* NULL when there are too many loops. */
static Hub *hub_of(uv_loop_t *loop)
{
    static bool curl_ready;
    Hub **room = NULL;
    for (size_t i = 0; i < ARRAY_LEN(hubs); i++) {
        if (hubs[i] && hubs[i]->loop == loop)
            return hubs[i];
        room = hubs[i] ? room : &hubs[i];
    }
    if (!curl_ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return NULL;
    curl_ready = true;
    CURLM *multi = room ? curl_multi_init() : NULL;
    if (!multi)
        return NULL;
    Hub *hub = NEW(Hub);
    *hub = (Hub){.loop = loop, .multi = multi};
    (void)uv_timer_init(loop, &hub->timer);
    hub->timer.data = hub;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, hub);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, hub);
    return *room = hub;
}

/* --- what comes back ---------------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    HttpCall *h = arg;
    size_t room = MAX_BODY - h->body.n;
    str_add_n(&h->body, bytes, size * n < room ? size * n : room);
    return h->body.n < MAX_BODY ? size * n : 0; /* enough: the rest is not waited for */
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    HttpCall *h = arg;
    static const char location[] = "location:";
    long status = 0;
    n *= size;
    h->header_bytes += n;
    if (h->header_bytes > MAX_HEADERS)
        return 0;
    if (n >= sizeof location && !strncasecmp(line, location, sizeof location - 1)) {
        free(h->location);
        const char *v = line + sizeof location - 1, *end = line + n;
        while (v < end && (*v == ' ' || *v == '\t'))
            v++;
        while (end > v && isspace((unsigned char)end[-1]))
            end--;
        h->location = mem_dup_strn(v, (size_t)(end - v));
    }
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    if (n <= 2 && (line[0] == '\r' || line[0] == '\n') && status >= 200)
        h->answered = true;
    return n;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void leave_multi(HttpCall *h)
{
    if (h->in_multi)
        (void)curl_multi_remove_handle(h->hub->multi, h->easy);
    h->in_multi = false;
}

static void forget_answer(HttpCall *h)
{
    str_clear(&h->body);
    h->header_bytes = 0;
    h->answered = false;
    free(h->location);
    h->location = NULL;
    h->error[0] = '\0';
}

static void set_request_lists(HttpCall *h)
{
    curl_slist_free_all(h->sent);
    curl_slist_free_all(h->connect_to);
    h->sent = h->connect_to = NULL;
    for (const struct curl_slist *l = h->headers; l; l = l->next)
        h->sent = curl_slist_append(h->sent, l->data);
    if (h->host_header) {
        SCOPED(mem_free) char *line = mem_fmt("Host: %s", h->host_header);
        h->sent = curl_slist_append(h->sent, line);
    }
    (void)curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->sent);
    if (!h->call.host_is_ip) {
        char ip[INET6_ADDRSTRLEN] = "";
        (void)uv_ip_name((const struct sockaddr *)&h->call.addr[h->call.at], ip, sizeof ip);
        SCOPED(mem_free) char *to = strchr(ip, ':') ? mem_fmt("::[%s]:", ip) : mem_fmt("::%s:", ip);
        h->connect_to = curl_slist_append(NULL, to);
    }
    (void)curl_easy_setopt(h->easy, CURLOPT_CONNECT_TO, h->connect_to);
}

/* Sends the request for h->url to addr[at]. */
static void send_request(HttpCall *h)
{
    leave_multi(h);
    forget_answer(h);
    set_request_lists(h);
    (void)curl_easy_setopt(h->easy, CURLOPT_URL, h->url);
    h->n_requests++;
    h->in_multi = !curl_multi_add_handle(h->hub->multi, h->easy);
    if (!h->in_multi)
        netcall_fail_later(&h->call, mem_fmt("Get \"%s\": request could not be started", h->url));
}

static char *url_host(const char *url)
{
    CURLU *u = curl_url();
    char *part = NULL, *host = NULL;
    if (u && !curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) &&
        !curl_url_get(u, CURLUPART_HOST, &part, 0))
        host = mem_dup_str(part);
    curl_free(part);
    curl_url_cleanup(u);
    return host;
}

/* Go follows these five, if they say where to. */
static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Whether the answer sends us on to the same host; then the next request is under way, or the call has failed. */
static bool redirected(HttpCall *h, long status)
{
    const char *next = NULL;
    if (!is_redirect(status) || str_empty(h->location) || curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &next) ||
        !next)
        return false;
    SCOPED(mem_free) char *there = url_host(next), *here = url_host(h->first_url);
    if (!there || !here || strcasecmp(there, here))
        return false;
    if (h->n_requests >= MAX_REQUESTS) {
        netcall_fail(&h->call, "Get \"%s\": stopped after 10 redirects", h->location);
        return true;
    }
    if (strncmp(next, "http://", 7) && strncmp(next, "https://", 8)) {
        netcall_fail(&h->call, "Get \"%s\": unsupported protocol scheme \"%.*s\"", next, (int)strcspn(next, ":"), next);
        return true;
    }
    if (strstr(h->location, "://")) { /* Go keeps a Host of ours for relative redirects only */
        free(h->host_header);
        h->host_header = NULL;
    }
    (void)curl_easy_setopt(h->easy, CURLOPT_REFERER, h->url); /* copied by libcurl */
    mem_set_str(&h->url, next);
    send_request(h);
    return true;
}

static void answer(HttpCall *h)
{
    long status = 0;
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    if (redirected(h, status))
        return;
    SCOPED(mem_free) char *text = NULL;
    bool ok = status >= 200 && status < 400;
    if (!ok)
        text = mem_fmt("HTTP probe failed with statuscode: %ld", status);
    else if (status >= 300)
        text = mem_fmt("Probe terminated redirects, Response body: %s", str_or(h->body.p, ""));
    else
        text = mem_dup_str(str_or(h->body.p, ""));
    netcall_finish(&h->call, &(NetCallResult){.ok = ok, .output = text, .http_status = (int)status});
}

/* --- failures, in Go's words -------------------------------------------------------------------------------------- */

static char *reset_text(HttpCall *h, int err)
{
    const char *ip = "";
    long port = 0;
    (void)curl_easy_getinfo(h->easy, CURLINFO_LOCAL_IP, &ip);
    (void)curl_easy_getinfo(h->easy, CURLINFO_LOCAL_PORT, &port);
    SCOPED(mem_free) char *local = netcall_join(str_or(ip, ""), (int)port), *peer = netcall_peer(&h->call);
    SCOPED(mem_free) char *why = err_go_errno(err ? err : ECONNRESET);
    return mem_fmt("read tcp %s->%s: read: %s", local, peer, why);
}

static char *failure_text(HttpCall *h, CURLcode rc, bool plain_http)
{
    long err = 0;
    (void)curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &err);
    if (h->header_bytes > MAX_HEADERS)
        return mem_fmt(
            "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded %u bytes; "
            "aborted",
            MAX_HEADERS);
    if (rc == CURLE_COULDNT_CONNECT)
        return netcall_dial_error(&h->call, err ? (int)err : ECONNREFUSED);
    if (rc == CURLE_GOT_NOTHING)
        return mem_dup_str("EOF");
    if (rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR)
        return reset_text(h, (int)err);
    if (rc == CURLE_WEIRD_SERVER_REPLY || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return mem_dup_str("net/http: HTTP/1.x transport connection broken: malformed HTTP response");
    if (plain_http)
        return mem_dup_str("http: server gave HTTP response to HTTPS client");
    return mem_fmt("%s", h->error[0] ? h->error : curl_easy_strerror(rc));
}

static void transfer_failed(HttpCall *h, CURLcode rc)
{
    if (rc == CURLE_COULDNT_CONNECT && h->call.at + 1 < h->call.n_addr) {
        h->call.at++;
        h->n_requests--;
        send_request(h);
        return;
    }
    /* GnuTLS's and OpenSSL's words for bytes that are no TLS record. */
    bool plain = rc == CURLE_SSL_CONNECT_ERROR &&
                 (strstr(h->error, "unexpected TLS packet") || strstr(h->error, "wrong version number"));
    SCOPED(mem_free) char *why = failure_text(h, rc, plain), *text = NULL;
    if (h->answered) /* in the body: that is all Go says then */
        text = mem_dup_str(rc == CURLE_PARTIAL_FILE ? "unexpected EOF" : why);
    else
        text = mem_fmt("Get \"%s\": %s", h->url, why);
    netcall_finish(&h->call, &(NetCallResult){.output = text, .plain_http = plain});
}

static void transfer_ended(HttpCall *h, CURLcode rc)
{
    leave_multi(h);
    if (!rc || (rc == CURLE_WRITE_ERROR && h->body.n >= MAX_BODY))
        answer(h);
    else
        transfer_failed(h, rc);
}

/* --- kind --------------------------------------------------------------------------------------------------------- */

static void http_start(NetCall *c)
{
    send_request((HttpCall *)c);
}

static void http_timed_out(NetCall *c)
{
    HttpCall *h = (HttpCall *)c;
    if (h->answered)
        netcall_fail(c, "context deadline exceeded (Client.Timeout or context cancellation while reading body)");
    else
        netcall_fail(c, "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                     h->url);
}

static void http_stop(NetCall *c)
{
    HttpCall *h = (HttpCall *)c;
    leave_multi(h);
    curl_easy_cleanup(h->easy);
    h->easy = NULL;
    h->hub->n_calls--;
    hub_release(h->hub);
    h->hub = NULL;
}

static void http_release(NetCall *c)
{
    HttpCall *h = (HttpCall *)c;
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->sent);
    curl_slist_free_all(h->connect_to);
    free(h->scheme);
    free(h->first_url);
    free(h->url);
    free(h->host_header);
    free(h->location);
    str_done(&h->body);
}

static void http_lookup_failed(NetCall *c, const char *why)
{
    netcall_fail_later(c, mem_fmt("Get \"%s\": %s", ((HttpCall *)c)->url, why));
}

static const NetCallKind http_kind = {http_start, http_timed_out, http_stop, http_release, http_lookup_failed};

/* --- the request's headers ---------------------------------------------------------------------------------------- */

/* Go writes these itself, whatever the caller says. */
static const char *const own_headers[] = {"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"};

static const HTTPHeader *find_header(const HTTPGetAction *a, const char *name)
{
    for (size_t i = 0; i < a->http_headers.n; i++)
        if (!strcasecmp(str_or(a->http_headers.v[i].name, ""), name))
            return &a->http_headers.v[i];
    return NULL;
}

/* A line break in a value would let it add headers, or requests, of its own. */
static Err *check_header(const HTTPHeader *hd)
{
    for (const char *p = str_or(hd->value, ""); *p; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return err_new(ERR_INVALID, 0, "net/http: invalid header field value for \"%s\"", hd->name);
    for (const char *p = str_or(hd->name, ""); *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return err_new(ERR_INVALID, 0, "net/http: invalid header field name \"%s\"", hd->name);
    return str_empty(hd->name) ? err_new(ERR_INVALID, 0, "net/http: invalid header field name \"\"") : NULL;
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
    SCOPED(mem_free) char *line = str_empty(value) ? mem_fmt("%s;", name) : mem_fmt("%s: %s", name, value);
    *list = curl_slist_append(*list, line);
}

/* libcurl adds headers of its own unless told not to: "Name:" takes one away. */
static Err *make_headers(const HTTPGetAction *a, const char *user_agent, struct curl_slist **ret, char **ret_host)
{
    struct curl_slist *list = NULL;
    Err *e = NULL;
    for (size_t i = 0; i < a->http_headers.n && !e; i++) {
        const HTTPHeader *hd = &a->http_headers.v[i];
        e = check_header(hd);
        bool own =
            !strcasecmp(str_or(hd->name, ""), "Accept") && find_header(a, "Accept") == hd && str_empty(hd->value);
        for (size_t k = 0; k < ARRAY_LEN(own_headers); k++)
            own = own || !strcasecmp(str_or(hd->name, ""), own_headers[k]);
        if (!e && !own)
            add_header(&list, hd->name, hd->value);
    }
    if (e) {
        curl_slist_free_all(list);
        return e;
    }
    const HTTPHeader *agent = find_header(a, "User-Agent"), *accept = find_header(a, "Accept"),
                     *host = find_header(a, "Host");
    if (agent && str_empty(agent->value))
        list = curl_slist_append(list, "User-Agent:");
    else
        add_header(&list, "User-Agent", agent ? agent->value : user_agent);
    if (!accept)
        add_header(&list, "Accept", "*/*");
    else if (str_empty(accept->value))
        list = curl_slist_append(list, "Accept:");
    add_header(&list, "Connection", "close");
    *ret = list;
    *ret_host = host && !str_empty(host->value) ? mem_dup_str(host->value) : NULL;
    return NULL;
}

static void set_options(HttpCall *h)
{
    CURL *e = h->easy;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, h);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->error);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_SSL_ENABLE_ALPN, 0L);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L); /* kubelet: InsecureSkipVerify */
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, 24L * 3600 * 1000); /* the deadline is ours alone */
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
}

Err *netcall_http(uv_loop_t *loop, const HTTPGetAction *a, const Container *c, const char *host, const char *user_agent,
                  int64_t timeout_ns, NetCallDone *done, void *arg, NetCall **ret)
{
    int port;
    struct curl_slist *headers = NULL;
    char *host_header = NULL;
    Err *e = netcall_port(&a->port, c, &port);
    if (!e)
        e = make_headers(a, user_agent, &headers, &host_header);
    if (e)
        return e;
    Hub *hub = hub_of(loop);
    CURL *easy = hub ? curl_easy_init() : NULL;
    if (!easy) {
        curl_slist_free_all(headers);
        free(host_header);
        if (hub)
            hub_release(hub);
        return err_new(ERR_UNAVAILABLE, 0, "libcurl could not be set up");
    }
    const char *to = str_empty(a->host) ? host : a->host;
    HttpCall *h = (HttpCall *)netcall_new(loop, sizeof *h, &http_kind, to, port, timeout_ns, done, arg);
    h->hub = hub;
    hub->n_calls++;
    h->easy = easy;
    h->headers = headers;
    h->host_header = host_header;
    h->scheme = mem_dup_str(str_eq(a->scheme, "HTTPS") || str_eq(a->scheme, "https") ? "https" : "http");
    h->url = netcall_url(h->scheme, to, port, a->path);
    h->first_url = mem_dup_str(h->url);
    set_options(h);
    *ret = &h->call;
    netcall_begin(&h->call);
    return NULL;
}
