#include "cli/serve_options.h"

#include <arpa/inet.h>

static Err *number(const CliArgs *a, const char *name, int64_t min, int64_t max, unsigned *ret)
{
    int64_t v;
    if (!str_to_i64(cli_opt(a, name), &v) || v < min || v > max)
        return err_new(ERR_INVALID, 0, "--%s=%s: give a number from %lld to %lld", name, cli_opt(a, name), (long long)min, (long long)max);
    *ret = (unsigned)v;
    return NULL;
}

/* Nobody gets in over the network without showing who they are. */
static Err *check_port(const DaemonApi *s)
{
    uint8_t address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, s->bind_address, address) != 1 && inet_pton(AF_INET6, s->bind_address, address) != 1)
        return err_new(ERR_INVALID, 0, "--bind-address=%s: give an IP address", s->bind_address);
    if (!s->secure_port)
        return NULL;
    if (!s->cert_file || !s->key_file)
        return err_new(ERR_INVALID, 0, "--secure-port needs --tls-cert-file and --tls-private-key-file; `reprise node --init` makes them");
    if (!s->client_ca_file && !s->token_auth_file)
        return err_new(ERR_INVALID, 0, "--secure-port needs --client-ca-file or --token-auth-file: it is not served without authentication");
    return NULL;
}

Err *cli_serve_options(const CliArgs *a, StrVec *keep, DaemonApi *ret)
{
    const char *socket = cli_opt(a, "api-socket");
    *ret = (DaemonApi){
        .socket = socket,
        .bind_address = cli_opt(a, "bind-address"),
        .cert_file = cli_opt(a, "tls-cert-file"),
        .key_file = cli_opt(a, "tls-private-key-file"),
        .client_ca_file = cli_opt(a, "client-ca-file"),
        .token_auth_file = cli_opt(a, "token-auth-file"),
    };
    if (!socket) {
        strvec_fmt(keep, "%s/api.sock", cli_opt(a, "run-dir"));
        ret->socket = keep->v[keep->n - 1];
    }
    const struct {
        const char *name;
        int64_t min, max;
        unsigned *at;
    } numbers[] = {{"secure-port", 0, 65535, &ret->secure_port},
                   {"max-connections", 1, 65536, &ret->max_connections},
                   {"max-watches", 1, 100000, &ret->max_watches},
                   {"max-streams", 1, 100000, &ret->max_streams}};
    Err *e = NULL;
    for (size_t i = 0; !e && i < ARRAY_LEN(numbers); i++)
        e = number(a, numbers[i].name, numbers[i].min, numbers[i].max, numbers[i].at);
    return e ? e : check_port(ret);
}
