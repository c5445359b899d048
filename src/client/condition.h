/* condition.h - what `reprise wait` waits for (kubectl's pkg/cmd/wait). Pure. */
#ifndef REPRISE_CLIENT_CONDITION_H
#define REPRISE_CLIENT_CONDITION_H

#include "client/jsonpath.h"

typedef enum { WAIT_CREATE, WAIT_DELETE, WAIT_CONDITION, WAIT_JSONPATH } WaitKind;
typedef struct {
    WaitKind kind;
    char *type, *status; /* WAIT_CONDITION: "Ready", "true"; compared without case */
    JsonPath *path;      /* WAIT_JSONPATH */
    char *value;         /* NULL = any */
} WaitFor;
/* "create", "delete", "condition=TYPE[=STATUS]", "jsonpath=PATH[=VALUE]". ERR_INVALID. */
MUST_USE Err *wait_parse(const char *text, WaitFor *ret);
void wait_done(WaitFor *f);
/* <object> NULL: it is not there. ERR_INVALID: the path leads to several values, or to no plain one. */
MUST_USE Err *wait_met(const WaitFor *f, const json_t *object, bool *ret);

#endif
