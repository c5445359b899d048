/* validate_probe.c - probes, hooks and their handlers. */
#include "api/validate_priv.h"

/* What probes and hooks can do, in one shape. */
typedef struct {
    const ExecAction *exec;
    const HTTPGetAction *http_get;
    const TCPSocketAction *tcp_socket;
    const GRPCAction *grpc;
    const SleepAction *sleep;
} Handler;

static void check_port(Report *r, const Path *at, const IntOrString *port)
{
    if (port->kind == INTSTR_STR)
        v_port_name(r, at, port->s);
    else
        v_port_num(r, at, port->kind == INTSTR_INT ? port->i : 0);
}

static void check_http_get(Report *r, const Path *at, const HTTPGetAction *h)
{
    static const char *const schemes[] = {"HTTP", "HTTPS"};
    if (str_empty(h->path))
        v_required(r, CHILD(at, "path"), NULL);
    check_port(r, CHILD(at, "port"), &h->port);
    v_one_of(r, CHILD(at, "scheme"), h->scheme, schemes, ARRAY_LEN(schemes));
    LIST_EACH(header, &h->http_headers)
        v_http_header(r, CHILD(at, "httpHeaders"), header->name);
}

static void check_sleep(const Checker *c, const Path *at, const SleepAction *s)
{
    OptInt grace = c->spec->termination_grace_period_seconds;
    if (grace.set && (s->seconds.v < 0 || s->seconds.v > grace.v))
        v_invalid_int(c->r, at, s->seconds.v, "must be non-negative and less than terminationGracePeriodSeconds (%lld)",
                      (long long)grace.v);
}

/* The first handler is checked, each further one forbidden. */
static bool first(Report *r, const Path *at, const void *handler, const char *key, bool *taken)
{
    if (!handler)
        return false;
    if (*taken) {
        v_forbidden(r, CHILD(at, key), "may not specify more than 1 handler type");
        return false;
    }
    *taken = true;
    return true;
}

static void check_handler(const Checker *c, const Path *at, const Handler *h)
{
    Report *r = c->r;
    bool taken = false;
    if (first(r, at, h->exec, "exec", &taken) && !h->exec->command.n)
        v_required(r, CHILD(CHILD(at, "exec"), "command"), NULL);
    if (first(r, at, h->http_get, "httpGet", &taken))
        check_http_get(r, CHILD(at, "httpGet"), h->http_get);
    if (first(r, at, h->tcp_socket, "tcpSocket", &taken))
        check_port(r, CHILD(CHILD(at, "tcpSocket"), "port"), &h->tcp_socket->port);
    if (first(r, at, h->grpc, "grpc", &taken))
        v_port_num(r, CHILD(CHILD(at, "grpc"), "port"), h->grpc->port.v);
    if (first(r, at, h->sleep, "sleep", &taken))
        check_sleep(c, CHILD(at, "sleep"), h->sleep);
    if (!taken)
        v_required(r, at, "must specify a handler type");
}

static void check_probe(const Checker *c, const Path *at, const Probe *p)
{
    check_handler(c, at, &(Handler){p->exec, p->http_get, p->tcp_socket, p->grpc, NULL});
    v_nonnegative(c->r, CHILD(at, "initialDelaySeconds"), p->initial_delay_seconds);
    v_nonnegative(c->r, CHILD(at, "timeoutSeconds"), p->timeout_seconds);
    v_nonnegative(c->r, CHILD(at, "periodSeconds"), p->period_seconds);
    v_nonnegative(c->r, CHILD(at, "successThreshold"), p->success_threshold);
    v_nonnegative(c->r, CHILD(at, "failureThreshold"), p->failure_threshold);
    OptInt grace = p->termination_grace_period_seconds;
    if (grace.set && grace.v <= 0)
        v_invalid_int(c->r, CHILD(at, "terminationGracePeriodSeconds"), grace.v, "must be greater than 0");
}

static void check_success_once(const Checker *c, const Path *at, const Probe *p)
{
    if (p->success_threshold.v != 1)
        v_invalid_int(c->r, CHILD(at, "successThreshold"), p->success_threshold.v, "must be 1");
}

void check_probes(Checker *c, const Path *at, const Container *ctr)
{
    if (ctr->liveness_probe) {
        check_probe(c, CHILD(at, "livenessProbe"), ctr->liveness_probe);
        check_success_once(c, CHILD(at, "livenessProbe"), ctr->liveness_probe);
    }
    if (ctr->readiness_probe) {
        const Path *here = CHILD(at, "readinessProbe");
        OptInt grace = ctr->readiness_probe->termination_grace_period_seconds;
        check_probe(c, here, ctr->readiness_probe);
        if (grace.set)
            v_invalid_int(c->r, CHILD(here, "terminationGracePeriodSeconds"), grace.v,
                          "must not be set for readinessProbes");
    }
    if (ctr->startup_probe) {
        check_probe(c, CHILD(at, "startupProbe"), ctr->startup_probe);
        check_success_once(c, CHILD(at, "startupProbe"), ctr->startup_probe);
    }
}

static const char *const signals[] = {
    "SIGABRT",     "SIGALRM",     "SIGBUS",      "SIGCHLD",     "SIGCLD",      "SIGCONT",     "SIGFPE",
    "SIGHUP",      "SIGILL",      "SIGINT",      "SIGIO",       "SIGIOT",      "SIGKILL",     "SIGPIPE",
    "SIGPOLL",     "SIGPROF",     "SIGPWR",      "SIGQUIT",     "SIGRTMAX",    "SIGRTMAX-1",  "SIGRTMAX-10",
    "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2",  "SIGRTMAX-3",  "SIGRTMAX-4",
    "SIGRTMAX-5",  "SIGRTMAX-6",  "SIGRTMAX-7",  "SIGRTMAX-8",  "SIGRTMAX-9",  "SIGRTMIN",    "SIGRTMIN+1",
    "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2",
    "SIGRTMIN+3",  "SIGRTMIN+4",  "SIGRTMIN+5",  "SIGRTMIN+6",  "SIGRTMIN+7",  "SIGRTMIN+8",  "SIGRTMIN+9",
    "SIGSEGV",     "SIGSTKFLT",   "SIGSTOP",     "SIGSYS",      "SIGTERM",     "SIGTRAP",     "SIGTSTP",
    "SIGTTIN",     "SIGTTOU",     "SIGURG",      "SIGUSR1",     "SIGUSR2",     "SIGVTALRM",   "SIGWINCH",
    "SIGXCPU",     "SIGXFSZ",
};

void check_lifecycle(Checker *c, const Path *at, const Lifecycle *l)
{
    const LifecycleHandler *h = l->post_start;
    if (h)
        check_handler(c, CHILD(at, "postStart"), &(Handler){h->exec, h->http_get, h->tcp_socket, NULL, h->sleep});
    h = l->pre_stop;
    if (h)
        check_handler(c, CHILD(at, "preStop"), &(Handler){h->exec, h->http_get, h->tcp_socket, NULL, h->sleep});
    if (l->stop_signal && !c->spec->os)
        v_forbidden(c->r, CHILD(at, "stopSignal"), "may not be set for containers with empty `spec.os.name`");
    else if (l->stop_signal)
        v_one_of(c->r, CHILD(at, "stopSignal"), l->stop_signal, signals, ARRAY_LEN(signals));
}
