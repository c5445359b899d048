/* node/atomic_writer.c: whole versions, also when the writer dies half-way. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#include "node/atomic_writer.h"
#include "os/fault.h"
#include "unit/volumes_world.h"

static char *dir_new(void)
{
    static unsigned n;
    char *dir = mem_fmt("%s/%u", world, n++);
    put_dir(dir);
    return dir;
}

static char *text_at(const char *dir, const char *rel)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, rel);
    return file_text(path);
}

#define CHECK_AT(dir, rel, want)                                                                                       \
    do {                                                                                                               \
        SCOPED(mem_free) char *text_ = text_at(dir, rel);                                                              \
        CHECK_STR(text_, want);                                                                                        \
    } while (0)

static void put(Payload *p, const char *path, const char *text)
{
    payload_put(p, path, text, strlen(text), 0640);
}

/* Everything that starts with "..", but ".." itself. */
static size_t reserved_names(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    struct dirent *ent;
    while (d && (ent = readdir(d)))
        n += str_starts(ent->d_name, "..") && ent->d_name[2];
    if (d)
        (void)closedir(d);
    return n;
}

static void test_layout(void)
{
    SCOPED(mem_free) char *dir = dir_new();
    SCOPED(payload_done) Payload p = {0};
    put(&p, "b", "1");
    put(&p, "sub/x/deep", "2");
    put(&p, "sub//y", "3");
    put(&p, "./a", "old");
    put(&p, "a", "4");
    put(&p, "empty", "");
    CHECK_OK(atomic_write(dir, &p, NULL, NULL));
    CHECK_AT(dir, "a", "4"); /* of one path given twice, the later */
    CHECK_AT(dir, "b", "1");
    CHECK_AT(dir, "sub/x/deep", "2");
    CHECK_AT(dir, "sub/y", "3");
    CHECK_AT(dir, "empty", "");
    SCOPED(mem_free) char *names = names_in(dir), *link = mem_fmt("%s/sub", dir), *data = mem_fmt("%s/..data", dir);
    CHECK_STR(names, "a b empty sub");
    char to[PATH_MAX] = "";
    CHECK(readlink(link, to, sizeof to - 1) > 0);
    CHECK_STR(to, "..data/sub");
    memset(to, 0, sizeof to);
    CHECK(readlink(data, to, sizeof to - 1) > 0);
    int y, mo, d, h, mi, s;
    char rest[64];
    CHECK_INT(sscanf(to, "..%4d_%2d_%2d_%2d_%2d_%2d.%63s", &y, &mo, &d, &h, &mi, &s, rest), 7);
    SCOPED(mem_free) char *version = mem_fmt("%s/%s", dir, to), *file = mem_fmt("%s/b", version),
                          *sub = mem_fmt("%s/sub/x", version);
    CHECK_INT(mode_of(version), 0755);
    CHECK_INT(mode_of(sub), 0755);
    CHECK_INT(mode_of(file), 0640);
    CHECK_INT(reserved_names(dir), 2);
}

static void test_update(void)
{
    SCOPED(mem_free) char *dir = dir_new(), *data = mem_fmt("%s/..data", dir);
    SCOPED(payload_done) Payload p1 = {0}, p2 = {0}, p3 = {0};
    put(&p1, "stay", "1");
    put(&p1, "go", "1");
    put(&p1, "sub-x", "1");
    put(&p1, "sub/one", "1");
    put(&p1, "sub/two", "1");
    CHECK_OK(atomic_write(dir, &p1, NULL, NULL));
    char first[PATH_MAX] = "", again[PATH_MAX] = "";
    CHECK(readlink(data, first, sizeof first - 1) > 0);
    CHECK_OK(atomic_write(dir, &p1, NULL, NULL)); /* the same bytes: the same version */
    CHECK(readlink(data, again, sizeof again - 1) > 0);
    CHECK_STR(again, first);

    put(&p2, "stay", "2");
    put(&p2, "sub/two", "2");
    CHECK_OK(atomic_write(dir, &p2, NULL, NULL));
    SCOPED(mem_free) char *names = names_in(dir);
    CHECK_STR(names, "stay sub");
    CHECK_AT(dir, "stay", "2");
    CHECK_AT(dir, "sub/two", "2");
    CHECK_AT(dir, "sub/one", NULL);
    CHECK_INT(reserved_names(dir), 2);

    CHECK_OK(atomic_write(dir, &p3, NULL, NULL)); /* nothing left to show */
    SCOPED(mem_free) char *none = names_in(dir);
    CHECK_STR(none, "");
    CHECK_INT(reserved_names(dir), 2);
}

/* A file removed from the payload alone is a change, too. */
static void test_removal_only(void)
{
    SCOPED(mem_free) char *dir = dir_new();
    SCOPED(payload_done) Payload p1 = {0}, p2 = {0};
    put(&p1, "a", "1");
    put(&p1, "b", "1");
    put(&p2, "a", "1");
    CHECK_OK(atomic_write(dir, &p1, NULL, NULL));
    CHECK_OK(atomic_write(dir, &p2, NULL, NULL));
    CHECK_AT(dir, "a", "1");
    CHECK_AT(dir, "..data/b", NULL);
    SCOPED(mem_free) char *names = names_in(dir);
    CHECK_STR(names, "a");
}

static void test_paths(void)
{
    SCOPED(mem_free) char *name255 = mem_alloc(256), *name256 = mem_alloc(257), *longest = mem_alloc(4098);
    memset(name255, 'n', 255);
    memset(name256, 'n', 256);
    for (int i = 0; i < 4097; i++)
        longest[i] = i % 2 ? '/' : 'a';
    const struct { const char *path, *want; } rows[] = {
        {"a", ""}, {"a/b", ""}, {"a..b", ""}, {"a/..b", ""}, {"a/...", ""}, {name255, ""}, {".a", ""},
        {"", "invalid path: must not be empty: \"\""},
        {"/a", "invalid path: must be relative path: /a"},
        {"..", "invalid path: must not contain '..': .."},
        {"a/..", "invalid path: must not contain '..': a/.."},
        {"a/../b", "invalid path: must not contain '..': a/../b"},
        {"..a", "invalid path: must not start with '..': ..a"},
        {"..data", "invalid path: must not start with '..': ..data"},
        {"..a/b", "invalid path: must not start with '..': ..a/b"},
        {name256, "invalid path: filenames must be less than or equal to 255 characters"},
        {longest, "invalid path: must be less than or equal to 4096 characters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = error_text(payload_path_check(rows[i].path));
        CHECK_STR(got, rows[i].want);
    }
    static const char *const refused[] = {".", "./", "./..data", "//..x"};
    SCOPED(mem_free) char *dir = dir_new();
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        SCOPED(payload_done) Payload p = {0};
        put(&p, refused[i], "x");
        SCOPED(err_free) Err *e = atomic_write(dir, &p, NULL, NULL);
        CHECK(e != NULL && e->kind == ERR_INVALID);
    }
    CHECK_INT(reserved_names(dir), 0);
}

/* "a" cannot be a file and a directory; what was shown before stays. */
static void test_conflict(void)
{
    SCOPED(mem_free) char *dir = dir_new();
    SCOPED(payload_done) Payload good = {0}, bad = {0};
    put(&good, "a", "1");
    put(&bad, "a", "2");
    put(&bad, "a/b", "2");
    CHECK_OK(atomic_write(dir, &good, NULL, NULL));
    SCOPED(err_free) Err *e = atomic_write(dir, &bad, NULL, NULL);
    CHECK(e != NULL);
    CHECK_AT(dir, "a", "1");
    CHECK_INT(reserved_names(dir), 2);
}

/* A ..data that leads elsewhere was not made by us: it is neither followed nor cleaned up. */
static void test_foreign_data_link(void)
{
    SCOPED(mem_free) char *dir = dir_new(), *other = dir_new(), *kept = mem_fmt("%s/keep", other),
                          *data = mem_fmt("%s/..data", dir);
    put_file(kept, "mine");
    CHECK(symlink(other, data) == 0);
    SCOPED(payload_done) Payload p = {0};
    put(&p, "a", "1");
    CHECK_OK(atomic_write(dir, &p, NULL, NULL));
    CHECK_AT(dir, "a", "1");
    CHECK_AT(other, "keep", "mine");
}

static Err *owner_fails(void *arg, const char *path)
{
    (void)arg;
    return err_new(ERR_SYS, EPERM, "chown %s", path);
}

static void test_owner_failure_keeps_old(void)
{
    SCOPED(mem_free) char *dir = dir_new();
    SCOPED(payload_done) Payload p1 = {0}, p2 = {0};
    put(&p1, "a", "1");
    put(&p2, "a", "2");
    CHECK_OK(atomic_write(dir, &p1, NULL, NULL));
    SCOPED(err_free) Err *e = atomic_write(dir, &p2, owner_fails, NULL);
    CHECK_INT(err_errno(e), EPERM);
    CHECK_AT(dir, "a", "1");
    CHECK_INT(reserved_names(dir), 2);
}

static void fill(Payload *p, const char *text)
{
    put(p, "a", text);
    put(p, "sub/b", text);
}

/* Old or new, and never a mix. */
static bool shows_whole(const char *dir)
{
    SCOPED(mem_free) char *a = text_at(dir, "a"), *b = text_at(dir, "sub/b");
    return a && str_eq(a, b) && (str_eq(a, "old") || str_eq(a, "new"));
}

static void test_every_call_fails_in_turn(void)
{
    unsigned n = 1;
    for (;; n++) {
        SCOPED(mem_free) char *dir = dir_new();
        SCOPED(payload_done) Payload p1 = {0}, p2 = {0};
        fill(&p1, "old");
        fill(&p2, "new");
        CHECK_OK(atomic_write(dir, &p1, NULL, NULL));
        fault_arm("", n, EIO);
        SCOPED(err_free) Err *e = atomic_write(dir, &p2, NULL, NULL);
        bool hit = fault_disarm();
        CHECK(shows_whole(dir));
        CHECK_OK(atomic_write(dir, &p2, NULL, NULL));
        CHECK_AT(dir, "a", "new");
        CHECK_INT(reserved_names(dir), 2);
        if (!hit)
            break;
    }
    CHECK(n > 8);
}

/* The program started again as the writer that dies: see test_killed(). */
__attribute__((constructor)) static void child_writer(void)
{
    const char *dir = getenv("ATOMIC_WRITER_DIR");
    if (!dir)
        return;
    SCOPED(payload_done) Payload p = {0};
    fill(&p, "new");
    err_free(atomic_write(dir, &p, NULL, NULL));
    _exit(3);
}

static void test_killed(void)
{
    static const struct { const char *fault, *shown; } rows[] = {
        {"kill@volume.written", "old"}, {"kill@volume.swapped", "new"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *dir = dir_new();
        SCOPED(payload_done) Payload p1 = {0}, p2 = {0};
        fill(&p1, "old");
        put(&p1, "gone", "old");
        fill(&p2, "new");
        put(&p2, "fresh", "new");
        CHECK_OK(atomic_write(dir, &p1, NULL, NULL));
        pid_t pid = fork();
        if (pid == 0) {
            (void)setenv("ATOMIC_WRITER_DIR", dir, 1);
            (void)setenv("REPRISE_FAULT", rows[i].fault, 1);
            (void)execl("/proc/self/exe", "writer", (char *)NULL);
            _exit(4);
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK_AT(dir, "a", rows[i].shown);
        CHECK_AT(dir, "sub/b", rows[i].shown);
        CHECK(reserved_names(dir) > 2); /* it did die half-way */
        CHECK_OK(atomic_write(dir, &p2, NULL, NULL));
        CHECK_AT(dir, "a", "new");
        CHECK_AT(dir, "fresh", "new");
        CHECK_INT(reserved_names(dir), 2);
        SCOPED(mem_free) char *names = names_in(dir);
        CHECK_STR(names, "a fresh sub");
    }
}

int main(void)
{
    static const TestCase tests[] = {T(test_layout), T(test_update), T(test_removal_only), T(test_paths), T(test_conflict),
                                     T(test_foreign_data_link), T(test_owner_failure_keeps_old),
                                     T(test_every_call_fails_in_turn), T(test_killed)};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!world_enter())
        return 77;
    int rc = check_main(tests, ARRAY_LEN(tests));
    world_leave();
    return rc;
}
