#include "agent/intents.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"

#define RESERVE_BYTES (64 * 1024) /* taken ahead, so that a disk that fills up is noticed before it matters */
#define FILE_MAX ((size_t)16 << 20)

struct Intents {
    char *dir, *path;
    int fd;
    int64_t size, reserved;
    unsigned under_way; /* restarts begun here and not ended */
    uv_loop_t *loop;
    uv_fs_t sync;
    uint64_t begun, syncing, durable; /* sequence numbers of intents; syncing: 0 = no fdatasync is under way */
    IntentsDone *done;
    void *arg;
    bool closed;
};

Intents *intents_open(const char *root, uv_loop_t *loop)
{
    const char *boot = os_boot_id();
    Intents *x = NEW(Intents);
    *x = (Intents){.dir = mem_fmt("%s/intents", root), .fd = -EBADF, .loop = loop};
    x->path = mem_fmt("%s/%s.%d", x->dir, boot, (int)getpid());
    return x;
}

static void intents_free(Intents *x)
{
    fd_close(x->fd);
    mem_free(x->dir);
    mem_free(x->path);
    mem_free(x);
}

void intents_close(Intents *x, bool keep)
{
    if (!x)
        return;
    if (x->fd >= 0 && !keep)
        (void)unlink(x->path);
    x->closed = true;
    if (!x->syncing) /* else when that has returned */
        intents_free(x);
}

static Err *make_file(Intents *x)
{
    Err *e = fs_mkdirs(x->dir, 0700);
    if (e)
        return e;
    x->fd = fault_hit("open") ? -1 : open(x->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (x->fd < 0)
        return err_new(ERR_SYS, errno, "create %s", x->path);
    x->size = x->reserved = 0;
    return fs_sync_dir_of(x->path);
}

/* The room for a line is taken before it is needed, and in the file system's own blocks. */
static Err *reserve(Intents *x)
{
    if (x->size + 4096 <= x->reserved)
        return NULL;
    if (fallocate(x->fd, FALLOC_FL_KEEP_SIZE, x->size, RESERVE_BYTES) < 0 && errno != EOPNOTSUPP)
        return err_new(ERR_SYS, errno, "reserve room in %s", x->path);
    x->reserved = x->size + RESERVE_BYTES;
    return NULL;
}

static Err *append(Intents *x, const Str *line)
{
    ssize_t n = fault_hit("write") ? -1 : write(x->fd, line->p, line->n);
    if (n == (ssize_t)line->n) {
        x->size += n;
        return NULL;
    }
    int error = n < 0 ? errno : ENOSPC;
    if (n > 0) /* half a line would swallow the next */
        (void)!ftruncate(x->fd, x->size);
    return err_new(ERR_SYS, error, "write %s", x->path);
}

Err *intents_begin(Intents *x, const char *uid, int64_t restarts, const char *message, uint64_t *ret_seq)
{
    Err *e = x->fd < 0 ? make_file(x) : NULL;
    if (!e && !x->under_way && x->size > RESERVE_BYTES / 2 && ftruncate(x->fd, 0) == 0)
        x->size = x->reserved = 0;
    if (!e)
        e = reserve(x);
    if (e)
        return e;
    SCOPED(str_done) Str line = {0};
    str_fmt(&line, "begin %s %lld ", uid, (long long)restarts);
    for (; *message; message++)
        str_add_c(&line, *message == '\n' ? ' ' : *message);
    str_add_c(&line, '\n');
    e = append(x, &line);
    if (e)
        return e;
    x->under_way++;
    *ret_seq = ++x->begun;
    return NULL;
}

void intents_end(Intents *x, const char *uid, int64_t restarts)
{
    if (x->fd < 0 || !x->under_way)
        return;
    SCOPED(str_done) Str line = {0};
    str_fmt(&line, "end %s %lld\n", uid, (long long)restarts);
    err_free(append(x, &line));
    x->under_way--;
}

static void sync_begin(Intents *x);

static void on_synced(uv_fs_t *req)
{
    Intents *x = req->data;
    int error = req->result < 0 ? (int)-req->result : 0;
    uv_fs_req_cleanup(req);
    x->durable = x->syncing;
    x->syncing = 0;
    if (x->closed) {
        intents_free(x);
        return;
    }
    if (!error)
        fault_step("restart.durable");
    if (x->begun > x->durable)
        sync_begin(x);
    x->done(x->arg, error ? err_new(ERR_SYS, error, "fsync %s", x->path) : NULL);
}

/* libuv has a thread for it: what a disk takes (0.3 to 9 ms here), the loop cannot wait. */
static void sync_begin(Intents *x)
{
    x->syncing = x->begun;
    x->sync.data = x;
    int fd = fault_hit("fsync") ? -1 : x->fd; /* fails with EBADF */
    (void)uv_fs_fdatasync(x->loop, &x->sync, fd, on_synced);
}

void intents_commit(Intents *x, IntentsDone *done, void *arg)
{
    x->done = done;
    x->arg = arg;
    if (x->begun > x->durable && !x->syncing)
        sync_begin(x);
}

uint64_t intents_durable(const Intents *x)
{
    return x->durable;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

bool intents_read(const char *text, const char *uid, int64_t *ret_restarts, char **ret_message)
{
    bool pending = false;
    size_t n_uid = strlen(uid);
    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
        bool begin = strncmp(p, "begin ", 6) == 0;
        const char *u = p + (begin ? 6 : 4);
        if ((!begin && strncmp(p, "end ", 4) != 0) || strncmp(u, uid, n_uid) != 0 || u[n_uid] != ' ')
            continue;
        char *rest;
        long long restarts = strtoll(u + n_uid, &rest, 10);
        if (restarts < 0 || rest == u + n_uid || rest > end)
            continue;
        if (!begin) {
            pending = pending && restarts < *ret_restarts;
            continue;
        }
        pending = true;
        *ret_restarts = restarts;
        mem_free(*ret_message);
        rest += *rest == ' ';
        *ret_message = mem_dup_strn(rest, (size_t)(end - rest));
    }
    if (!pending) {
        mem_free(*ret_message);
        *ret_message = NULL;
    }
    return pending;
}

/* Is <name> the file of an agent that lives? */
static bool of_the_living(const char *name)
{
    const char *dot = strchr(name, '.');
    int64_t pid;
    return str_starts(name, os_boot_id()) && dot && str_to_i64(dot + 1, &pid) && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Calls fn for the path and the text of each file, or of those that an agent has left, until it returns true. */
static bool each_file(const char *root, bool left_only, bool (*fn)(void *arg, const char *path, const char *text), void *arg)
{
    SCOPED(mem_free) char *dir = mem_fmt("%s/intents", root);
    DIR *d = opendir(dir);
    struct dirent *ent;
    bool done = false;
    while (d && !done && (ent = readdir(d)) != NULL) {
        if (ent->d_name[0] == '.' || (left_only && of_the_living(ent->d_name)))
            continue;
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, ent->d_name);
        SCOPED(str_done) Str text = {0};
        Err *e = fs_read(path, FILE_MAX, &text);
        done = !e && fn(arg, path, text.p);
        err_free(e);
    }
    if (d)
        (void)closedir(d);
    return done;
}

typedef struct {
    const char *uid;
    int64_t *restarts;
    char **message;
} Wanted;

static bool is_pending(void *arg, const char *path, const char *text)
{
    const Wanted *w = arg;
    (void)path;
    return intents_read(text, w->uid, w->restarts, w->message);
}

bool intents_pending(const char *root, const char *uid, int64_t *ret_restarts, char **ret_message)
{
    *ret_message = NULL;
    return each_file(root, false, is_pending, &(Wanted){uid, ret_restarts, ret_message});
}

typedef struct {
    bool (*known)(void *arg, const char *uid);
    void *arg;
} Known;

static bool drop_if_done(void *arg, const char *path, const char *text)
{
    const Known *k = arg;
    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
        if (strncmp(p, "begin ", 6) != 0)
            continue;
        SCOPED(mem_free) char *uid = mem_dup_strn(p + 6, strcspn(p + 6, " \n"));
        SCOPED(mem_free) char *message = NULL;
        int64_t restarts;
        if (k->known(k->arg, uid) && intents_read(text, uid, &restarts, &message))
            return false;
    }
    (void)unlink(path);
    return false;
}

void intents_sweep(const char *root, bool (*known)(void *arg, const char *uid), void *arg)
{
    (void)each_file(root, true, drop_if_done, &(Known){known, arg});
}
