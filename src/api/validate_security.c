/* validate_security.c - security contexts of Pod and container. */
#include "api/validate_priv.h"

#define MAX_ID INT64_C(0xffffffff)
#define SYSCTL_RE "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"

static void check_id(Report *r, const Path *at, OptInt id)
{
    if (id.set)
        v_range(r, at, id.v, 0, MAX_ID);
}

static const char *const profile_types[] = {"Localhost", "RuntimeDefault", "Unconfined"};

static void check_seccomp(Report *r, const Path *at, const SeccompProfile *p)
{
    if (!p)
        return;
    const Path *local = CHILD(at, "localhostProfile");
    if (str_empty(p->type))
        v_required(r, CHILD(at, "type"), "type is required when seccompProfile is set");
    else
        v_one_of(r, CHILD(at, "type"), p->type, profile_types, ARRAY_LEN(profile_types));
    bool localhost = str_eq(p->type, "Localhost");
    if (localhost && !p->localhost_profile)
        v_required(r, local, "must be set when seccomp type is Localhost");
    else if (localhost)
        v_local_descending(r, local, p->localhost_profile);
    else if (p->localhost_profile)
        v_invalid(r, local, p->localhost_profile, "can only be set when seccomp type is Localhost");
}

static void check_apparmor_localhost(Report *r, const Path *at, const char *profile)
{
    if (!profile || !*profile) {
        v_required(r, at, "must be set when AppArmor type is Localhost");
        return;
    }
    size_t n = strlen(profile);
    if (strchr(" \t\n\r\v\f", profile[0]) || strchr(" \t\n\r\v\f", profile[n - 1]))
        v_invalid(r, at, profile, "must not be padded with whitespace");
    if (n > 4095)
        v_too_long(r, at, 4095);
}

static void check_apparmor(Report *r, const Path *at, const SeccompProfile *p)
{
    if (!p)
        return;
    const Path *local = CHILD(at, "localhostProfile");
    if (str_empty(p->type))
        v_required(r, CHILD(at, "type"), "type is required when appArmorProfile is set");
    else if (!v_one_of(r, CHILD(at, "type"), p->type, profile_types, ARRAY_LEN(profile_types)))
        return;
    else if (strcmp(p->type, "Localhost") == 0)
        check_apparmor_localhost(r, local, p->localhost_profile);
    else if (p->localhost_profile)
        v_invalid(r, local, p->localhost_profile, "can only be set when AppArmor type is Localhost");
}

static void check_escalation(Report *r, const Path *at, const SecurityContext *sc)
{
    if (!sc->allow_privilege_escalation.set || sc->allow_privilege_escalation.v)
        return;
    if (sc->privileged.set && sc->privileged.v)
        v_invalid_json(r, at, &type_SecurityContext, sc,
                       "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    if (sc->capabilities)
        LIST_EACH(cap, &sc->capabilities->add)
            if (strcmp(*cap, "CAP_SYS_ADMIN") == 0)
                v_invalid_json(r, at, &type_SecurityContext, sc,
                               "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
}

void check_security_context(Checker *c, const Path *at, const SecurityContext *sc)
{
    static const char *const proc_mounts[] = {"Default", "Unmasked"};
    if (!sc)
        return;
    check_id(c->r, CHILD(at, "runAsUser"), sc->run_as_user);
    check_id(c->r, CHILD(at, "runAsGroup"), sc->run_as_group);
    if (sc->proc_mount) {
        v_one_of(c->r, CHILD(at, "procMount"), sc->proc_mount, proc_mounts, ARRAY_LEN(proc_mounts));
        bool host_users = !c->spec->host_users.set || c->spec->host_users.v;
        if (host_users && strcmp(sc->proc_mount, "Unmasked") == 0)
            v_invalid(c->r, CHILD(at, "procMount"), sc->proc_mount, "`hostUsers` must be false to use `Unmasked`");
    }
    check_seccomp(c->r, CHILD(at, "seccompProfile"), sc->seccomp_profile);
    check_escalation(c->r, at, sc);
    check_apparmor(c->r, CHILD(at, "appArmorProfile"), sc->app_armor_profile);
}

/* SYSCTL_RE: segments of [-_a-z0-9] that begin and end with a letter or digit, joined by dots or slashes. */
static bool is_sysctl_name(const char *s)
{
    if (strlen(s) > 253)
        return false;
    bool edge = false; /* the last character was a letter or digit */
    bool inside = false;
    for (; *s; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9');
        bool joiner = *s == '.' || *s == '/';
        if (!letter && !joiner && *s != '-' && *s != '_')
            return false;
        if ((joiner && !edge) || (!inside && !letter))
            return false;
        inside = !joiner;
        edge = letter;
    }
    return edge;
}

/* The namespace that a sysctl belongs to (component-helpers/node/util/sysctl). */
static bool is_ipc_sysctl(const char *name)
{
    static const char *const prefixes[] = {"kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(name, prefixes[i]))
            return true;
    return false;
}

static void check_sysctls(Checker *c, const Path *at, const PodSecurityContext *sc)
{
    SCOPED(strvec_done) StrVec names = {0};
    for (size_t i = 0; i < sc->sysctls.n; i++) {
        const Path *name = CHILD(AT_INDEX(at, i), "name");
        const char *s = str_or(sc->sysctls.v[i].name, "");
        if (!*s)
            v_required(c->r, name, NULL);
        else if (!is_sysctl_name(s))
            v_invalid(c->r, name, s, "must have at most 253 characters and match regex ^%s$", SYSCTL_RE);
        else if (strvec_has(&names, s))
            v_duplicate(c->r, name, s);
        SCOPED(mem_free) char *dotted = mem_dup_str(s);
        for (char *p = dotted; *p; p++)
            *p = *p == '/' ? '.' : *p;
        if (c->spec->host_network.v && str_starts(dotted, "net."))
            v_invalid(c->r, name, s, "may not be specified when 'hostNetwork' is true");
        else if (c->spec->host_ipc.v && is_ipc_sysctl(dotted))
            v_invalid(c->r, name, s, "may not be specified when 'hostIPC' is true");
        strvec_add(&names, s);
    }
}

void check_pod_security_context(Checker *c, const Path *at, const PodSecurityContext *sc)
{
    static const char *const change[] = {"Always", "OnRootMismatch"};
    static const char *const groups[] = {"Merge", "Strict"};
    static const char *const se_linux[] = {"MountOption", "Recursive"};
    Report *r = c->r;
    if (sc) {
        check_id(r, CHILD(at, "fsGroup"), sc->fs_group);
        check_id(r, CHILD(at, "runAsUser"), sc->run_as_user);
        check_id(r, CHILD(at, "runAsGroup"), sc->run_as_group);
        for (size_t i = 0; i < sc->supplemental_groups.n; i++)
            check_id(r, AT_INDEX(CHILD(at, "supplementalGroups"), i), (OptInt){true, sc->supplemental_groups.v[i]});
    }
    /* Upstream keeps this field in the security context, and so says it with that path. */
    if (c->spec->share_process_namespace.v && c->spec->host_pid.v) {
        SCOPED(mem_free) char *path = path_text(CHILD(at, "shareProcessNamespace"));
        report_add(r, CAUSE_INVALID, path,
                   "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled");
    }
    if (!sc)
        return;
    check_sysctls(c, CHILD(at, "sysctls"), sc);
    if (sc->fs_group_change_policy)
        v_one_of(r, CHILD(at, "fsGroupChangePolicy"), sc->fs_group_change_policy, change, ARRAY_LEN(change));
    check_seccomp(r, CHILD(at, "seccompProfile"), sc->seccomp_profile);
    check_apparmor(r, CHILD(at, "appArmorProfile"), sc->app_armor_profile);
    if (sc->supplemental_groups_policy)
        v_one_of(r, CHILD(at, "supplementalGroupsPolicy"), sc->supplemental_groups_policy, groups, ARRAY_LEN(groups));
    if (sc->se_linux_change_policy)
        v_one_of(r, CHILD(at, "seLinuxChangePolicy"), sc->se_linux_change_policy, se_linux, ARRAY_LEN(se_linux));
}
