/* seccomp_profile.c - which profile a container gets, and profiles from files.
 *
 * A Localhost file may be an OCI linux.seccomp object (what containerd takes) or docker's form of it, with archMap and
 * rules that hold only for some capabilities, architectures or kernels; containerd would read the latter as if the
 * conditions were not there, which allows more than the author wrote. Both are checked field by field and written anew,
 * so that a slip is an error here and not a riddle from the OCI runtime. */
#include <stdio.h>
#include <strings.h>

#include "runtime/oci/seccomp_priv.h"

#define PROFILE_MAX (1u << 20)
#define RULES_MAX 4096u
#define NAMES_MAX 4096u

static const char *const actions[] = {"SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                                      "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
                                      "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",          "SCMP_ACT_NOTIFY"};
static const char *const operators[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
                                        "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};

static bool one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(s, list[i]))
            return true;
    }
    return false;
}

static Err *bad(const char *where, const char *what)
{
    return err_new(ERR_INVALID, 0, "%s: %s", where, what);
}

/* Copies from[key] into to[key]: an unsigned number below 2^32 / any number; absent is fine. */
static Err *copy_number(const json_t *from, json_t *to, const char *key, const char *where, int64_t max)
{
    json_t *v = json_object_get(from, key);
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
        return err_new(ERR_INVALID, 0, "%s.%s is not a number from 0 to %lld", where, key, (long long)max);
    jset(to, key, json_incref(v));
    return NULL;
}

static Err *copy_action(const json_t *from, json_t *to, const char *key, const char *where)
{
    const char *a = json_str(from, key);
    if (!a || !one_of(a, actions, ARRAY_LEN(actions)))
        return err_new(ERR_INVALID, 0, "%s.%s: unknown action \"%.64s\"", where, key, str_or(a, ""));
    jset(to, key, jstr(a));
    return NULL;
}

static Err *copy_strings(const json_t *from, json_t *to, const char *key, const char *where)
{
    json_t *l = json_object_get(from, key);
    if (!l || json_is_null(l))
        return NULL;
    if (!json_is_array(l) || json_array_size(l) > NAMES_MAX)
        return err_new(ERR_INVALID, 0, "%s.%s is not a list of strings", where, key);
    for (size_t i = 0; i < json_array_size(l); i++) {
        if (!json_is_string(json_array_get(l, i)))
            return err_new(ERR_INVALID, 0, "%s.%s[%zu] is not a string", where, key, i);
    }
    if (json_array_size(l))
        jset(to, key, json_incref(l));
    return NULL;
}

static Err *copy_args(const json_t *rule, json_t *to, const char *where)
{
    json_t *args = json_object_get(rule, "args");
    if (!args || json_is_null(args))
        return NULL;
    if (!json_is_array(args) || json_array_size(args) > 6)
        return bad(where, "args is not a list of at most 6");
    for (size_t i = 0; i < json_array_size(args); i++) {
        json_t *a = json_array_get(args, i), *copy = json_object();
        const char *op = json_str(a, "op");
        Err *e = copy_number(a, copy, "index", where, 5);
        if (!e)
            e = copy_number(a, copy, "value", where, INT64_MAX);
        if (!e)
            e = copy_number(a, copy, "valueTwo", where, INT64_MAX);
        if (!e && (!op || !one_of(op, operators, ARRAY_LEN(operators)) || !json_object_get(copy, "index")))
            e = bad(where, "an argument needs index and a known op");
        if (e) {
            json_decref(copy);
            return e;
        }
        if (!json_object_get(copy, "value"))
            jset(copy, "value", json_integer(0));
        jset(copy, "op", jstr(op));
        jadd(jarray_at(to, "args"), copy);
    }
    return NULL;
}

/* --- docker's conditions ---------------------------------------------------------------------------------------- */

static bool any_cap(const json_t *list, const StrVec *caps)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *c = json_string_value(json_array_get(list, i));
        if (c && strvec_has(caps, c))
            return true;
    }
    return false;
}

static bool all_caps(const json_t *list, const StrVec *caps)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *c = json_string_value(json_array_get(list, i));
        if (!c || !strvec_has(caps, c))
            return false;
    }
    return true;
}

static bool has_arch(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (str_eq(json_string_value(json_array_get(list, i)), seccomp_arch()))
            return true;
    }
    return false;
}

static bool kernel_ok(const char *min)
{
    long major = 0, minor = 0;
    return !min || (sscanf(min, "%ld.%ld", &major, &minor) == 2 && kernel_at_least(major, minor));
}

/* docker's semantics (profiles/seccomp): every capability and one architecture of includes; none of excludes. */
static bool rule_applies(const json_t *rule, const StrVec *caps)
{
    const json_t *in = json_object_get(rule, "includes"), *out = json_object_get(rule, "excludes");
    if (any_cap(json_object_get(out, "caps"), caps) || has_arch(json_object_get(out, "arches")))
        return false;
    if (json_str(out, "minKernel") && kernel_ok(json_str(out, "minKernel")))
        return false;
    const json_t *arches = json_object_get(in, "arches");
    return all_caps(json_object_get(in, "caps"), caps) && (!json_array_size(arches) || has_arch(arches)) &&
           kernel_ok(json_str(in, "minKernel"));
}

static Err *copy_rule(const json_t *rule, size_t index, const StrVec *caps, json_t *list)
{
    char where[64];
    snprintf(where, sizeof where, "syscalls[%zu]", index);
    if (!json_is_object(rule))
        return bad(where, "not an object");
    SCOPED(json_unref) json_t *r = json_object();
    Err *e = copy_strings(rule, r, "names", where);
    const char *name = json_str(rule, "name");
    if (!e && name)
        jadd(jarray_at(r, "names"), jstr(name));
    if (!e && !json_object_get(r, "names"))
        e = bad(where, "names is empty");
    if (!e)
        e = copy_action(rule, r, "action", where);
    if (!e)
        e = copy_number(rule, r, "errnoRet", where, 4095);
    if (!e)
        e = copy_args(rule, r, where);
    if (!e && rule_applies(rule, caps))
        jadd(list, json_incref(r));
    return e;
}

static void add_archmap(const json_t *map, json_t *o)
{
    json_t *to = jarray_at(o, "architectures");
    static const struct { const char *arch, *scmp;
    } names[] = {{"amd64", "SCMP_ARCH_X86_64"},    {"arm64", "SCMP_ARCH_AARCH64"},      {"386", "SCMP_ARCH_X86"},
                 {"arm", "SCMP_ARCH_ARM"},         {"riscv64", "SCMP_ARCH_RISCV64"},    {"s390x", "SCMP_ARCH_S390X"},
                 {"ppc64le", "SCMP_ARCH_PPC64LE"}, {"loong64", "SCMP_ARCH_LOONGARCH64"}};
    const char *ours = "";
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(names[i].arch, seccomp_arch()))
            ours = names[i].scmp;
    }
    for (size_t i = 0; i < json_array_size(map); i++) {
        const json_t *row = json_array_get(map, i), *sub = json_object_get(row, "subArchitectures");
        if (!str_eq(json_str(row, "architecture"), ours))
            continue;
        jadd(to, jstr(ours));
        for (size_t k = 0; k < json_array_size(sub); k++) {
            if (json_is_string(json_array_get(sub, k)))
                jadd(to, json_incref(json_array_get(sub, k)));
        }
    }
    if (!json_array_size(to))
        json_object_del(o, "architectures");
}

static Err *convert(const json_t *in, const StrVec *caps, json_t *o)
{
    if (!json_is_object(in))
        return bad("profile", "not a JSON object");
    Err *e = copy_action(in, o, "defaultAction", "profile");
    if (!e)
        e = copy_number(in, o, "defaultErrnoRet", "profile", 4095);
    if (!e)
        e = copy_strings(in, o, "architectures", "profile");
    if (!e)
        e = copy_strings(in, o, "flags", "profile");
    if (e)
        return e;
    if (json_is_array(json_object_get(in, "archMap")))
        add_archmap(json_object_get(in, "archMap"), o);
    for (size_t i = 0; i < 2; i++) {
        static const char *const keys[] = {"listenerPath", "listenerMetadata"};
        if (json_str(in, keys[i]))
            jset(o, keys[i], jstr(json_str(in, keys[i])));
    }
    const json_t *rules = json_object_get(in, "syscalls");
    if (rules && !json_is_null(rules) && (!json_is_array(rules) || json_array_size(rules) > RULES_MAX))
        return bad("syscalls", "not a list of at most 4096 rules");
    json_t *list = jarray_at(o, "syscalls");
    for (size_t i = 0; i < json_array_size(rules) && !e; i++)
        e = copy_rule(json_array_get(rules, i), i, caps, list);
    return e;
}

Err *oci_seccomp_parse(const char *text, size_t n, const StrVec *caps, json_t **ret)
{
    if (n > PROFILE_MAX)
        return err_new(ERR_LIMIT, 0, "seccomp profile is larger than %u bytes", PROFILE_MAX);
    SCOPED(json_unref) json_t *in = NULL, *out = json_object();
    Err *e = json_parse(text, n, &in);
    if (!e)
        e = convert(in, caps, out);
    if (e)
        return e;
    *ret = MOVE(out, NULL);
    return NULL;
}

/* --- which one -------------------------------------------------------------------------------------------------- */

static Err *load_localhost(SpecBuild *b, const char *name, const StrVec *caps, json_t **ret)
{
    if (str_empty(name))
        return err_reason(err_new(ERR_INVALID, 0, "localhostProfile must be set if seccompProfile type is Localhost."),
                          REASON_CONFIG);
    if (str_starts(name, "localhost/"))
        name += strlen("localhost/");
    if (str_empty(b->in->seccomp_root))
        return err_new(ERR_UNSUPPORTED, 0, "no directory of seccomp profiles is configured");
    SCOPED(str_done) Str text = {0};
    Err *e = dir_read_beneath(b->in->seccomp_root, name, PROFILE_MAX, &text);
    if (!e)
        e = oci_seccomp_parse(text.p, text.n, caps, ret);
    return e ? err_wrap(e, "cannot load seccomp profile \"%s/%s\"", b->in->seccomp_root, name) : NULL;
}

/* The container's profile over the Pod's; unset is Unconfined (kubelet without --seccomp-default); privileged has none.
 */
Err *spec_seccomp(SpecBuild *b)
{
    const SeccompProfile *p = b->sec->seccomp_profile ? b->sec->seccomp_profile : b->pod_sec->seccomp_profile;
    const char *type = p ? str_or(p->type, "") : "Unconfined";
    if (b->privileged || str_eq(type, "Unconfined"))
        return NULL;
    SCOPED(strvec_done) StrVec caps = {0};
    caps_names(b->caps, &caps);
    json_t *profile = NULL;
    Err *e = NULL;
    if (str_eq(type, "RuntimeDefault"))
        e = oci_seccomp_default(&caps, &profile);
    else if (str_eq(type, "Localhost"))
        e = load_localhost(b, p->localhost_profile, &caps, &profile);
    else
        e = err_reason(err_new(ERR_INVALID, 0, "seccompProfile type \"%.64s\" is not one of Localhost, RuntimeDefault, "
                                               "Unconfined", type), REASON_CONFIG);
    if (e)
        return e->reason[0] ? e : err_reason(e, REASON_CREATE);
    jset(b->linux_, "seccomp", profile);
    return NULL;
}
