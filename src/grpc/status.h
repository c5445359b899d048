/* status.h - gRPC status codes and what they mean here (grpc/doc/statuscodes.md). Pure. */
#ifndef REPRISE_GRPC_STATUS_H
#define REPRISE_GRPC_STATUS_H

#include "base/err.h"
#include "base/str.h"

enum {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16
};

/* As grpc-go prints it: "NotFound"; "Code(99)" for what is none. buf: at least 24 bytes; returns buf or a constant. */
const char *grpc_code_name(int code, char *buf);
/* The one clear error of a status: "rpc error: code = NotFound desc = an error occurred ..." (grpc-go's words, which
 * the kubelet's messages carry), with the kind that fits the code. NULL for GRPC_OK. */
MUST_USE Err *grpc_status_err(int code, const char *message);

#define GRPC_STATUS_TEXT_MAX 4096u /* bytes of a grpc-message that are kept */
/* Appends <n> bytes of a grpc-message header: percent-decoded, one line of valid UTF-8. Control characters become
 * blanks, since it goes into events and logs; what is no UTF-8 becomes "?". */
void grpc_message_decode(Str *to, const char *v, size_t n);
/* Appends <text> percent-encoded, as a header may carry it. */
void grpc_message_encode(Str *to, const char *text);

#endif
