/* netcall.c - the frame of every network call. A call has one timer and any number of handles; it is answered at most
 * once, and its memory goes when the last of its handles has been closed by the loop. */
#include "node/netcall_priv.h"

#include <arpa/inet.h>
#include <stdio.h>

void netcall_hold(NetCall *c)
{
    c->holds++;
}

void netcall_drop(NetCall *c)
{
    if (--c->holds)
        return;
    c->kind->release(c);
    free(c->host);
    free(c->later);
    free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
    netcall_drop(h->data);
}

/* From here nothing of the call happens any more but closing. */
static void shut(NetCall *c)
{
    c->done = NULL;
    if (c->looking_up)
        (void)uv_cancel((uv_req_t *)&c->lookup); /* its callback comes in any case */
    c->kind->stop(c);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void netcall_finish(NetCall *c, const NetCallResult *res)
{
    NetCallDone *done = c->done;
    void *arg = c->arg;
    if (!done)
        return;
    shut(c);
    done(arg, res);
}

void netcall_fail(NetCall *c, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    netcall_finish(c, &(NetCallResult){.output = str_or(s.p, "")});
}

void netcall_cancel(NetCall *c)
{
    if (c && c->done)
        shut(c);
}

static void on_timer(uv_timer_t *t)
{
    NetCall *c = t->data;
    if (!c->later) {
        c->kind->timed_out(c);
        return;
    }
    SCOPED(mem_free) char *text = MOVE(c->later, NULL);
    netcall_fail(c, "%s", text);
}

void netcall_fail_later(NetCall *c, char *text)
{
    free(c->later);
    c->later = text;
    (void)uv_timer_start(&c->timer, on_timer, 0, 0);
}

NetCall *netcall_new(uv_loop_t *loop, size_t size, const NetCallKind *kind, const char *host, int port,
                     int64_t timeout_ns, NetCallDone *done, void *arg)
{
    NetCall *c = mem_alloc(size);
    *c = (NetCall){.kind = kind,
                   .loop = loop,
                   .done = done,
                   .arg = arg,
                   .host = mem_dup_str(host),
                   .port = port,
                   .timeout_ns = timeout_ns};
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    netcall_hold(c);
    return c;
}

static void lookup_failed(NetCall *c, int status)
{
    const char *cause = status == UV_EAI_NONAME || status == UV_EAI_NODATA ? "no such host" : uv_strerror(status);
    SCOPED(mem_free) char *why = mem_fmt("dial tcp: lookup %s: %s", c->host, cause);
    c->kind->lookup_failed(c, why);
}

static void on_looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    NetCall *c = req->data;
    c->looking_up = false;
    for (const struct addrinfo *a = list; a && c->n_addr < NETCALL_MAX_ADDRS; a = a->ai_next)
        if (a->ai_addrlen <= sizeof c->addr[0])
            memcpy(&c->addr[c->n_addr++], a->ai_addr, a->ai_addrlen);
    uv_freeaddrinfo(list);
    if (c->done && c->n_addr) /* else cancelled meanwhile */
        c->kind->start(c);
    else if (c->done)
        lookup_failed(c, status ? status : UV_EAI_NODATA);
    netcall_drop(c);
}

static void look_up(NetCall *c)
{
    SCOPED(mem_free) char *port = mem_fmt("%d", c->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    c->lookup.data = c;
    int rc = uv_getaddrinfo(c->loop, &c->lookup, on_looked_up, c->host, port, &hints);
    if (rc) {
        lookup_failed(c, rc);
        return;
    }
    c->looking_up = true;
    netcall_hold(c);
}

void netcall_begin(NetCall *c)
{
    if (c->timeout_ns > 0) {
        uv_update_time(c->loop); /* the loop's clock may be a long turn old */
        (void)uv_timer_start(&c->timer, on_timer, (uint64_t)((c->timeout_ns + NS_PER_MS - 1) / NS_PER_MS), 0);
    }
    c->host_is_ip = !uv_ip4_addr(c->host, c->port, (struct sockaddr_in *)&c->addr[0]) ||
                    !uv_ip6_addr(c->host, c->port, (struct sockaddr_in6 *)&c->addr[0]);
    if (!c->host_is_ip) {
        look_up(c);
        return;
    }
    c->n_addr = 1;
    c->kind->start(c);
}

/* --- texts and ports ---------------------------------------------------------------------------------------------- */

Err *netcall_port(const IntOrString *port, const Container *c, int *ret)
{
    int64_t n = port->i;
    if (port->kind == INTSTR_STR) {
        size_t i = 0, n_ports = c ? c->ports.n : 0;
        while (i < n_ports && !str_eq(c->ports.v[i].name, port->s))
            i++;
        if (i == n_ports)
            return err_new(ERR_NOT_FOUND, 0, "couldn't find port: %s", str_or(port->s, ""));
        n = c->ports.v[i].container_port.v;
    }
    if (port->kind == INTSTR_UNSET || n < 1 || n > 65535)
        return err_new(ERR_INVALID, 0, "invalid port number: %lld", (long long)n);
    *ret = (int)n;
    return NULL;
}

char *netcall_join(const char *host, int port)
{
    return strchr(host, ':') ? mem_fmt("[%s]:%d", host, port) : mem_fmt("%s:%d", host, port);
}

char *netcall_peer(const NetCall *c)
{
    char ip[INET6_ADDRSTRLEN] = "";
    (void)uv_ip_name((const struct sockaddr *)&c->addr[c->at], ip, sizeof ip);
    return netcall_join(ip, c->port);
}

char *netcall_dial_error(const NetCall *c, int err)
{
    SCOPED(mem_free) char *peer = netcall_peer(c), *why = err_go_errno(err);
    return mem_fmt("dial tcp %s: connect: %s", peer, why);
}
