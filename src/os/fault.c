#include "os/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

/* One armed fault a process is enough: tests run the program once for each. */
static struct {
    bool ready; /* the environment was read */
    bool armed, hit;
    char call[24];
    unsigned left; /* fails when it reaches 0 */
    int err;
    char kill_step[64];
} fault;

static const struct {
    const char *name;
    int err;
} errnos[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE}, {"EROFS", EROFS},
              {"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"ENOENT", ENOENT}, {"EPERM", EPERM},   {"EBUSY", EBUSY},
              {"ESRCH", ESRCH},   {"EPIPE", EPIPE},   {"ECONNREFUSED", ECONNREFUSED}};

static void fault_read_env(void)
{
    fault.ready = true;
    const char *spec = getenv("REPRISE_FAULT");
    if (!spec)
        return;
    if (str_starts(spec, "kill@")) {
        (void)snprintf(fault.kill_step, sizeof fault.kill_step, "%s", spec + 5);
        return;
    }
    char call[24], name[24];
    unsigned nth;
    if (sscanf(spec, "%23[^:]:%u:%23s", call, &nth, name) != 3)
        return;
    for (size_t i = 0; i < ARRAY_LEN(errnos); i++)
        if (strcmp(errnos[i].name, name) == 0)
            fault_arm(call, nth, errnos[i].err);
}

void fault_arm(const char *call, unsigned nth, int err)
{
    fault.ready = true;
    fault.armed = nth > 0;
    fault.hit = false;
    (void)snprintf(fault.call, sizeof fault.call, "%s", call);
    fault.left = nth;
    fault.err = err;
}

bool fault_disarm(void)
{
    fault.armed = false;
    return fault.hit;
}

bool fault_hit(const char *call)
{
    if (!fault.ready)
        fault_read_env();
    if (!fault.armed || (fault.call[0] && strcmp(fault.call, call) != 0))
        return false;
    if (--fault.left > 0)
        return false;
    fault.armed = false; /* once: what is tested is the way out, not a broken machine */
    fault.hit = true;
    errno = fault.err;
    return true;
}

void fault_step(const char *step)
{
    if (!fault.ready)
        fault_read_env();
    if (fault.kill_step[0] && strcmp(fault.kill_step, step) == 0)
        (void)kill(getpid(), SIGKILL);
}
