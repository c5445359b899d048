/* cri_logs.c - the runtime writes the log files, but who asked for them rotates them (pkg/kubelet/logs/container_log_manager.go): every
 * ten seconds, those of running containers that have grown too large are renamed, and the runtime opens a new file. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "os/fs.h"
#include "os/podlog.h"
#include "runtime/cri/cri_priv.h"

#define LOOK_NS (10 * NS_PER_S) /* containerLogMonitorInterval */
#define FILES   5              /* containerLogMaxFiles */

struct CriLogs {
    CriRuntime *rt;
    uv_timer_t timer;
    int64_t max_bytes, last_label_s;
    int max_files;
};

typedef struct {
    CriRuntime *rt;
    char *path, *moved;
    int max_files;
} Rotation;

static void on_reopened(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Rotation *r = arg;
    (void)code;
    (void)answer;
    if (err && !fs_exists(r->path))
        (void)rename(r->moved, r->path); /* it goes on where it was; the next look tries again */
    else if (!err)
        podlog_prune(r->path, r->max_files);
    err_free(err);
    free(r->path);
    free(r->moved);
    free(r);
}

static void rotate(CriLogs *l, const CriContainer *c)
{
    Rotation *r = NEW(Rotation);
    *r = (Rotation){.rt = l->rt, .path = mem_dup_str(c->fact.log_path), .max_files = l->max_files};
    if (!podlog_move_away(r->path, os_now_ns(), &l->last_label_s, &r->moved)) {
        free(r->path);
        free(r);
        return;
    }
    Cri__ReopenContainerLogRequest q = CRI__REOPEN_CONTAINER_LOG_REQUEST__INIT;
    q.container_id = c->fact.id;
    cri_call(l->rt, CRI_REOPEN_CONTAINER_LOG, &q, NULL, on_reopened, r);
}

static void on_look(uv_timer_t *t)
{
    CriLogs *l = t->data;
    LIST_EACH(p, &l->rt->pods)
        LIST_EACH(c, &(*p)->containers) {
            const ContainerFact *f = &(*c)->fact;
            struct stat st;
            if (f->state == RUN_RUNNING && f->log_path && stat(f->log_path, &st) == 0 && st.st_size > l->max_bytes)
                rotate(l, *c);
        }
}

void cri_logs_start(CriRuntime *rt, const CriRuntimeConfig *config)
{
    uint64_t look_ms = (uint64_t)((config->log_look_ns ? config->log_look_ns : LOOK_NS) / NS_PER_MS);
    if (config->log_max_bytes <= 0)
        return;
    CriLogs *l = rt->logs = NEW(CriLogs);
    *l = (CriLogs){.rt = rt, .timer.data = l, .max_bytes = config->log_max_bytes,
                    .max_files = config->log_max_files ? config->log_max_files : FILES};
    (void)uv_timer_init(rt->loop, &l->timer);
    (void)uv_timer_start(&l->timer, on_look, look_ms, look_ms);
}

static void logs_closed(uv_handle_t *h)
{
    free(h->data);
}

void cri_logs_stop(CriRuntime *rt)
{
    CriLogs *l = MOVE(rt->logs, NULL);
    if (l)
        uv_close((uv_handle_t *)&l->timer, logs_closed);
}
