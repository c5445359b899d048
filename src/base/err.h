/* err.h - one error type for the whole program: kind, errno, story, cause.
 *
 * NULL is success, so there is one channel and nothing to fall out of step. An Err is for what a caller cannot
 * plan for; an expected outcome (not there yet, already gone) is an enum result of its own. Whoever ends the chain
 * prints it, once, with err_text(). */
#ifndef REPRISE_BASE_ERR_H
#define REPRISE_BASE_ERR_H

#include "base/mem.h"

typedef enum {
    ERR_INVALID = 1, /* the input is wrong: a manifest, a flag, a reply that breaks its format */
    ERR_NOT_FOUND,   /* the named thing does not exist */
    ERR_EXISTS,      /* the named thing exists already, or differs from what is asked */
    ERR_LIMIT,       /* a bound was reached: size, count, depth */
    ERR_UNAVAILABLE, /* the other side is not there, or gave up; trying again may help */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_UNSUPPORTED, /* this machine or this build cannot do it */
    ERR_SYS,         /* a system call failed; see sys */
    ERR_BUG,         /* this program is wrong */
} ErrKind;

typedef struct Err Err;
struct Err {
    ErrKind kind;
    int sys;     /* errno where it began; 0 = no system call failed */
    char *what;  /* owned; lower case, names the object, no full stop: it becomes part of a line */
    Err *cause;  /* owned; NULL where it began */
    char reason[48]; /* "" or a Kubernetes reason word (ErrImagePull, CreateContainerError, ...) that a status shows */
};

/* A new error; <sys> is an errno or 0. Never NULL. Caller owns. */
MUST_USE Err *err_new(ErrKind kind, int sys, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts a story in front of <cause> (taken; must not be NULL), keeps its kind, errno and reason. */
MUST_USE Err *err_wrap(Err *cause, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Names the Kubernetes reason that a status shows for <e>; returns <e>. NULL in, NULL out. */
Err *err_reason(Err *e, const char *reason);
/* The whole chain as one line: "start container web: open log: No space left on device". Caller frees. */
MUST_USE char *err_text(const Err *e);
/* The errno where the chain began, 0 if none. */
int err_errno(const Err *e);
/* Go's words for an errno, which Kubernetes' messages carry: "connection refused". Caller frees. */
MUST_USE char *err_go_errno(int sys);
void err_free(Err *e);
SCOPED_FN(err_free, Err *, NULL)

#endif
