/* log.h - structured lines on stderr, logfmt or JSON: ts, level, msg, then what the caller names (pod, uid, container, reason, ...). */
#ifndef REPRISE_DAEMON_LOG_H
#define REPRISE_DAEMON_LOG_H

#include "base/err.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } LogLevel;
typedef enum { LOG_LOGFMT, LOG_JSON } LogFormat;
extern const char *const log_level_names[];  /* NULL-terminated, as are the next */
extern const char *const log_format_names[];

typedef struct {
    LogFormat format;
    LogLevel level; /* lines below it are left out */
} Log;

typedef struct { const char *key, *value; } LogField; /* value NULL = left out */
/* One line, in one write(). <ts_ns>: when it happened. */
void log_line(const Log *l, LogLevel level, int64_t ts_ns, const char *msg, const LogField *fields, size_t n);
/* LOG(l, LOG_INFO, "pod added", {"pod", name}, {"uid", uid}); */
#define LOG(l, level, msg, ...)                                                                                        \
    log_line(l, level, os_now_ns(), msg, (const LogField[]){__VA_ARGS__}, sizeof((const LogField[]){__VA_ARGS__}) / sizeof(LogField))
/* Logs <e> under "err" and frees it. */
void log_error(const Log *l, const char *msg, const char *pod, Err *e);
/* The line without a newline, as it would be written; caller frees. Pure. */
MUST_USE char *log_text(const Log *l, LogLevel level, int64_t ts_ns, const char *msg, const LogField *fields, size_t n);

/* So many lines at once, then one a second: what loops cannot fill a disk. */
#define LOG_BURST 25
typedef struct {
    bool begun;
    int64_t tokens_ns, last_ns; /* a token is NS_PER_S */
    uint64_t left_out;          /* since the last line that was let through */
} LogRate;
/* May this line go out? Then *ret_left_out is how many before it could not. Pure. */
bool log_rate(LogRate *r, int64_t now_ns, uint64_t *ret_left_out);

#endif
