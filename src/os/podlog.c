#include "os/podlog.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "os/fault.h"
#include "os/fs.h"

static const char *const stream_names[PODLOG_STREAMS] = {"stdout", "stderr"};

static void line_put(Str *out, const char *stamp, PodLogStream stream, char tag, const char *p, size_t n)
{
    str_fmt(out, "%s %s %c ", stamp, stream_names[stream], tag);
    str_add_n(out, p, n);
    str_add_c(out, '\n');
}

void podlog_split(Str *partial, PodLogStream stream, const char *bytes, size_t n, int64_t now_ns, Str *out)
{
    char stamp[CLOCK_TEXT_MAX];
    (void)clock_format(now_ns, 9, stamp);
    while (n > 0) {
        size_t room = PODLOG_CHUNK - partial->n;
        size_t take = n < room ? n : room;
        const char *nl = memchr(bytes, '\n', take);
        if (nl)
            take = (size_t)(nl - bytes);
        str_add_n(partial, bytes, take);
        bytes += take;
        n -= take;
        if (nl || (partial->n == PODLOG_CHUNK && n > 0 && bytes[0] == '\n')) { /* a line of exactly one chunk is whole */
            line_put(out, stamp, stream, 'F', partial->p, partial->n);
            str_clear(partial);
            bytes++;
            n--;
        } else if (partial->n == PODLOG_CHUNK && n > 0) {
            line_put(out, stamp, stream, 'P', partial->p, partial->n);
            str_clear(partial);
        }
    }
}

static Err *file_open(PodLog *l)
{
    l->fd = fault_hit("open") ? -1 : open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (l->fd < 0)
        return err_new(ERR_SYS, errno, "open log %s", l->path);
    struct stat st;
    l->size = fstat(l->fd, &st) == 0 ? (int64_t)st.st_size : 0;
    return NULL;
}

Err *podlog_open(PodLog *l, const char *path, int64_t max_bytes, int max_files)
{
    *l = (PodLog){.path = mem_dup_str(path), .fd = -EBADF, .max_bytes = max_bytes, .max_files = max_files};
    const char *slash = strrchr(path, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(path, slash ? (size_t)(slash - path) : 0);
    Err *e = slash && slash > path ? fs_mkdirs(dir, 0755) : NULL;
    if (!e)
        e = file_open(l);
    if (e)
        podlog_close(l);
    return e;
}

Err *podlog_rename(PodLog *l, const char *path)
{
    if (fault_hit("rename") || rename(l->path, path) < 0)
        return err_new(ERR_SYS, errno, "rename log %s to %s", l->path, path);
    mem_set_str(&l->path, path);
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void podlog_prune(const char *log, int max_files)
{
    const char *slash = strrchr(log, '/');
    const char *base = slash ? slash + 1 : log;
    SCOPED(mem_free) char *dir = slash ? mem_dup_strn(log, (size_t)(slash - log) + 1) : mem_dup_str("./");
    SCOPED(strvec_done) StrVec old = {0};
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (str_starts(e->d_name, base) && e->d_name[strlen(base)] == '.')
            strvec_add(&old, e->d_name);
    (void)closedir(d);
    if (old.n > 1)
        qsort(old.v, old.n, sizeof old.v[0], by_name);
    size_t keep = max_files > 1 ? (size_t)max_files - 1 : 0;
    for (size_t i = 0; i + keep < old.n; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s%s", dir, old.v[i]);
        (void)unlink(path);
    }
}

bool podlog_move_away(const char *log, int64_t now_ns, int64_t *last_label_s, char **ret)
{
    int64_t label_s = now_ns / NS_PER_S;
    if (label_s <= *last_label_s) /* two in one second: the later one borrows the next */
        label_s = *last_label_s + 1;
    time_t t = (time_t)label_s;
    struct tm tm;
    char label[32];
    if (!gmtime_r(&t, &tm) || strftime(label, sizeof label, "%Y%m%d-%H%M%S", &tm) == 0)
        return false;
    char *to = mem_fmt("%s.%s", log, label);
    if (fault_hit("rename") || rename(log, to) < 0) {
        mem_free(to);
        return false;
    }
    *last_label_s = label_s;
    *ret = to;
    return true;
}

static void rotate(PodLog *l, int64_t now_ns)
{
    SCOPED(mem_free) char *to = NULL;
    if (!podlog_move_away(l->path, now_ns, &l->last_label_s, &to))
        return; /* grow on: the next write tries again */
    fd_close(MOVE(l->fd, -EBADF));
    err_free(file_open(l));
    podlog_prune(l->path, l->max_files);
}

static void emit(PodLog *l, const Str *out, int64_t now_ns)
{
    if (out->n == 0)
        return;
    if (l->fd < 0)
        err_free(file_open(l));
    if (l->max_bytes > 0 && l->size > 0 && l->size + (int64_t)out->n > l->max_bytes)
        rotate(l, now_ns);
    size_t done = 0;
    while (l->fd >= 0 && done < out->n) {
        ssize_t n = fault_hit("write") ? -1 : write(l->fd, out->p + done, out->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
        l->size += n;
    }
    if (done < out->n) {
        l->dropped += out->n - done;
        /* Half a line would make the reader stumble over the next one. */
        size_t whole = done;
        while (whole > 0 && out->p[whole - 1] != '\n')
            whole--;
        if (l->fd >= 0 && whole < done && ftruncate(l->fd, l->size - (int64_t)(done - whole)) == 0)
            l->size -= (int64_t)(done - whole);
    }
}

void podlog_write(PodLog *l, PodLogStream stream, const char *bytes, size_t n, int64_t now_ns)
{
    SCOPED(str_done) Str out = {0};
    podlog_split(&l->partial[stream], stream, bytes, n, now_ns, &out);
    emit(l, &out, now_ns);
}

void podlog_end(PodLog *l, PodLogStream stream, int64_t now_ns)
{
    if (l->partial[stream].n > 0)
        podlog_write(l, stream, "\n", 1, now_ns);
}

bool podlog_take_warning(PodLog *l)
{
    bool now = l->dropped > 0 && !l->warned;
    l->warned = l->warned || now;
    return now;
}

void podlog_close(PodLog *l)
{
    fd_close(l->fd);
    mem_free(l->path);
    for (size_t i = 0; i < PODLOG_STREAMS; i++)
        str_done(&l->partial[i]);
    *l = (PodLog){.fd = -EBADF};
}

/* Where the content of the CRI line p..end begins; NULL if it is none. *ret_full: it ends a line. */
static const char *cri_content(const char *p, const char *end, bool *ret_full)
{
    for (int field = 0; field < 2; field++) {
        p = memchr(p, ' ', (size_t)(end - p));
        if (!p)
            return NULL;
        p++;
    }
    if (end - p < 2 || (p[0] != 'F' && p[0] != 'P') || p[1] != ' ')
        return NULL;
    *ret_full = p[0] == 'F';
    return p + 2;
}

char *podlog_tail_text(const char *text, size_t n, size_t max_lines, size_t max_bytes)
{
    const char *begin = text + n;
    for (size_t lines = 0; begin > text; begin--) /* back to the start of the max_lines-th line from the end */
        if (begin[-1] == '\n' && begin != text + n && ++lines == max_lines)
            break;
    Str out = {0};
    for (const char *p = begin; p < text + n;) {
        const char *nl = memchr(p, '\n', (size_t)(text + n - p));
        const char *end = nl ? nl : text + n;
        bool full = false;
        const char *content = cri_content(p, end, &full);
        if (content) {
            str_add_n(&out, content, (size_t)(end - content));
            if (full)
                str_add_c(&out, '\n');
        }
        p = end + 1;
    }
    if (out.n > max_bytes) {
        memmove(out.p, out.p + out.n - max_bytes, max_bytes + 1);
        out.n = max_bytes;
    }
    return str_take(&out);
}

char *podlog_tail(const char *path)
{
    /* 80 lines at their longest would be 1.3 MB; their last 2048 bytes are in far less. */
    enum { READ_BYTES = 4 * PODLOG_CHUNK };
    SCOPED(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return mem_dup_str("");
    off_t from = st.st_size > READ_BYTES ? st.st_size - READ_BYTES : 0;
    SCOPED(mem_free) char *buf = mem_alloc(READ_BYTES);
    ssize_t n = pread(fd, buf, READ_BYTES, from);
    if (n <= 0)
        return mem_dup_str("");
    const char *p = buf;
    if (from > 0) { /* the first line is cut: leave it out */
        p = memchr(buf, '\n', (size_t)n);
        p = p ? p + 1 : buf + n;
    }
    return podlog_tail_text(p, (size_t)(buf + n - p), PODLOG_TAIL_LINES, PODLOG_TAIL_BYTES);
}

void podlog_last_words(int fd, Str *out)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    char buf[PODLOG_LAST_WORDS];
    ssize_t n = pread(fd, buf, sizeof buf, st.st_size > PODLOG_LAST_WORDS ? st.st_size - PODLOG_LAST_WORDS : 0);
    if (n > 0)
        str_add_n(out, buf, (size_t)n);
}
