/* shim.h - private to src/shim: the parts of reprise-shim and who calls whom.
 *
 *   server.c     the socket: requests in, replies and events out      (dispatch table: ops.c)
 *   peer.c       the other socket: who asks there gets descriptors, and reads and writes them itself (dispatch table: peer.c)
 *   container.c  one container's life; streams.c its output; trash.c what is left of it
 *   exec.c       commands inside, to their end; exec_stream.c the same with a peer's streams; attach.c peers at a container's own streams
 *   standby.c    a container that was prepared ahead: it waits at the gate, or is created and not started
 *   sandbox.c    the process that holds the Pod's namespaces          (pause.c is that process)
 *   adopt.c      the same state, taken over from a shim that died
 *   child.c      runtime commands, and the end of every process
 *   store.c      what is known, durable
 *
 * One thread, one loop. A handler changes the store, then tells the clients: ctr_set() does both, in that order.
 *
 * Steps that tests can aim at with REPRISE_FAULT=kill@STEP (os/fault.h):
 *   shim.prepare shim.mounted shim.create shim.created shim.standby shim.release shim.start shim.started shim.exit.reaped shim.exit.recorded
 *   shim.kill shim.killed shim.remove shim.removed shim.sandbox.create shim.sandbox.created shim.sandbox.stop
 *   shim.sandbox.remove shim.adopt */
#ifndef REPRISE_SHIM_SHIM_H
#define REPRISE_SHIM_SHIM_H

#include <sys/types.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "os/cgroup.h"
#include "os/spawn.h"
#include "os/podlog.h"
#include "shim/store.h"
#include "wire/json.h"

typedef struct Shim Shim;
typedef struct Ctr Ctr;
typedef struct Sandbox Sandbox;
typedef struct Trash Trash;
typedef struct Client Client;
typedef struct Watch Watch;
typedef struct Cmd Cmd;
typedef struct Peer Peer;
typedef struct Attach Attach;

struct Shim {
    uv_loop_t loop;
    char *uid;
    char *run_dir;   /* <run_dir>/pods/<uid>: socket, journal, bundles, FIFOs, the runtime's state */
    char *root_dir;  /* <root>/pods/<uid>: writable layers */
    char *runtime;   /* absolute path of crun or runc */
    char *gate;      /* absolute path of reprise-gate; NULL = none */
    char *oci_root;  /* <run_dir>/oci, the runtime's --root */
    bool hide_cgroup2;
    CgroupHost cgroups;
    Store store;
    uv_signal_t sigchld;
    uv_pipe_t listener;
    uv_prepare_t flush; /* what was written for the journal and the clients in this turn goes out, in that order */
    uv_timer_t trash_timer, retry_timer, end_timer, settle_timer, reap_timer; /* each with data = the shim */
    Client *clients;
    uint64_t next_client;
    int peer_socket;
    uv_poll_t *peer_listener;
    Peer *peers;
    size_t n_peers;
    Watch *watches;
    Cmd *cmds;
    struct { pid_t pid; int status; } orphans[64]; /* strangers that were reaped, the last of n_orphans */
    size_t n_orphans;
    pid_t *told; /* whose end has been told, to be reaped */
    size_t n_told;
    json_t *strays; /* pids of commands that a dead shim left, for whoever is their parent now */
    Ctr *ctrs;
    Ctr *graves; /* gone for everybody; their descriptors are closed when there is time */
    Sandbox *sandboxes;
    Trash *trash;
    unsigned n_busy;   /* creates and starts under way: rubbish waits for them */
    uint64_t n_files;  /* for unique file names */
    bool ending;
    bool progressing, progress_again; /* sandbox_progress() is not re-entered */
    int lock_fd;
};

/* One line to stderr, which is <run_dir>/shim.log once the shim runs by itself. */
void shim_log(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Logs and frees <e>; NULL is fine. */
void shim_log_err(Err *e, const char *what);
/* Ends the process, and its run directory, when the Pod is gone: no sandbox, no container, no rubbish. Called whenever the
 * last of something or the last client goes. */
void shim_maybe_end(Shim *s);

/* --- child.c: processes ------------------------------------------------------------------------------------------ */

/* known = false: it has ended and nobody can say how. <status> is waitpid()'s. Called once, from the loop; the watch is
 * freed afterwards. */
typedef void WatchDone(void *arg, bool known, int status);
void child_init(Shim *s);
/* Our own child: its end comes from the reaper. */
Watch *watch_child(Shim *s, pid_t pid, WatchDone *done, void *arg);
/* The same, told before it is reaped: that takes the kernel 0.1 ms, and can wait until things are calm. */
Watch *watch_child_early(Shim *s, pid_t pid, WatchDone *done, void *arg);
/* Any process by pidfd, taken. */
Watch *watch_pidfd(Shim *s, int pidfd, pid_t pid, int64_t start_ticks, WatchDone *done, void *arg);
void watch_drop(Shim *s, Watch *w); /* never calls done */
/* Whether <pid> was a child of ours that ended before anybody watched it. */
bool orphan_take(Shim *s, pid_t pid, int *ret_status);

typedef struct {
    const char *const *argv;
    const SpawnFd *fds; /* NULL: output is captured (64 KiB of it), input is empty */
    size_t n_fds;
    bool hide_cgroup2;
    const char *cwd;     /* NULL = ours */
    uint64_t timeout_ms; /* then SIGKILL; 0 = none */
} CmdSpec;
/* <text>: captured output, "" without. */
typedef void CmdDone(void *arg, int status, const char *text);
/* Runs a program that dies with the shim. *ret (may be NULL) is valid until <done>, which comes once, from the loop. */
MUST_USE Err *cmd_run(Shim *s, const CmdSpec *spec, CmdDone *done, void *arg, Cmd **ret);
void cmd_kill(Cmd *c);
pid_t cmd_pid(const Cmd *c);
/* The same for a command of the OCI runtime with its --root: <args> follow. */
MUST_USE Err *runtime_run(Shim *s, const char *const *args, const CmdSpec *base, CmdDone *done, void *arg, Cmd **ret);
/* Blocking; only before the loop serves anybody. Output as with cmd_run; caller frees *ret_text. */
MUST_USE Err *runtime_run_now(Shim *s, const char *const *args, int *ret_status, char **ret_text);
/* What a failed runtime says, without runc's logging dress. Caller frees. */
MUST_USE char *runtime_message(const char *text);
#define RUNTIME_TIMEOUT_MS 120000u /* kubelet's runtimeRequestTimeout: 2 minutes */

/* --- server.c ---------------------------------------------------------------------------------------------------- */

typedef struct Req Req;
struct Req {
    Shim *shim;
    uint64_t client; /* who asked; may be gone by now */
    int64_t id;
    json_t *body;    /* owned */
    Req *next;       /* for whoever keeps a list */
};
/* Both take and free <r>. <ok> (taken) may be NULL. */
void req_ok(Req *r, json_t *ok);
void req_err(Req *r, Err *e);
void req_drop(Req *r); /* never answered */
/* All of a list get a copy of the answer; *list is emptied. <e> taken. */
void reqs_finish(Req **list, Err *e);
MUST_USE Err *server_start(Shim *s);
void server_stop(Shim *s);
void server_tell_set(Shim *s, const char *what, const char *id);
/* Members that have changed; taken. For an object that the clients know. */
void server_tell_merge(Shim *s, const char *what, const char *id, json_t *members);
void server_tell_gone(Shim *s, const char *what, const char *id);
/* ops.c: carries out <r>, taken. */
void ops_dispatch(Req *r);

/* --- container.c ------------------------------------------------------------------------------------------------- */

#define CTR_STATES(X) X(PREPARED, "prepared") X(CREATING, "creating") X(STANDBY, "standby") X(CREATED, "created") X(RUNNING, "running") X(EXITED, "exited")
#define CTR_STATE_ID(n, text) CTR_##n,
typedef enum { CTR_STATES(CTR_STATE_ID) CTR_STATE_N } CtrState;

typedef struct {
    Ctr *ctr;
    uv_poll_t *poll; /* NULL = not being read */
    int fd;          /* read end of the FIFO, or the terminal; -EBADF = ended */
} Stream;

struct Ctr {
    Shim *shim;
    Ctr *next;
    char *id;
    CtrState state;
    pid_t pid;
    int64_t pid_start;
    int pidfd; /* -EBADF = no process */
    Watch *watch;
    PodLog log;
    Stream stream[PODLOG_STREAMS];
    int stdin_fd;       /* keeps the FIFO of stdin open */
    int console;        /* listening socket while the terminal has not come */
    int gate;           /* socket to the gate of a standby, until its program runs; -EBADF = none */
    int go;             /* eventfd that lets it go */
    uv_poll_t *gate_poll;
    int message_fd, oom_fd; /* what its end will be asked: kept open, since to open them then takes long. -EBADF = none */
    bool begin_owed;    /* it was let go, and its log and output are looked after when there is time */
    Attach *attached;   /* peers that get a copy of its output */
    int mnt_ns;         /* keeps the mount namespace over the end of its processes; -EBADF = none */
    bool starting;      /* `start` is under way */
    bool doomed;        /* kill it as soon as it exists */
    bool held;          /* it ended while it was starting: <held_status> waits for the runtime's word */
    bool held_known;
    int held_status;
    unsigned tries;
    Req *create_req, *start_req, *remove_reqs;
};

Ctr *ctr_find(Shim *s, const char *id);
/* The record in the store. Borrowed, never NULL while the container exists. */
json_t *ctr_rec(const Ctr *c);
/* Merges <v> (taken), durable for exits, and tells the clients. */
void ctr_set(Ctr *c, json_t *v, StoreWhen when);
void ctr_set_state(Ctr *c, CtrState state, json_t *v, StoreWhen when);
const char *ctr_state_name(CtrState s);
/* <what> below the bundle directory, and the directory itself for "". Caller frees. */
MUST_USE char *ctr_path(const Shim *s, const char *id, const char *what);
/* The same below the writable layer's directory. */
MUST_USE char *ctr_layer_path(const Shim *s, const char *id, const char *what);
bool ctr_alive(const Ctr *c);
void ctr_open_last(Ctr *c);
Ctr *ctr_new(Shim *s, const char *id, CtrState state); /* links it; the record must be in the store */
void ctr_prepare(Req *r);
void ctr_create(Ctr *c, Req *r);
void ctr_start(Ctr *c, Req *r);
MUST_USE Err *ctr_signal(Ctr *c, int sig);
void ctr_kill(Ctr *c);
void ctr_remove(Ctr *c, Req *r); /* r NULL: nobody waits */
/* Adopting: what the old shim was still making is taken back. */
void ctr_undo(Ctr *c);
/* Adopting: takes over process <pid>, or records its end. */
void ctr_watch(Ctr *c, bool ours);
/* Looks again, in a moment, at removals that wait for killed processes to be gone. */
void shim_retry(Shim *s);
void ctr_on_exit(void *ctr, bool known, int status);
/* Ends <c> as an object: what is left of it becomes rubbish, and whoever waits for its removal is answered. */
void ctr_discard(Ctr *c, bool runtime_knows);
void ctr_bury(Shim *s); /* frees those that are gone */
/* Answers the create request with <e> (taken) and discards <c>. */
void ctr_create_failed(Ctr *c, Err *e);
/* What the create request said about logs, opened; that of a standby has another name until ctr_log_begin(). */
MUST_USE Err *ctr_log_open(Ctr *c);
MUST_USE Err *ctr_log_begin(Ctr *c);
/* ctr_log_begin() and streams_start(), as soon as the news of this turn are out: until then the pipes hold what it says. */
void ctr_begin_later(Ctr *c);
void ctr_begun(Ctr *c);
void ctr_log_drop(Ctr *c); /* of a standby that will never run */
/* Lets the runtime's `start` run a created container. */
void ctr_start_runtime(Ctr *c, Req *r);
/* The program runs since <started_at_ns>: says so, and deals with an end that came meanwhile. */
void ctr_started(Ctr *c, int64_t started_at_ns);

/* standby.c. The numbers are the gate's (src/gate/gate.c). */
#define GATE_PROGRAM_FD 3
#define GATE_SOCKET_FD 4
#define GATE_EVENT_FD 5
#define GATE_FDS 3
#define GATE_ARGV0 "/proc/self/fd/3"
bool ctr_is_standby(const Ctr *c); /* prepared ahead and not let go, in whatever state */
bool ctr_wants_gate(const Ctr *c);
/* Makes what goes between us and the gate, and opens its program: *ret_program and *ret_socket are for the runtime, as is c->go, to
 * be closed by the caller. */
MUST_USE Err *gate_open(Ctr *c, int *ret_program, int *ret_socket);
void gate_close(Ctr *c);
/* The runtime has done its work: the container is a standby, at once or when its gate has said so. */
void standby_made(Ctr *c);
/* Lets a standby go; <r> is answered when its program runs. */
void standby_release(Ctr *c, Req *r);
/* The process of a standby that nobody let go has ended. */
void standby_died(Ctr *c);
/* The process of a standby that was let go has ended, as <held> says: its program's end, or the gate's? */
void standby_settle(Ctr *c);
/* Adopting: the dead shim had let <c> go. Did its program run? */
bool gate_passed(const Ctr *c);

/* rootfs.c */
MUST_USE Err *rootfs_mount(Shim *s, const char *id, const json_t *lower, char **ret_rootfs);
/* Unmounts and removes; a large layer is deleted by a helper process. */
MUST_USE Err *rootfs_remove(Shim *s, const char *id);

/* --- streams.c --------------------------------------------------------------------------------------------------- */

/* Makes the FIFOs in the bundle directory. */
MUST_USE Err *streams_make(Ctr *c);
/* Opens our ends; <fds>: what the runtime gets as 0, 1, 2 (the caller closes). Not for terminals. */
MUST_USE Err *streams_open(Ctr *c, int ret_fds[3]);
/* Everything that lies in the pipes now, as text; used before the container's own program runs. Caller frees. */
MUST_USE char *streams_take(Ctr *c);
void streams_start(Ctr *c);       /* from now on to the log */
void streams_drain(Ctr *c);       /* what lies in the pipes now, bounded, to the log */
MUST_USE Err *streams_adopt(Ctr *c);
void streams_close(Ctr *c);
/* An end of stdin's FIFO for somebody who will write into it. ERR_NOT_FOUND: it has no stdin (any more), or a terminal. */
MUST_USE Err *stdin_open(Ctr *c, int *ret_fd);
/* The first who wrote there is done, and stdinOnce says that nobody comes after him: the container sees the end of its input. */
void stdin_close(Ctr *c);
bool stdin_is_once(const Ctr *c); /* and not with a terminal, which has no such end */
/* Relative to the bundle, where the runtime is started: runtimes know no way round sun_path's 107 bytes. */
#define CONSOLE_SOCKET "tty"
MUST_USE Err *console_listen(Ctr *c);
MUST_USE Err *console_accept(Ctr *c); /* after `create`: takes the terminal */

/* --- the others -------------------------------------------------------------------------------------------------- */

struct Sandbox {
    Shim *shim;
    Sandbox *next;
    char *id;
    pid_t pid;
    int64_t pid_start;
    int pidfd, netns_fd;
    Watch *watch;
    Req *create_req, *stop_reqs, *remove_reqs;
    bool removing;
    int report;        /* socket to the sandbox process while it starts */
    uv_poll_t *report_poll;
};
Sandbox *sandbox_find(Shim *s, const char *id);
void sandbox_create(Req *r);
void sandbox_ready(Sandbox *b, Req *r);
void sandbox_stop(Sandbox *b, Req *r);
void sandbox_remove(Sandbox *b, Req *r);
void sandbox_progress(Shim *s); /* something ended or was removed: go on with stops and removals */
MUST_USE Err *sandbox_adopt(Shim *s, const char *id);
int pause_main(int argc, char **argv);

void exec_run(Ctr *c, Req *r);
/* What `exec --process` takes: the container's own process with other arguments, at <path>. */
MUST_USE Err *exec_process_write(const Ctr *c, const json_t *argv, bool tty, const char *path);
/* Why no command can be run in <c> now; NULL = one can. */
MUST_USE Err *exec_refused(const Ctr *c, const json_t *argv);

/* --- peer.c, exec_stream.c, attach.c: see wire/shimwire.h --------------------------------------------------------- */

/* One connection, for one stream. Its owner hears of what the peer says later, and when it has gone; then the peer is gone, too. */
struct Peer {
    Shim *shim;
    Peer *next;
    int fd;
    uv_poll_t *poll;
    Str in;
    bool asked, closed;
    void *owner; /* NULL = nobody */
    void (*on_frame)(void *owner, const json_t *m);
    void (*on_gone)(void *owner);
};
MUST_USE Err *peers_start(Shim *s);
void peers_stop(Shim *s);
/* Says <m> (taken) and passes <fds>, which stay open here. A peer that cannot be told is as good as gone: its next read will say so. */
void peer_say(Peer *p, json_t *m, const int *fds, size_t n_fds);
void peer_fail(Peer *p, Err *e); /* taken; says it, and closes */
void peer_close(Peer *p);        /* calls nothing */

void exec_stream(Ctr *c, Peer *p, const json_t *body);
void attach_stream(Ctr *c, Peer *p, const json_t *body);
/* <c> has said this. Never waits: a peer that is too far behind is cut off. */
void attach_feed(Ctr *c, PodLogStream which, const char *bytes, size_t n);
void attach_end(Ctr *c); /* it says no more */

struct Trash {
    Shim *shim;
    Trash *next;
    char *id;
    int mnt_ns;   /* the container's mounts go when this is closed; -EBADF = none */
    bool running; /* the runtime's delete is under way */
    unsigned tries;
    int64_t since_ns; /* monotonic */
};
/* Container <id> is history: its remains are cleaned up in the background, also by the next shim. */
void trash_add(Shim *s, const char *id, const char *cgroup, bool runtime_knows, int mnt_ns /* taken */);
void trash_adopt(Shim *s);
void trash_run(Shim *s);

MUST_USE Err *adopt(Shim *s);

#endif
