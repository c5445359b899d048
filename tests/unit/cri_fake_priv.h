/* cri_fake_priv.h - shared by the parts of the fake: cri_fake.c has records and events, cri_fake_serve.c the methods, cri_fake_call.c
 * calls and their fates. */
#ifndef REPRISE_TESTS_CRI_FAKE_PRIV_H
#define REPRISE_TESTS_CRI_FAKE_PRIV_H

#include <stdio.h>

#include "base/clock.h"
#include "cri_fake.h"
#include "os/fs.h"
#include "runtime/cri/cri_priv.h"

#define MAX_ITEMS 256

struct FakeCall {
    CriFake *fake;
    CriMethod method;
    GrpcServed *served;
    Str request;
    bool done; /* <answer> is there */
    int code;
    char *text;
    Str answer;
    char *until_exit; /* id: a gentle stop */
};

/* A method: answers into <out>, or returns a code with <ret_text>; -1 = answered when c->until_exit has ended. */
typedef int Serve(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret_text);
extern Serve *const cri_fake_serves[CRI_METHOD_N];

/* Messages that borrow from the records. */
typedef struct {
    Cri__ContainerStatus m;
    Cri__ImageSpec image;
    char log_path[512];
} StatusMessage;
typedef struct {
    Cri__PodSandboxStatus m;
    Cri__PodSandboxNetworkStatus network;
    Cri__LinuxPodSandboxStatus linux_;
    Cri__Namespace ns;
    Cri__NamespaceOption options;
    char ip[16];
} SandboxMessage;
void fake_status_message(const CriFake *f, const FakeContainer *c, StatusMessage *s);
void fake_sandbox_message(const FakeSandbox *x, SandboxMessage *s);

void fake_pack(Str *to, const void *message);
char *fake_text(const char *s); /* for protobuf-c: no NULL, no const */
FakeSandbox *fake_sandbox_make(CriFake *f, const uint8_t *bytes, size_t n);     /* of a packed RunPodSandboxRequest */
FakeContainer *fake_container_make(CriFake *f, const uint8_t *bytes, size_t n); /* CreateContainerRequest */
void fake_sandbox_free(FakeSandbox *s);
void fake_container_free(FakeContainer *c);
void fake_stops_answered(CriFake *f, const char *id);

#endif
