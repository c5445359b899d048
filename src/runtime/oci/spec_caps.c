/* spec_caps.c - capabilities: containerd's default set, then add and drop, never more than we have ourselves. */
#include <linux/capability.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/oci/spec_priv.h"

/* Index = number (linux/capability.h). */
static const char *const cap_names[] = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};

#define BIT(n) (UINT64_C(1) << (n))
/* containerd, pkg/oci/spec.go, defaultUnixCaps. */
#define DEFAULT_CAPS                                                                                                   \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) |  \
     BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) |             \
     BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

const char *cap_name(int number)
{
    return number >= 0 && (size_t)number < ARRAY_LEN(cap_names) ? cap_names[number] : NULL;
}

int cap_number(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    for (size_t i = 0; i < ARRAY_LEN(cap_names); i++) {
        if (strcasecmp(name, cap_names[i] + 4) == 0)
            return (int)i;
    }
    return -1;
}

void caps_names(uint64_t set, StrVec *out)
{
    for (size_t i = 0; i < ARRAY_LEN(cap_names); i++) {
        if (set & BIT(i))
            strvec_add(out, cap_names[i]);
    }
}

/* Permitted and bounding: a runtime that we start can give away no other. */
uint64_t caps_host(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &head, data) < 0)
        return 0;
    uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32, set = 0;
    for (unsigned i = 0; i < ARRAY_LEN(cap_names); i++) {
        if ((permitted & BIT(i)) && prctl(PR_CAPBSET_READ, (unsigned long)i, 0, 0, 0) == 1)
            set |= BIT(i);
    }
    return set;
}

static bool has_all(const StrList *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcasecmp(l->v[i], "ALL") == 0 || strcasecmp(l->v[i], "CAP_ALL") == 0)
            return true;
    }
    return false;
}

static Err *caps_of_list(const StrList *l, const char *verb, uint64_t *ret)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcasecmp(l->v[i], "ALL") == 0 || strcasecmp(l->v[i], "CAP_ALL") == 0)
            continue;
        int n = cap_number(l->v[i]);
        if (n < 0)
            return err_reason(err_new(ERR_INVALID, 0, "unknown capability \"%.64s\" to %s", l->v[i], verb),
                              REASON_CREATE);
        *ret |= BIT(n);
    }
    return NULL;
}

/* containerd's order: ALL of add, then ALL of drop, then single adds, then single drops; so {drop: [ALL], add: [CHOWN]}
 * leaves CHOWN. A default that this machine lacks is left out (doctor names it); an explicit one is refused, since the
 * container would start without what it was promised. */
Err *spec_caps(SpecBuild *b)
{
    uint64_t have = b->host->caps, set = DEFAULT_CAPS & have, add = 0, drop = 0;
    const Capabilities *c = b->sec->capabilities;
    if (c) {
        Err *e = caps_of_list(&c->add, "add", &add);
        if (!e)
            e = caps_of_list(&c->drop, "drop", &drop);
        if (e)
            return e;
        if (has_all(&c->add))
            set = have;
        if (has_all(&c->drop))
            set = 0;
        uint64_t missing = add & ~drop & ~have;
        for (int i = 0; missing && cap_name(i); i++) {
            if (missing & BIT(i))
                return err_reason(err_new(ERR_UNSUPPORTED, 0,
                                          "capability %s to add: reprise itself does not have it on this "
                                          "machine (see reprise doctor)",
                                          cap_name(i)),
                                  REASON_CREATE);
        }
        set = (set | add) & ~drop;
    }
    b->caps = b->privileged ? have : set;
    StrVec names = {0};
    caps_names(b->caps, &names);
    json_t *caps = jobject_at(b->process, "capabilities");
    /* A user other than root loses effective and permitted at exec anyway; given none, it has none before exec either.
     * Inheritable stays empty (CVE-2022-24769), and ambient too: Kubernetes has no field for it. */
    static const struct { const char *set; bool root_only; } sets[] = {
        {"bounding", false}, {"effective", true}, {"permitted", true}};
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        json_t *a = jarray_at(caps, sets[i].set);
        for (size_t k = 0; k < names.n && !(sets[i].root_only && b->uid != 0); k++)
            jadd(a, jstr(names.v[k]));
    }
    jset(caps, "inheritable", json_array());
    jset(caps, "ambient", json_array());
    strvec_done(&names);
    return NULL;
}
