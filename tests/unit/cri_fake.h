/* cri_fake.h - a CRI runtime in the test's own process and on its loop, without containers: sandboxes and containers are records in
 * memory that a test reads and changes. It is as strict as containerd where the agent depends on it: names are reserved, ids are never
 * used again, lists are filtered. Each call's fate can be chosen: failed, done but its answer lost, held back and let go in any order. */
#ifndef REPRISE_TESTS_CRI_FAKE_H
#define REPRISE_TESTS_CRI_FAKE_H

#include <uv.h>

#include "api/codec.h"
#include "grpc/server.h"
#include "runtime/cri/cri.pb-c.h"
#include "runtime/cri/methods.h"

typedef enum {
    FATE_SERVE,
    FATE_FAIL,       /* not done; answered with the rule's code and text */
    FATE_FAIL_AFTER, /* done, and answered so all the same */
    FATE_HOLD,       /* done; the answer, made now, waits for cri_fake_release() */
    FATE_HOLD_FIRST, /* neither done nor answered before that */
    FATE_TWICE,      /* done; answered two times */
    FATE_GARBAGE,    /* done; the answer is no message */
    FATE_LOSE,       /* done; then the connection is lost */
    FATE_LOSE_FIRST  /* not done, and the connection is lost */
} Fate;

typedef struct {
    char *id, ip[16];
    Cri__RunPodSandboxRequest *made; /* owned; ->config is what it was made from */
    Cri__PodSandboxState state;
    int64_t created_at;
} FakeSandbox;

typedef struct {
    char *id;
    Cri__CreateContainerRequest *made; /* owned */
    Cri__ContainerState state;
    int64_t created_at, started_at, finished_at;
    int32_t exit_code;
    const char *reason, *message; /* borrowed, NULL = "" */
    const char *start_error;      /* StartContainer fails with it */
    bool ends_at_once;            /* it ends within StartContainer, with exit_code */
    unsigned starts, terms, kills;
} FakeContainer;

typedef struct { const char *name, *id; bool here; int64_t uid; /* -1 = names <user> */ const char *user; bool vanishes; /* after a pull */ } FakeImage;

typedef struct FakeCall FakeCall;
typedef struct { CriMethod method; unsigned skip; Fate fate; int code; const char *text; bool always; } FakeRule;
enum { FAKE_CRI_EVENTS = 1, FAKE_TASK_EVENTS = 2 };
enum { FAKE_RECORD = 1, FAKE_EVENT = 2 };

typedef struct {
    uv_loop_t *loop;
    char dir[32], *socket, *endpoint;
    GrpcServer *server;
    LIST_OF(FakeSandbox *) sandboxes;
    LIST_OF(FakeContainer *) containers;
    LIST_OF(FakeCall *) held; /* oldest first */
    LIST_OF(FakeRule) rules;
    LIST_OF(GrpcServed *) cri_streams, task_streams;
    unsigned streams; /* FAKE_*_EVENTS that it has; others are UNIMPLEMENTED */
    bool quiet;       /* tells nothing by itself */
    bool hold_all;
    bool old_api, systemd, no_runtime_config, not_ready, no_stop_signal;
    int64_t now_ns;
    unsigned serial;
    unsigned calls[CRI_METHOD_N];
    ProtobufCMessage *last[CRI_METHOD_N]; /* owned */
    unsigned reserved;                    /* requests for a name that was taken */
    unsigned unlabelled_lists;
    const FakeImage *images;
    size_t n_images;
    StrVec pulls; /* "image user" of each */
    const char *exec_out, *exec_err;
    int32_t exec_code;
    char *taskfilter;
} CriFake;

/* With a socket in a new folder; not listening yet. */
void cri_fake_init(CriFake *f, uv_loop_t *loop);
void cri_fake_done(CriFake *f);
void cri_fake_up(CriFake *f);
void cri_fake_down(CriFake *f); /* what is held is forgotten; the records stay */

/* The call of <m> after <skip> others has this fate, once. */
void cri_fake_rule(CriFake *f, CriMethod m, unsigned skip, Fate fate, int code, const char *text);
/* All of them, until the end of the test. */
void cri_fake_always(CriFake *f, CriMethod m, Fate fate, int code, const char *text);
unsigned cri_fake_held(const CriFake *f, CriMethod m);
/* Answers the oldest held call of <m>; false: there is none. */
bool cri_fake_release(CriFake *f, CriMethod m);
void cri_fake_release_at(CriFake *f, size_t i); /* of f->held */
void cri_fake_release_all(CriFake *f);

/* A sandbox, a container as somebody else would make them. Labels: Pod uid and root; root NULL = none. */
FakeSandbox *cri_fake_add_sandbox(CriFake *f, const char *uid, const char *root);
FakeContainer *cri_fake_add_container(CriFake *f, FakeSandbox *s, const char *name, Cri__ContainerState state, const char *root);
FakeContainer *cri_fake_container(const CriFake *f, const char *id);
FakeContainer *cri_fake_named(const CriFake *f, const char *name); /* the newest */
FakeSandbox *cri_fake_sandbox(const CriFake *f, const char *id);

/* <how>: FAKE_RECORD, FAKE_EVENT or both. */
void cri_fake_start(CriFake *f, FakeContainer *c, unsigned how);
void cri_fake_exit(CriFake *f, FakeContainer *c, int32_t code, unsigned how);
void cri_fake_oom(CriFake *f, const char *id);
void cri_fake_sandbox_dies(CriFake *f, FakeSandbox *s, unsigned how);
void cri_fake_remove(CriFake *f, FakeContainer *c, unsigned how); /* <c> is gone */
void cri_fake_cri_event(CriFake *f, const char *id, Cri__ContainerEventType type);

/* Its status as it would be told now: packed. */
uint8_t *cri_fake_status(const CriFake *f, const FakeContainer *c, size_t *ret_n);

#endif
