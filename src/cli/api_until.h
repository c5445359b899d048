/* api_until.h - waits for one object of the API: list, then watch, and again when the watch ends. */
#ifndef REPRISE_CLI_API_UNTIL_H
#define REPRISE_CLI_API_UNTIL_H

#include "cli/api_cmd.h"

typedef struct {
    /* <object> NULL: it is not there. true ends it; so does an error in *e. */
    bool (*met)(void *arg, const json_t *object, Err **e);
    void *arg;
    int64_t end_ns; /* of os_monotonic_ns(); NS_NONE = look once */
    const char *notice; /* said on a terminal's stderr when it has to wait; NULL = nothing. Borrowed */
    bool must_be;   /* an object that is not there is an error */
    json_t *last;   /* owned: the object when it was met */
} ApiUntil;
/* <t> has a name; or none: any object of the collection. ERR_TIMEOUT with kubectl's words. */
MUST_USE Err *api_until(const ApiCmd *c, const Target *t, ApiUntil *u);

#endif
