/* podlog.h - a container's log file in the CRI format, as the kubelet and `kubectl logs` read it:
 *
 *   2026-01-02T15:04:05.123456789Z stdout F a whole line
 *   2026-01-02T15:04:05.123456789Z stderr P the first 16384 bytes of a longer one
 *
 * Rotation as the kubelet does it: <attempt>.log -> <attempt>.log.20260102-150405 (UTC), oldest removed first. A full disk
 * costs log lines, never an exit: what cannot be written is dropped and counted. */
#ifndef REPRISE_OS_PODLOG_H
#define REPRISE_OS_PODLOG_H

#include "base/err.h"
#include "base/str.h"

#define PODLOG_CHUNK 16384 /* containerd's defaultMaxLineSize: longer lines are cut into P pieces */

typedef enum { PODLOG_STDOUT, PODLOG_STDERR, PODLOG_STREAMS } PodLogStream;

typedef struct {
    char *path;
    int fd;
    int64_t size, max_bytes; /* max_bytes 0 = no rotation */
    int max_files;           /* with the current one */
    int64_t last_label_s;    /* of the newest rotated file: labels only grow */
    Str partial[PODLOG_STREAMS]; /* an unfinished line, at most PODLOG_CHUNK bytes */
    uint64_t dropped;        /* bytes that could not be written */
    bool warned;
} PodLog;

/* Appends to <path>, made with its folders (0755, file 0640) when absent. */
MUST_USE Err *podlog_open(PodLog *l, const char *path, int64_t max_bytes, int max_files);
/* The same file under another name of the same folder, from now on. */
MUST_USE Err *podlog_rename(PodLog *l, const char *path);
/* Splits <n> bytes of one stream into lines of <now_ns> and writes those that are complete. */
void podlog_write(PodLog *l, PodLogStream stream, const char *bytes, size_t n, int64_t now_ns);
/* The stream has ended: an unfinished line is written as a full one. */
void podlog_end(PodLog *l, PodLogStream stream, int64_t now_ns);
/* true once, when bytes have been dropped since the log was opened: the caller warns. */
bool podlog_take_warning(PodLog *l);
void podlog_close(PodLog *l); /* unfinished lines are lost; safe on {.fd = -EBADF} */

/* Pure: formats complete lines of <bytes> into <out>; see podlog_write. */
void podlog_split(Str *partial, PodLogStream stream, const char *bytes, size_t n, int64_t now_ns, Str *out);
/* The end of what a log says, for terminationMessagePolicy FallbackToLogsOnError: text of the last <max_lines> lines of CRI
 * log text, at most its last <max_bytes>. The kubelet's limits are 80 and 2048. Caller frees. Pure. */
#define PODLOG_TAIL_LINES 80
#define PODLOG_TAIL_BYTES 2048
MUST_USE char *podlog_tail_text(const char *text, size_t n, size_t max_lines, size_t max_bytes);
/* The same of a log file; "" when it cannot be read. Caller frees. */
MUST_USE char *podlog_tail(const char *path);

/* Rotation by hand, of a log that another process writes. */
/* Renames <log> to <log>.YYYYMMDD-HHMMSS, later than *last_label_s, which it sets; *ret: the new path, caller frees. false: it could not. */
bool podlog_move_away(const char *log, int64_t now_ns, int64_t *last_label_s, char **ret);
/* Removes the oldest rotated files of <log>, their names sort by age, until with the current one there are <max_files>. */
void podlog_prune(const char *log, int max_files);

/* The end of the file that a container wrote its last words to (terminationMessagePath): a file of the Pod's, but what it is made
 * of is the container's choice; nothing is read of what is no plain file. */
#define PODLOG_LAST_WORDS 4096 /* kubelet's MaxContainerTerminationMessageLength */
void podlog_last_words(int fd, Str *out);

#endif
