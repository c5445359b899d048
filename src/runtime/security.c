#include "runtime/security.h"

#include "base/str.h"

const char *const security_masked_paths[] = {
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap", NULL,
};
const char *const security_readonly_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL};

OptInt security_pick(OptInt container, OptInt pod)
{
    return container.set ? container : pod;
}

Err *security_verify_non_root(const SecurityContext *sec, const PodSecurityContext *pod_sec, int64_t image_uid,
                              const char *image_user, const char *pod, const char *container)
{
    static const SecurityContext no_sec;
    static const PodSecurityContext no_pod;
    sec = sec ? sec : &no_sec;
    pod_sec = pod_sec ? pod_sec : &no_pod;
    OptBool wanted = sec->run_as_non_root.set ? sec->run_as_non_root : pod_sec->run_as_non_root;
    if (!wanted.set || !wanted.v)
        return NULL;
    SCOPED(mem_free) char *where =
        pod ? mem_fmt(" (pod: \"%s\", container: %s)", pod, str_or(container, "")) : mem_dup_str("");
    OptInt user = security_pick(sec->run_as_user, pod_sec->run_as_user);
    Err *e = NULL;
    if (user.set && user.v == 0)
        e = err_new(ERR_INVALID, 0, "container's runAsUser breaks non-root policy%s", where);
    else if (!user.set && image_uid < 0 && !str_empty(image_user))
        e = err_new(ERR_INVALID, 0,
                    "container has runAsNonRoot and image has non-numeric user (%.128s), cannot verify user is "
                    "non-root%s",
                    image_user, where);
    else if (!user.set && image_uid <= 0)
        e = err_new(ERR_INVALID, 0, "container has runAsNonRoot and image will run as root%s", where);
    return err_reason(e, "CreateContainerConfigError");
}
