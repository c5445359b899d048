/* cni_result.c - what plugins print: a result with addresses, or an error object. All of it is untrusted text. */
#include "runtime/oci/cni_priv.h"

#include <arpa/inet.h>
#include <stdio.h>

#define MAX_IPS  32u
#define MAX_LINE 1024u

/* CNI spec 1.0.0, "Error": codes that say more than "it failed". */
#define CODE_INVALID_CONFIG 7
#define CODE_TRY_AGAIN      11

/* One printable line of at most MAX_LINE bytes: it becomes part of an error, a log line and a status. */
static void add_line(Str *s, const char *text, size_t n)
{
    while (n && strchr(" \t\r\n", text[n - 1]) && text[n - 1])
        n--;
    bool more = n > MAX_LINE;
    for (size_t i = 0; i < n && i < MAX_LINE; i++)
        str_add_c(s, text[i] == '\n' || text[i] == '\t' ? ' ' : text[i] < ' ' || text[i] > '~' ? '?' : text[i]);
    if (more)
        str_add(s, "...");
}

static Err *error_object(const json_t *o)
{
    int64_t code = json_i64(o, "code", 0);
    const char *msg = json_str(o, "msg"), *details = json_str(o, "details");
    SCOPED(str_done) Str line = {0};
    add_line(&line, str_empty(msg) ? "no message" : msg, strlen(str_empty(msg) ? "no message" : msg));
    if (!str_empty(details)) {
        str_add(&line, ": ");
        add_line(&line, details, strlen(details));
    }
    return err_new(code == CODE_INVALID_CONFIG ? ERR_INVALID : ERR_UNAVAILABLE, 0, "%s (code %lld%s)", line.p,
                   (long long)code, code == CODE_TRY_AGAIN ? ", try again later" : "");
}

static Err *add_address(const char *cidr, StrVec *ips)
{
    unsigned char addr[sizeof(struct in6_addr)];
    const char *slash = cidr ? strchr(cidr, '/') : NULL;
    SCOPED(mem_free) char *ip = slash ? mem_dup_strn(cidr, (size_t)(slash - cidr)) : mem_dup_str(str_or(cidr, ""));
    if (inet_pton(AF_INET, ip, addr) != 1 && inet_pton(AF_INET6, ip, addr) != 1) {
        SCOPED(str_done) Str shown = {0};
        add_line(&shown, ip, strlen(ip));
        return err_new(ERR_INVALID, 0, "result: ips: \"%s\" is not an address", str_or(shown.p, ""));
    }
    if (ips->n >= MAX_IPS)
        return err_new(ERR_LIMIT, 0, "result: more than %u addresses", MAX_IPS);
    strvec_add(ips, ip);
    return NULL;
}

/* Whether an address of the result is the Pod's: on eth0 in the sandbox, or on no named interface. */
static Err *address_is_pods(const json_t *ip, const json_t *interfaces, bool *ret)
{
    const json_t *index = json_object_get(ip, "interface");
    *ret = true;
    if (!index || json_is_null(index))
        return NULL;
    json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;
    if (i < 0 || (size_t)i >= json_array_size(interfaces))
        return err_new(ERR_INVALID, 0, "result: ips: interface is not an index of interfaces");
    const json_t *itf = json_array_get(interfaces, (size_t)i);
    *ret = !str_empty(json_str(itf, "sandbox")) && str_eq(json_str(itf, "name"), CNI_IFNAME);
    return NULL;
}

Err *cni_result_ips(const json_t *result, StrVec *ret_ips)
{
    SCOPED(strvec_done) StrVec ips = {0};
    const json_t *list = json_object_get(result, "ips"), *interfaces = json_object_get(result, "interfaces");
    static const char *const old[] = {"ip4", "ip6"}; /* spec 0.2.0 and before */
    for (size_t i = 0; i < ARRAY_LEN(old); i++) {
        const json_t *o = json_object_get(result, old[i]);
        Err *e = json_is_object(o) ? add_address(json_str(o, "ip"), &ips) : NULL;
        if (e)
            return e;
    }
    if (list && !json_is_array(list) && !json_is_null(list))
        return err_new(ERR_INVALID, 0, "result: ips: must be a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *ip = json_array_get(list, i);
        bool pods;
        if (!json_is_object(ip))
            return err_new(ERR_INVALID, 0, "result: ips[%zu]: must be an object", i);
        Err *e = address_is_pods(ip, interfaces, &pods);
        if (!e && pods)
            e = add_address(json_str(ip, "address"), &ips);
        if (e)
            return e;
    }
    *ret_ips = MOVE(ips, (StrVec){0});
    return NULL;
}

Err *cni_parse_result(const char *text, size_t n, StrVec *ret_ips)
{
    SCOPED(json_unref) json_t *o = NULL;
    Err *e = json_parse(text, n, &o);
    if (e)
        return err_wrap(e, "result");
    if (!json_is_object(o))
        return err_new(ERR_INVALID, 0, "result: must be an object");
    if (json_object_get(o, "code") && !json_object_get(o, "ips"))
        return error_object(o);
    return cni_result_ips(o, ret_ips);
}

Err *cni_result_failure(const char *out, size_t n_out, const char *err, size_t n_err, int exit_code)
{
    SCOPED(json_unref) json_t *o = NULL;
    Err *bad = n_out ? json_parse(out, n_out, &o) : NULL;
    err_free(bad);
    if (json_is_object(o) && (json_object_get(o, "msg") || json_object_get(o, "code")))
        return error_object(o);
    SCOPED(str_done) Str line = {0};
    if (n_err)
        add_line(&line, err, n_err);
    else if (n_out)
        add_line(&line, out, n_out);
    return err_new(ERR_UNAVAILABLE, 0, "exited with %d%s%s", exit_code, line.n ? ": " : " and said nothing",
                   line.n ? line.p : "");
}
