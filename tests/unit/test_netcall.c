/* Network calls of probes against real peers: each a child process of the test with one listening socket. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "node/netcall_priv.h"
#include "node/prober.h"
#include "os/fs.h"

/* --- peers -------------------------------------------------------------------------------------------------------- */

typedef void Handler(int fd);
typedef struct {
    pid_t pid;
    int port;
} Peer;

static int listen_on(int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&a, n) && !listen(fd, 16) &&
          !getsockname(fd, (struct sockaddr *)&a, &n));
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* <delay_ms>: until then the port refuses. */
static Peer peer_new(Handler *handle, unsigned delay_ms)
{
    Peer p;
    int fd = listen_on(&p.port);
    if (delay_ms) /* the port is known, but nobody listens yet */
        close(fd);
    fflush(stdout);
    p.pid = fork();
    if (!p.pid) {
        if (delay_ms) {
            usleep(delay_ms * 1000);
            struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)p.port)};
            int one = 1;
            fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
                bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16))
                _exit(1);
        }
        signal(SIGPIPE, SIG_IGN);
        for (int c; (c = accept(fd, NULL, NULL)) >= 0; close(c))
            handle(c);
        _exit(0);
    }
    if (!delay_ms)
        close(fd);
    return p;
}

static void peer_free(Peer *p)
{
    CHECK(!kill(p->pid, SIGKILL));
    CHECK(waitpid(p->pid, NULL, 0) == p->pid);
}

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}
static void stall(int fd)
{
    char c;
    while (read(fd, &c, 1) > 0) /* until the other side gives up */
        ;
}

/* Answers by path; /echo gives back the request. */
static void http_answer(int fd, const char *request)
{
    static const struct {
        const char *path, *answer;
    } fixed[] = {
        {"/200", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"},
        {"/399", "HTTP/1.1 399 Hm\r\nContent-Length: 0\r\n\r\n"},
        {"/500", "HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nsecret"},
        {"/404", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"},
        {"/199", "HTTP/1.1 199 Hm\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
        {"/away", "HTTP/1.1 302 Found\r\nLocation: http://other.example/x\r\nContent-Length: 7\r\n\r\ngo away"},
        {"/hop", "HTTP/1.1 301 Moved\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n"},
        {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"},
        {"/nowhere", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"},
        {"/ftp", "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n"},
        {"/close", ""},
        {"/garbage", "what?\r\n\r\n"},
        {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"},
        {"/nul", "HTTP/1.1 200 OK\r\n\r\nto the end"},
    };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (str_starts(request + 4, fixed[i].path) && request[4 + strlen(fixed[i].path)] == ' ')
            say(fd, fixed[i].answer);
    if (str_starts(request, "GET /echo")) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        say(fd, request);
    } else if (str_starts(request, "GET /silent")) {
        stall(fd);
    } else if (str_starts(request, "GET /stall")) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        stall(fd);
    } else if (str_starts(request, "GET /big")) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        char block[1000];
        memset(block, 'b', sizeof block);
        while (write(fd, block, sizeof block) > 0)
            ;
    } else if (str_starts(request, "GET /headers")) {
        say(fd, "HTTP/1.1 200 OK\r\n");
        while (write(fd, "X-Again: and again\r\n", 20) > 0)
            ;
    } else if (str_starts(request, "GET /reset")) {
        struct linger l = {1, 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
}

static void http_handler(int fd)
{
    char buf[8192];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof buf - 1 && (got = read(fd, buf + n, sizeof buf - 1 - n)) > 0) {
        n += (size_t)got;
        buf[n] = '\0';
        if (strstr(buf, "\r\n\r\n")) {
            http_answer(fd, buf);
            return;
        }
        if (buf[0] == 0x16) { /* a TLS hello: answer as web servers do */
            say(fd, "HTTP/1.1 400 Bad Request\r\n\r\nthis is http");
            return;
        }
    }
}

static void mute_handler(int fd)
{
    stall(fd);
}
static void bye_handler(int fd)
{
    (void)fd;
}
static void text_handler(int fd)
{
    say(fd, "220 smtp.example ESMTP\r\n"), stall(fd);
}

static gnutls_certificate_credentials_t tls_credentials(void)
{
    gnutls_certificate_credentials_t cred;
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    time_t now = time(NULL);
    CHECK(!gnutls_x509_privkey_init(&key) &&
          !gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    CHECK(!gnutls_x509_crt_init(&crt) && !gnutls_x509_crt_set_version(crt, 3) &&
          !gnutls_x509_crt_set_serial(crt, "\1", 1));
    gnutls_x509_crt_set_activation_time(crt, now - 100000);
    gnutls_x509_crt_set_expiration_time(
        crt, now - 1000); /* expired, unknown issuer, wrong name: all of it must not matter */
    CHECK(!gnutls_x509_crt_set_dn(crt, "CN=elsewhere", NULL) && !gnutls_x509_crt_set_key(crt, key));
    CHECK(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) >= 0);
    CHECK(!gnutls_certificate_allocate_credentials(&cred) && !gnutls_certificate_set_x509_key(cred, &crt, 1, key));
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    return cred;
}

static gnutls_certificate_credentials_t tls_cred;
static void tls_handler(int fd)
{
    gnutls_session_t s;
    char buf[4096];
    (void)gnutls_init(&s, GNUTLS_SERVER);
    (void)gnutls_set_default_priority(s);
    (void)gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, tls_cred);
    gnutls_transport_set_int(s, fd);
    if (!gnutls_handshake(s) && gnutls_record_recv(s, buf, sizeof buf) > 0) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
        (void)gnutls_record_send(s, answer, sizeof answer - 1);
        (void)gnutls_bye(s, GNUTLS_SHUT_WR);
    }
    gnutls_deinit(s);
}

/* --- a gRPC health server ----------------------------------------------------------------------------------------- */

typedef struct {
    char body[64];
    size_t n, sent;
    int grpc_status;
    uint8_t health;
} GrpcAnswer;

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

static ssize_t answer_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                           nghttp2_data_source *src, void *arg)
{
    GrpcAnswer *a = src->ptr;
    (void)room;
    (void)arg;
    const uint8_t frame[7] = {0, 0, 0, 0, 2, 8, a->health};
    memcpy(buf, frame, sizeof frame);
    nghttp2_nv trailer[] = {nv("grpc-status", "0")};
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    (void)nghttp2_submit_trailer(session, id, trailer, 1);
    return sizeof frame;
}

static int server_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    GrpcAnswer *a = arg;
    (void)session;
    (void)flags;
    (void)id;
    if (a->n + n < sizeof a->body)
        memcpy(a->body + a->n, bytes, n), a->n += n;
    return 0;
}

static int server_frame(nghttp2_session *session, const nghttp2_frame *f, void *arg)
{
    GrpcAnswer *a = arg;
    if (f->hd.type != NGHTTP2_DATA || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    int32_t id = f->hd.stream_id;
    SCOPED(mem_free) char *service = a->n > 7 ? mem_dup_strn(a->body + 7, a->n - 7) : mem_dup_str("");
    nghttp2_nv head[] = {nv(":status", "200"), nv("content-type", "application/grpc"), nv("grpc-status", "5"),
                         nv("grpc-message", "unknown%20service")};
    nghttp2_data_provider body = {.source.ptr = a, .read_callback = answer_body};
    a->health = str_eq(service, "down") ? 2 : str_eq(service, "odd") ? 9 : 1;
    if (str_eq(service, "slow"))
        return 0;
    if (str_eq(service, "reset"))
        return nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_REFUSED_STREAM);
    if (str_eq(service, "goaway"))
        return nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR);
    if (str_eq(service, "nobody"))
        return nghttp2_submit_response(session, id,
                                       (nghttp2_nv[]){head[0], head[1], nv("grpc-status", "12"),
                                                      nv("grpc-message", "unknown service grpc.health.v1.Health")},
                                       4, NULL);
    if (str_eq(service, "missing"))
        return nghttp2_submit_response(session, id, head, 4, NULL);
    if (str_eq(service, "web"))
        return nghttp2_submit_response(session, id, (nghttp2_nv[]){nv(":status", "503")}, 1, NULL);
    if (str_eq(service, "empty"))
        return nghttp2_submit_response(session, id, (nghttp2_nv[]){head[0], head[1], nv("grpc-status", "0")}, 3, NULL);
    return nghttp2_submit_response(session, id, head, 2, &body);
}

static void grpc_handler(int fd)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *s;
    GrpcAnswer a = {0};
    (void)nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, server_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, server_data);
    (void)nghttp2_session_server_new(&s, cb, &a);
    (void)nghttp2_submit_settings(s, 0, NULL, 0);
    for (;;) {
        const uint8_t *out;
        for (ssize_t n; (n = nghttp2_session_mem_send(s, &out)) > 0;)
            if (write(fd, out, (size_t)n) != n)
                break;
        uint8_t in[4096];
        bool over = !nghttp2_session_want_read(s) && !nghttp2_session_want_write(s);
        ssize_t n = over ? 0 : read(fd, in, sizeof in);
        if (n <= 0 || nghttp2_session_mem_recv(s, in, (size_t)n) < 0)
            break;
    }
    nghttp2_session_del(s);
    nghttp2_session_callbacks_del(cb);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned answers;
    bool ok;
    int status;
    bool plain_http;
    char *output;
    NetCall *call;
} Answer;

static void on_answer(void *arg, const NetCallResult *r)
{
    Answer *a = arg;
    a->answers++;
    a->ok = r->ok;
    a->status = r->http_status;
    a->plain_http = r->plain_http;
    mem_set_str(&a->output, r->output);
}

/* Runs the loop to its very end: every handle of the call must have gone by itself. */
static void drain(uv_loop_t *loop)
{
    (void)uv_run(loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(loop), 0);
}

static IntOrString int_port(int n)
{
    return (IntOrString){.kind = INTSTR_INT, .i = n};
}
static void expect(Answer *a, bool ok, const char *want)
{
    CHECK_INT(a->answers, 1);
    CHECK_INT(a->ok, ok);
    if (want)
        CHECK_STR(a->output, want);
    free(a->output);
    *a = (Answer){0};
}

static Answer get(HTTPGetAction *action, int port, int64_t timeout_ms)
{
    uv_loop_t loop;
    Answer a = {0};
    CHECK(!uv_loop_init(&loop));
    action->port = int_port(port);
    CHECK_OK(netcall_http(&loop, action, NULL, "127.0.0.1", NETCALL_PROBE_USER_AGENT, timeout_ms * NS_PER_MS, on_answer,
                          &a, &a.call));
    CHECK_INT(a.answers, 0); /* never before the call has returned */
    drain(&loop);
    return a;
}

static void test_http_answers(void)
{
    static const struct {
        const char *path;
        int64_t timeout_ms;
        bool ok;
        int status;
        const char *want;
    } t[] = {
        {"/200", 2000, true, 200, "fine"},
        {"/199", 2000, true, 200, "ok"},
        {"/399", 2000, true, 399, "Probe terminated redirects, Response body: "},
        {"/500", 2000, false, 500, "HTTP probe failed with statuscode: 500"},
        {"/404", 2000, false, 404, "HTTP probe failed with statuscode: 404"},
        {"/away", 2000, true, 302, "Probe terminated redirects, Response body: go away"},
        {"/nowhere", 2000, true, 302, "Probe terminated redirects, Response body: "},
        {"/loop", 2000, false, 0, "Get \"/loop\": stopped after 10 redirects"},
        {"/ftp", 2000, false, 0, "Get \"ftp://127.0.0.1/x\": unsupported protocol scheme \"ftp\""},
        {"/close", 2000, false, 0, "Get \"@/close\": EOF"},
        {"/reset", 2000, false, 0, NULL},
        {"/garbage", 2000, false, 0,
         "Get \"@/garbage\": net/http: HTTP/1.x transport connection broken: malformed HTTP response"},
        {"/short", 2000, false, 0, "unexpected EOF"},
        {"/nul", 2000, true, 200, "to the end"},
        {"/silent", 150, false, 0,
         "Get \"@/silent\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"},
        {"/stall", 150, false, 0,
         "context deadline exceeded (Client.Timeout or context cancellation while reading body)"},
        {"/headers", 5000, false, 0,
         "Get \"@/headers\": net/http: HTTP/1.x transport connection broken: net/http: server response "
         "headers exceeded 262144 bytes; aborted"},
    };
    Peer p = peer_new(http_handler, 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(mem_free)
        char *path = mem_dup_str(t[i].path),
             *base = mem_fmt("http://127.0.0.1:%d", p.port), *want = NULL;
        HTTPGetAction action = {.path = path};
        const char *at = t[i].want ? strchr(t[i].want, '@') : NULL;
        want = at ? mem_fmt("%.*s%s%s", (int)(at - t[i].want), t[i].want, base, at + 1) : mem_dup_str(t[i].want);
        Answer a = get(&action, p.port, t[i].timeout_ms);
        CHECK_INT(a.status, t[i].status);
        if (!want)
            CHECK(strstr(a.output, ": read tcp 127.0.0.1:") && strstr(a.output, ": read: connection reset by peer"));
        expect(&a, t[i].ok, want);
    }
    char big[] = "/big";
    HTTPGetAction action = {.path = big};
    Answer a = get(&action, p.port, 5000);
    CHECK_INT(a.output ? strlen(a.output) : 0, 10 << 10);
    expect(&a, true, NULL);
    peer_free(&p);
    action.path = NULL;
    SCOPED(mem_free)
    char *refused =
        mem_fmt("Get \"http://127.0.0.1:%d\": dial tcp 127.0.0.1:%d: connect: connection refused", p.port, p.port);
    a = get(&action, p.port, 2000);
    expect(&a, false, refused);
}

static void test_http_request(void)
{
    Peer p = peer_new(http_handler, 0);
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    char path[] = "/echo/a b?x=1&y=%20z#frag";
    HTTPGetAction action = {.path = path};
    Answer a = get(&action, p.port, 2000);
    SCOPED(mem_free)
    char *want =
        mem_fmt("GET /echo/a%%20b?x=1&y=%%20z HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: kube-probe/1.35\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n",
                p.port);
    expect(&a, true, want);
    static char n[][20] = {"X-One", "x-one", "Host", "user-agent", "Accept", "Content-Length", "X-Empty"},
                v[][20] = {"1", "two words", "web.example", "mine", "", "7", ""};
    HTTPHeader headers[7];
    for (size_t i = 0; i < 7; i++)
        headers[i] = (HTTPHeader){n[i], v[i]};
    action.http_headers.n = 7, action.http_headers.v = headers;
    a = get(&action, p.port, 2000);
    expect(&a, true,
           "GET /echo/a%20b?x=1&y=%20z HTTP/1.1\r\nHost: web.example\r\nX-One: 1\r\nx-one: two words\r\nX-Empty:\r\n"
           "User-Agent: mine\r\nConnection: close\r\n\r\n");
    /* Over a redirect the request stays what it was, and says where it comes from. */
    char hop[] = "/hop";
    action.path = hop, action.http_headers.n = 1;
    a = get(&action, p.port, 2000);
    SCOPED(mem_free)
    char *hopped =
        mem_fmt("GET /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nReferer: http://127.0.0.1:%d/hop\r\nX-One: 1\r\n"
                "User-Agent: kube-probe/1.35\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                p.port, p.port);
    expect(&a, true, hopped);
    char evil[] = "a\r\nX-Injected: 1";
    headers[0].value = evil;
    uv_loop_t loop;
    CHECK(!uv_loop_init(&loop));
    SCOPED(err_free) Err *e = netcall_http(&loop, &action, NULL, "127.0.0.1", "x", NS_PER_S, on_answer, &a, &a.call);
    CHECK(e && e->kind == ERR_INVALID);
    drain(&loop);
    unsetenv("http_proxy");
    peer_free(&p);
}

static void test_https(void)
{
    tls_cred = tls_credentials();
    Peer tls = peer_new(tls_handler, 0), plain = peer_new(http_handler, 0);
    char scheme[] = "HTTPS", path[] = "/x", host[] = "localhost";
    HTTPGetAction action = {.path = path, .scheme = scheme};
    Answer a = get(&action, tls.port, 5000);
    expect(&a, true, "secure");
    action.host = host; /* a name: looked up, then pinned */
    a = get(&action, tls.port, 5000);
    expect(&a, true, "secure");
    action.host = NULL;
    a = get(&action, plain.port, 5000);
    SCOPED(mem_free)
    char *want = mem_fmt("Get \"https://127.0.0.1:%d/x\": http: server gave HTTP response to HTTPS client", plain.port);
    CHECK(a.plain_http);
    expect(&a, false, want);
    peer_free(&tls);
    peer_free(&plain);
    gnutls_certificate_free_credentials(tls_cred);
}

static void test_ports(void)
{
    static char http[] = "http", other[] = "other";
    ContainerPort ports[] = {{.name = other, .container_port = {true, 1}},
                             {.name = http, .container_port = {true, 8080}}};
    Container c = {.ports = {2, ports}};
    static char nope[] = "nope";
    static const struct {
        IntOrString in;
        int want;
        const char *err;
    } t[] = {
        {{INTSTR_INT, 80, NULL}, 80, NULL},
        {{INTSTR_STR, 0, http}, 8080, NULL},
        {{INTSTR_STR, 0, nope}, 0, "couldn't find port: nope"},
        {{INTSTR_INT, 0, NULL}, 0, "invalid port number: 0"},
        {{INTSTR_INT, 65536, NULL}, 0, "invalid port number: 65536"},
        {{INTSTR_UNSET, 0, NULL}, 0, "invalid port number: 0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        int port = 0;
        SCOPED(err_free) Err *e = netcall_port(&t[i].in, &c, &port);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        CHECK_INT(port, t[i].want);
        CHECK_STR(text, t[i].err);
    }
}

static void test_urls(void)
{
    static const struct {
        const char *host, *path, *want;
    } t[] = {
        {"10.0.0.2", "/healthz", "http://10.0.0.2:80/healthz"},
        {"10.0.0.2", "healthz", "http://10.0.0.2:80/healthz"},
        {"10.0.0.2", "", "http://10.0.0.2:80"},
        {"10.0.0.2", NULL, "http://10.0.0.2:80"},
        {"fd00::2", "/", "http://[fd00::2]:80/"},
        {"h", "/a?b=c d#e", "http://h:80/a?b=c%20d#e"},
        {"h", "/a%2fb", "http://h:80/a%2fb"},
        {"h", "/a%zz?b", "http://h:80/a%25zz%3Fb"},
        {"h", "http://evil/x", "http://h:80/x"},
        {"h", "//evil/x", "http://h:80/x"},
        {"h", "a:b", "http://h:80/a:b"},
        {"h", "/a\r\nX: y", "http://h:80/a%0D%0AX:%20y"},
        {"h", "/\xc3\xa9", "http://h:80/%C3%A9"},
        {"h", "?q", "http://h:80?q"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(mem_free) char *got = netcall_url("http", t[i].host, 80, t[i].path);
        CHECK_STR(got, t[i].want);
    }
}

static Answer dial(const char *host, int port, int64_t timeout_ms)
{
    uv_loop_t loop;
    Answer a = {0};
    TCPSocketAction action = {.port = int_port(port)};
    CHECK(!uv_loop_init(&loop));
    CHECK_OK(netcall_tcp(&loop, &action, NULL, host, timeout_ms * NS_PER_MS, on_answer, &a, &a.call));
    CHECK_INT(a.answers, 0);
    drain(&loop);
    return a;
}

static void test_tcp(void)
{
    Peer p = peer_new(mute_handler, 0);
    Answer a = dial("127.0.0.1", p.port, 2000);
    expect(&a, true, "");
    a = dial("localhost", p.port, 2000); /* ::1 refuses, 127.0.0.1 answers */
    expect(&a, true, "");
    peer_free(&p);
    SCOPED(mem_free) char *refused = mem_fmt("dial tcp 127.0.0.1:%d: connect: connection refused", p.port);
    a = dial("127.0.0.1", p.port, 2000);
    expect(&a, false, refused);
    a = dial("no-such-name.invalid", 80, 10000);
    CHECK(str_starts(str_or(a.output, ""), "dial tcp: lookup no-such-name.invalid: "));
    expect(&a, false, NULL);
    a = dial("255.255.255.255", 80, 2000); /* refused by the kernel within connect() */
    expect(&a, false, "dial tcp 255.255.255.255:80: connect: network is unreachable");
    /* A full backlog: the handshake is never answered. */
    int port;
    SCOPED(fd_close) int fd = listen_on(&port);
    CHECK(!listen(fd, 0));
    SCOPED(fd_close) int one = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SCOPED(fd_close) int two = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    (void)connect(one, (struct sockaddr *)&to, sizeof to);
    (void)connect(two, (struct sockaddr *)&to, sizeof to);
    SCOPED(mem_free) char *late = mem_fmt("dial tcp 127.0.0.1:%d: i/o timeout", port);
    a = dial("127.0.0.1", port, 150);
    expect(&a, false, late);
}

static Answer check_health(int port, const char *service, int64_t timeout_ms)
{
    uv_loop_t loop;
    Answer a = {0};
    SCOPED(mem_free) char *name = mem_dup_str(service);
    GRPCAction action = {.port = {true, port}, .service = name};
    CHECK(!uv_loop_init(&loop));
    CHECK_OK(netcall_grpc(&loop, &action, "127.0.0.1", timeout_ms * NS_PER_MS, on_answer, &a, &a.call));
    CHECK_INT(a.answers, 0);
    drain(&loop);
    return a;
}

static void test_grpc(void)
{
    static const struct {
        const char *service;
        int64_t timeout_ms;
        bool ok;
        const char *want;
    } t[] = {
        {"", 2000, true, "service healthy"},
        {NULL, 2000, true, "service healthy"},
        {"up", 2000, true, "service healthy"},
        {"down", 2000, false, "service unhealthy (responded with \"NOT_SERVING\")"},
        {"odd", 2000, false, "service unhealthy (responded with \"9\")"},
        {"missing", 2000, false, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"},
        {"nobody", 2000, false,
         "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown "
         "service grpc.health.v1.Health"},
        {"slow", 200, false, "timeout: health rpc did not complete within 200ms"},
        {"reset", 2000, false,
         "error: health rpc probe failed: rpc error: code = Unavailable desc = stream terminated by RST_STREAM "
         "with error code: REFUSED_STREAM"},
        {"web", 2000, false,
         "error: health rpc probe failed: rpc error: code = Unavailable desc = unexpected HTTP status code "
         "received from server: 503"},
        {"empty", 2000, false,
         "error: health rpc probe failed: rpc error: code = Internal desc = cardinality violation: received no "
         "response message from non-server-streaming RPC"},
    };
    Peer p = peer_new(grpc_handler, 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        Answer a = check_health(p.port, t[i].service, t[i].timeout_ms);
        expect(&a, t[i].ok, t[i].want);
    }
    Answer a = check_health(p.port, "goaway", 2000);
    if (!str_starts(str_or(a.output, ""), "error: health rpc probe failed: rpc error: code = Unavailable desc = "))
        CHECK_STR(a.output, "error: health rpc probe failed: rpc error: code = Unavailable desc = ...");
    expect(&a, false, NULL);
    peer_free(&p);
}

static void test_grpc_dial(void)
{
    static Handler *const no_http2[] = {mute_handler, bye_handler, text_handler, http_handler};
    for (size_t i = 0; i < ARRAY_LEN(no_http2); i++) {
        Peer p = peer_new(no_http2[i], 0);
        SCOPED(mem_free)
        char *want = mem_fmt(
            "timeout: failed to connect service \"127.0.0.1:%d\" within 300ms: context deadline exceeded", p.port);
        Answer a = check_health(p.port, "", 300);
        expect(&a, false, want);
        peer_free(&p);
    }
    /* Nobody there at first: the dial is tried again within the timeout. */
    Peer late = peer_new(grpc_handler, 300);
    Answer a = check_health(late.port, "", 3000);
    expect(&a, true, "service healthy");
    peer_free(&late);
}

/* Cancelled at every stage: no answer, nothing left. */
static void test_cancel(void)
{
    Peer http = peer_new(http_handler, 0), grpc = peer_new(grpc_handler, 0), mute = peer_new(mute_handler, 0);
    char silent[] = "/silent", slow[] = "slow", name[] = "localhost";
    for (int turns = 0; turns < 12; turns++) {
        uv_loop_t loop;
        Answer a = {0};
        NetCall *c[6];
        HTTPGetAction h = {.path = silent, .port = int_port(http.port)},
                      named = {.path = silent, .host = name, .port = int_port(http.port)};
        TCPSocketAction s = {.port = int_port(mute.port), .host = name};
        GRPCAction g = {.port = {true, grpc.port}, .service = slow}, never = {.port = {true, mute.port}};
        CHECK(!uv_loop_init(&loop));
        CHECK_OK(netcall_http(&loop, &h, NULL, "127.0.0.1", "x", 5 * NS_PER_S, on_answer, &a, &c[0]));
        CHECK_OK(netcall_http(&loop, &named, NULL, "127.0.0.1", "x", 0, on_answer, &a, &c[1]));
        CHECK_OK(netcall_tcp(&loop, &s, NULL, "127.0.0.1", 5 * NS_PER_S, on_answer, &a, &c[2]));
        CHECK_OK(netcall_grpc(&loop, &g, "127.0.0.1", 5 * NS_PER_S, on_answer, &a, &c[3]));
        CHECK_OK(netcall_grpc(&loop, &never, "127.0.0.1", 0, on_answer, &a, &c[4]));
        CHECK_OK(netcall_grpc(&loop, &never, "no-such-name.invalid", 0, on_answer, &a, &c[5]));
        for (int i = 0; i < turns; i++) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
            usleep(500);
        }
        unsigned before = a.answers; /* the TCP call and the unknown name may have been answered by now */
        for (size_t i = 0; i < ARRAY_LEN(c); i++)
            if ((i != 2 && i != 5) || !before)
                netcall_cancel(c[i]);
        if (before) {
            free(a.output);
            a.output = NULL;
            (void)uv_run(&loop, UV_RUN_DEFAULT);
        } else {
            drain(&loop);
            CHECK_INT(a.answers, 0);
            continue;
        }
        CHECK(a.answers <= 2);
        CHECK_INT(uv_loop_close(&loop), 0);
        free(a.output);
    }
    netcall_cancel(NULL);
    peer_free(&http);
    peer_free(&grpc);
    peer_free(&mute);
}

typedef struct {
    uv_loop_t *loop;
    unsigned left;
    HTTPGetAction *action;
} Chain;
static void on_chain(void *arg, const NetCallResult *r)
{
    Chain *ch = arg;
    NetCall *c;
    CHECK(r->ok);
    if (--ch->left) /* a new call from within the answer of the last */
        CHECK_OK(netcall_http(ch->loop, ch->action, NULL, "127.0.0.1", "x", 5 * NS_PER_S, on_chain, ch, &c));
}

static void test_many(void)
{
    Peer p = peer_new(http_handler, 0);
    char path[] = "/200";
    HTTPGetAction action = {.path = path, .port = int_port(p.port)};
    uv_loop_t loop;
    CHECK(!uv_loop_init(&loop));
    Chain ch = {&loop, 20, &action};
    Answer a = {0};
    NetCall *c;
    CHECK_OK(netcall_http(&loop, &action, NULL, "127.0.0.1", "x", 5 * NS_PER_S, on_chain, &ch, &c));
    for (int i = 0; i < 50; i++)
        CHECK_OK(netcall_http(&loop, &action, NULL, "127.0.0.1", "x", 5 * NS_PER_S, on_answer, &a, &c));
    drain(&loop);
    CHECK_INT(a.answers, 50);
    CHECK_INT(ch.left, 0);
    CHECK(a.ok);
    free(a.output);
    peer_free(&p);
}

static void test_health_messages(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        int64_t want;
        bool ok;
    } t[] = {
        {"", 0, 0, true},
        {"\x08\x01", 2, 1, true},
        {"\x08\x02\x08\x01", 4, 1, true}, /* the last one counts */
        {"\x12\x03"
         "abc\x08\x03",
         7, 3, true}, /* an unknown field before it */
        {"\x19"
         "12345678\x08\x01",
         11, 1, true},
        {"\x08", 1, 0, false},
        {"\x08\xff\xff", 3, 0, false},
        {"\x12\x7f"
         "a",
         3, 0, false},
        {"\x0b", 1, 0, false},
        {"\x00\x01", 2, 0, false},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, -1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        int64_t status = 77;
        SCOPED(err_free) Err *e = grpc_health_reply((const uint8_t *)t[i].bytes, t[i].n, &status);
        CHECK(t[i].ok == !e);
        if (t[i].ok)
            CHECK_INT(status, t[i].want);
    }
    SCOPED(str_done) Str s = {0};
    grpc_health_request("", &s);
    CHECK_INT(s.n, 0);
    grpc_health_request("abc", &s);
    CHECK_STR(s.p, "\x0a\x03"
                   "abc");
}

/* No descriptor outlives the calls. */
static int open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_no_fd_left(void)
{
    Peer p = peer_new(http_handler, 0);
    char path[] = "/200", host[] = "localhost";
    HTTPGetAction action = {.path = path, .host = host};
    Answer a = get(&action, p.port, 5000);
    expect(&a, true, "fine");
    int before = open_fds();
    for (int i = 0; i < 5; i++) {
        a = get(&action, p.port, 5000);
        expect(&a, true, "fine");
        a = check_health(p.port, "", 20);
        expect(&a, false, NULL);
        a = dial("127.0.0.1", p.port, 5000);
        expect(&a, true, "");
    }
    CHECK_INT(open_fds(), before);
    peer_free(&p);
}

TESTS(T(test_urls), T(test_ports), T(test_health_messages), T(test_http_answers), T(test_http_request), T(test_https),
      T(test_tcp), T(test_grpc), T(test_grpc_dial), T(test_cancel), T(test_many), T(test_no_fd_left))
