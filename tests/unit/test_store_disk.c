/* test_store_disk.c - the store and its disk: full, read-only, failing call by call, damaged, of another version, killed at any
 * instant, without power. */
#include "store_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/fault.h"
#include "store/store_priv.h"

#define SOON (&(ObjStoreOptions){.retry_ns = 1})

static Err *try_put(ObjStore *s, const char *name, const char *text)
{
    SCOPED(json_unref) json_t *j = pod("default", name, text);
    return objstore_get(s, "pods", "default", name) ? objstore_update(s, "pods", j, &(ObjWrite){.durable = true}, NULL)
                                                    : objstore_create(s, "pods", j, &(ObjWrite){.durable = true}, NULL);
}

/* While the disk is bad every write says so and changes nothing; reading goes on; it recovers by itself. */
static void test_bad_disk(void)
{
    static const struct {
        int sys;
        const char *want;
    } cases[] = {
        {ENOSPC, "No space left on device"},
        {EROFS, "Read-only file system"},
        {EIO, "Input/output error"},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        Fixture f = fixture_new(SOON);
        SCOPED(mem_free) char *want = mem_fmt("ServiceUnavailable: the store %s cannot be written: %s", f.path, cases[k].want);
        (void)put(f.s, "a", "1");
        int64_t rv = objstore_rv(f.s);
        SCOPED(objwatch_close) ObjWatch *w = NULL;
        CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods"}, &w));
        ObjStoreState st;
        objstore_state(f.s, &st);
        CHECK(st.writable && st.failed == 0 && st.error[0] == '\0');
        objvfs_broken = cases[k].sys;
        for (int i = 0; i < 3; i++) {
            CHECK_SAID(try_put(f.s, "a", "2"), want);
            CHECK_SAID(try_put(f.s, "b", "2"), want);
            CHECK_SAID(objstore_delete(f.s, "pods", "default", "a", NULL, NULL), want);
        }
        objstore_begin(f.s);
        SCOPED(err_free) Err *one = try_put(f.s, "b", "3"), *two = try_put(f.s, "a", "3");
        SCOPED(err_free) Err *end = objstore_end(f.s);
        CHECK((one && two) || end);
        CHECK_NOW(f.s, "a", "1");
        CHECK_NOW(f.s, "b", NULL);
        CHECK_EVENTS(w, "");
        CHECK_INT(objstore_rv(f.s), rv);
        SCOPED(objlist_done) ObjList l = {0};
        CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods"}, &l));
        CHECK_INT(l.n, 1);
        objstore_state(f.s, &st);
        CHECK(!st.writable && st.failed >= 10);
        SCOPED(mem_free) char *error = mem_fmt("ServiceUnavailable: %s", st.error);
        CHECK_STR(error, want);
        objvfs_broken = 0;
        CHECK_OK(try_put(f.s, "a", "4"));
        CHECK_OK(try_put(f.s, "b", "4"));
        CHECK_EVENTS(w, "~a +b");
        CHECK(objstore_rv(f.s) > rv);
        objstore_state(f.s, &st);
        CHECK(st.writable && st.error[0] == '\0');
        objwatch_close(MOVE(w, NULL));
        fixture_close(&f);
        fixture_open(&f, NULL);
        CHECK_NOW(f.s, "a", "4");
        CHECK_NOW(f.s, "b", "4");
        CHECK(f.note == NULL);
        fixture_done(&f);
    }
}

/* The same with a real small disk, in a mount namespace of a child. */
static int small_disk(void)
{
    char dir[] = "/tmp/reprise-store-mnt-XXXXXX";
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(dir) ||
        mount("tmpfs", dir, "tmpfs", 0, "size=400k") < 0)
        return 77;
    char path[64];
    (void)snprintf(path, sizeof path, "%s/store.db", dir);
    ObjStore *s;
    char *note;
    SCOPED(mem_free) char *text = mem_alloc(8001);
    memset(text, 'x', 8000);
    unsigned before = check_failures;
    CHECK_OK(objstore_open(path, SOON, &s, &note));
    unsigned n = 0;
    Err *e = NULL;
    for (; !e && n < 1000; n++) {
        SCOPED(mem_free) char *name = mem_fmt("p%u", n);
        e = try_put(s, name, text);
    }
    SCOPED(mem_free) char *full = said(e);
    SCOPED(mem_free) char *want = mem_fmt("ServiceUnavailable: the store %s cannot be written: No space left on device", path);
    CHECK_STR(full, want);
    CHECK(n > 10 && n < 50);
    CHECK_SAID(try_put(s, "p0", "small"), want);
    CHECK_INT(objstore_count(s, NULL, NULL), n - 1);
    CHECK(mount(NULL, dir, NULL, MS_REMOUNT, "size=4m") == 0);
    CHECK_OK(try_put(s, "p0", "small"));
    CHECK_OK(try_put(s, "more", text));
    objstore_close(s);
    CHECK(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, "size=4m") == 0);
    /* Opened on a read-only disk: reading works, and what is wrong is said. */
    CHECK_OK(objstore_open(path, SOON, &s, &note));
    SCOPED(mem_free) char *read_only = mem_fmt("the store %s cannot be written: Read-only file system", path);
    CHECK_STR(note, read_only);
    CHECK_INT(objstore_count(s, NULL, NULL), n);
    CHECK_NOW(s, "p0", "small");
    SCOPED(mem_free) char *read_only_said = mem_fmt("ServiceUnavailable: %s", read_only);
    CHECK_SAID(try_put(s, "p0", "x"), read_only_said);
    CHECK_SAID(try_put(s, "p0", "x"), read_only_said);
    CHECK(mount(NULL, dir, NULL, MS_REMOUNT, "size=4m") == 0);
    CHECK_OK(try_put(s, "p0", "writable"));
    objstore_close(s);
    free(note);
    CHECK_OK(objstore_open(path, SOON, &s, &note));
    CHECK_NOW(s, "p0", "writable");
    CHECK(note == NULL);
    objstore_close(s);
    (void)umount2(dir, MNT_DETACH);
    (void)rmdir(dir);
    return check_failures != before;
}

static void test_small_disk(void)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int status = small_disk();
        (void)fflush(stdout);
        _exit(status);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        printf("# no mounts may be made here\n");
    else
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Each call in turn fails once. Whatever fails: what was said to be written is there, what failed is not, also after the next open. */
static void test_each_call(void)
{
    static const struct {
        const char *call;
        int sys;
    } kinds[] = {{"write", ENOSPC}, {"write", EIO}, {"fsync", EIO}, {"open", EMFILE}, {"open", EROFS}, {"rename", EIO}};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        unsigned n = 1;
        for (;; n++) {
            Fixture f = {0};
            strcpy(f.dir, "/tmp/reprise-store-XXXXXX");
            CHECK(mkdtemp(f.dir) != NULL);
            (void)snprintf(f.path, sizeof f.path, "%s/store.db", f.dir);
            fault_arm(kinds[k].call, n, kinds[k].sys);
            SCOPED(err_free) Err *e = objstore_open(f.path, SOON, &f.s, &f.note);
            SCOPED(err_free) Err *a = NULL, *b = NULL, *c = NULL, *d = NULL, *restart = NULL;
            if (e)
                fixture_open(&f, SOON); /* the fault was once: now it is there */
            a = try_put(f.s, "a", "1");
            b = try_put(f.s, "b", "1");
            c = try_put(f.s, "a", "2");
            d = objstore_get(f.s, "pods", "default", "b") ? objstore_delete(f.s, "pods", "default", "b", NULL, NULL) : NULL;
            restart = objstore_restart_put(f.s, "u", &(ObjRestart){.attempt = 1, .done_ns = NS_NONE}, false);
            SCOPED(err_free) Err *moved = objstore_checkpoint(f.s);
            CHECK(!!e + !!a + !!b + !!c + !!d + !!restart + !!moved <= 1);
            const char *want_a = c ? (a ? NULL : "1") : "2", *want_b = b ? NULL : d ? "1" : NULL;
            CHECK_NOW(f.s, "a", want_a);
            CHECK_NOW(f.s, "b", want_b);
            int64_t rv = objstore_rv(f.s);
            fixture_close(&f);
            bool hit = fault_disarm();
            fixture_open(&f, NULL);
            CHECK_NOW(f.s, "a", want_a);
            CHECK_NOW(f.s, "b", want_b);
            CHECK(objstore_rv(f.s) >= rv);
            CHECK(f.note == NULL);
            CHECK_OK(try_put(f.s, "z", "1"));
            fixture_done(&f);
            if (!hit)
                break;
        }
        CHECK(n > 1);
    }
}

/* ---- damage and versions ---- */

static void sql(const char *path, const char *text)
{
    sqlite3 *h;
    CHECK(sqlite3_open(path, &h) == SQLITE_OK);
    char *why = NULL;
    CHECK(sqlite3_exec(h, text, NULL, NULL, &why) == SQLITE_OK);
    if (why)
        printf("# %s\n", why);
    (void)sqlite3_close(h);
}

static char *aside_of(const Fixture *f)
{
    const char *at = f->note ? strstr(f->note, f->path) : NULL;
    at = at ? strstr(at, "moved to ") : NULL;
    return at ? mem_dup_strn(at + 9, strcspn(at + 9, ",;")) : mem_dup_str("");
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t n)
{
    SCOPED(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
}

/* Where a text stands in a file; -1 = nowhere. */
static off_t place_of(const char *path, const char *text)
{
    SCOPED(str_done) Str t = {0};
    CHECK_OK(fs_read(path, 64 << 20, &t));
    const char *p = memmem(t.p, t.n, text, strlen(text));
    return p ? p - t.p : -1;
}

static void test_damage(void)
{
    static const struct {
        const char *what;
        bool header, flip;
        size_t kept; /* of 200 objects, at least */
    } cases[] = {{"header", true, false, 0}, {"page", false, false, 100}, {"one byte of an object", false, true, 199}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        Fixture f = fixture_new(NULL);
        for (int i = 0; i < 200; i++) {
            SCOPED(mem_free) char *name = mem_fmt("p%03d", i);
            SCOPED(mem_free) char *text = mem_fmt("mark%03d%0500d", i, 0);
            (void)put(f.s, name, text);
        }
        int64_t rv = objstore_rv(f.s);
        fixture_close(&f);
        char junk[4096];
        memset(junk, 0x5a, sizeof junk);
        if (cases[k].header)
            overwrite(f.path, 0, junk, 100);
        else if (cases[k].flip)
            overwrite(f.path, place_of(f.path, "mark100"), "M", 1);
        else
            overwrite(f.path, place_of(f.path, "mark100") & ~(off_t)4095, junk, sizeof junk);
        fixture_open(&f, NULL);
        SCOPED(mem_free) char *aside = aside_of(&f);
        CHECK(f.note != NULL && fs_exists(aside));
        if (k == 2)
            CHECK(strstr(f.note, "is not what was written; it was moved to ") && strstr(f.note, "and 199 objects that could be read from it were kept"));
        CHECK(objstore_count(f.s, NULL, NULL) >= cases[k].kept && objstore_count(f.s, NULL, NULL) < 200);
        CHECK_INT(objstore_rv(f.s), rv); /* numbers go on, though the table is gone */
        size_t n = objstore_count(f.s, NULL, NULL);
        CHECK_OK(try_put(f.s, "new", "1"));
        CHECK_INT(objstore_rv(f.s), rv + 1);
        fixture_close(&f);
        fixture_open(&f, NULL);
        CHECK(f.note == NULL);
        CHECK_INT(objstore_count(f.s, NULL, NULL), n + 1);
        fixture_done(&f);
    }
}

/* Damaged or gone under a running store: moved aside and written anew from memory. */
static void test_damage_while_open(void)
{
    Fixture f = fixture_new(SOON);
    for (int i = 0; i < 50; i++) {
        SCOPED(mem_free) char *name = mem_fmt("p%d", i);
        (void)put(f.s, name, "1");
    }
    CHECK_OK(objstore_checkpoint(f.s));
    char junk[4096];
    memset(junk, 0x5a, sizeof junk);
    overwrite(f.path, 0, junk, 100);
    objvfs_broken = EIO; /* the connection is let go */
    SCOPED(err_free) Err *e = try_put(f.s, "p0", "2");
    CHECK(e != NULL);
    objvfs_broken = 0;
    CHECK_OK(try_put(f.s, "p0", "3"));
    ObjStoreState st;
    objstore_state(f.s, &st);
    CHECK(st.writable && st.recovered == 1 && strstr(st.note, "written anew from memory"));
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_INT(objstore_count(f.s, NULL, NULL), 50);
    CHECK_NOW(f.s, "p0", "3");
    fixture_done(&f);
}

static const char version0[] =
    "CREATE TABLE objects(id INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
    " uid TEXT NOT NULL, rv INTEGER NOT NULL, json TEXT NOT NULL, UNIQUE(resource, namespace, name));"
    "INSERT INTO objects VALUES(3, 'pods', 'default', 'web', 'u1', 41, '{\"kind\": \"Pod\", \"metadata\": {\"name\": \"web\","
    " \"namespace\": \"default\", \"uid\": \"u1\", \"resourceVersion\": \"41\"}, \"spec\": {\"text\": \"old\"}}');"
    "INSERT INTO objects VALUES(7, 'nodes', '', 'n1', 'u2', 40, '{\"metadata\":{\"name\":\"n1\"}}');";

static void test_schema(void)
{
    Fixture f = fixture_new(NULL);
    fixture_close(&f);
    CHECK(unlink(f.path) == 0);
    sql(f.path, version0);
    fixture_open(&f, NULL);
    CHECK(f.note && strstr(f.note, "store.db.rv is missing: resource versions go on at 1000041"));
    CHECK_STR(objstore_get(f.s, "pods", "default", "web")->text,
              "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"u1\",\"resourceVersion\":\"41\"},"
              "\"spec\":{\"text\":\"old\"}}");
    CHECK_STR(objstore_get(f.s, "pods", "default", "web")->kind, "Pod");
    CHECK_STR(objstore_get(f.s, "nodes", "", "n1")->text, "{\"metadata\":{\"name\":\"n1\",\"resourceVersion\":\"40\"}}");
    CHECK(objstore_get(f.s, "nodes", "", "n1")->expires_ns == NS_NONE);
    CHECK(objstore_rv(f.s) >= 41);
    CHECK_NOW(f.s, "web", "old");
    (void)put(f.s, "web", "new");
    CHECK_OK(objstore_restart_put(f.s, "u", &(ObjRestart){.attempt = 1, .done_ns = NS_NONE}, true));
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_NOW(f.s, "web", "new");
    fixture_close(&f);

    ObjStore *s = NULL;
    char *note;
    sql(f.path, "PRAGMA user_version=9");
    SCOPED(mem_free) char *newer = mem_fmt(": the store %s has schema version 9, this reprise knows 3 and older: run the reprise that wrote it, "
                                           "or move the file away to begin with nothing", f.path);
    CHECK_SAID(objstore_open(f.path, NULL, &s, &note), newer);
    CHECK(fs_exists(f.path));
    sql(f.path, "PRAGMA user_version=3");
    fixture_open(&f, NULL);
    CHECK_NOW(f.s, "web", "new"); /* refused, and nothing was done to it */
    fixture_close(&f);

    CHECK(unlink(f.path) == 0);
    sql(f.path, "CREATE TABLE somebody(elses)");
    SCOPED(mem_free) char *foreign = mem_fmt(": %s is a database, but none of reprise: name another path", f.path);
    CHECK_SAID(objstore_open(f.path, NULL, &s, &note), foreign);
    CHECK(unlink(f.path) == 0);
    fixture_open(&f, NULL);
    fixture_done(&f);
}

/* Files belong to nobody else: secrets are in them. And one process at a time. */
static void test_private(void)
{
    Fixture f = fixture_new(NULL);
    (void)put(f.s, "a", "1");
    static const char *const ends[] = {"", "-wal", ".rv"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s%s", f.path, ends[i]);
        struct stat st = {0};
        CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        ObjStore *s;
        char *note;
        SCOPED(mem_free) char *got = said(objstore_open(f.path, NULL, &s, &note));
        SCOPED(mem_free) char *want = mem_fmt(": the store %s is in use by another process", f.path);
        _exit(!str_eq(got, want));
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    fixture_done(&f);
}

/* ---- no power: what was not fsynced is gone ---- */

static void copy_file(const char *from, const char *to, off_t size)
{
    SCOPED(str_done) Str t = {0};
    CHECK_OK(fs_read(from, 64 << 20, &t));
    CHECK_OK(fs_write_atomic(to, t.p, size >= 0 && (size_t)size < t.n ? (size_t)size : t.n, 0600, false));
}

static void test_no_power(void)
{
    Fixture f = fixture_new(NULL), g = fixture_new(NULL);
    fixture_close(&g);
    SCOPED(mem_free) char *wal = mem_fmt("%s-wal", f.path);
    SCOPED(mem_free) char *wal_to = mem_fmt("%s-wal", g.path);
    SCOPED(mem_free) char *rv_from = mem_fmt("%s.rv", f.path);
    SCOPED(mem_free) char *rv_to = mem_fmt("%s.rv", g.path);
    int64_t seen = 1;
    for (int round = 0; round < 5; round++) {
        (void)put(f.s, "lazy", round % 2 ? "1" : "2");
        CHECK_OK(try_put(f.s, "kept", round % 2 ? "1" : "2"));
        struct stat durable;
        CHECK(stat(wal, &durable) == 0);
        for (int i = 0; i < 50; i++) { /* the tail that the power takes */
            SCOPED(mem_free) char *name = mem_fmt("lost%d", i);
            SCOPED(mem_free) char *text = mem_fmt("%d", round);
            seen = put(f.s, name, text);
        }
        copy_file(f.path, g.path, -1);
        copy_file(wal, wal_to, durable.st_size + 4000 * round); /* none of it, or a torn part */
        copy_file(rv_from, rv_to, -1);
        fixture_open(&g, NULL);
        CHECK_NOW(g.s, "kept", round % 2 ? "1" : "2");
        CHECK_NOW(g.s, "lazy", round % 2 ? "1" : "2"); /* what came before a durable write is durable */
        CHECK(round > 0 || objstore_count(g.s, NULL, NULL) == 2);
        CHECK(objstore_rv(g.s) >= seen);
        CHECK(put(g.s, "next", "1") > seen);
        /* A client that saw a lost number must list anew. */
        SCOPED(objwatch_close) ObjWatch *w = NULL;
        SCOPED(err_free) Err *e = objstore_watch(g.s, &(ObjWatching){.resource = "pods", .from = seen}, &w);
        CHECK(e && str_eq(e->reason, "Expired"));
        CHECK(g.note == NULL);
        fixture_close(&g);
    }
    fixture_done(&f);
    CHECK_OK(fs_remove_tree(g.dir));
    free(g.note);

    /* Many reservations, each bound honoured. */
    f = fixture_new(NULL);
    int64_t last = 0;
    for (int i = 0; i < 25000; i++) {
        objstore_begin(f.s);
        int64_t rv = put(f.s, "a", i % 2 ? "1" : "2");
        objstore_abort(f.s);
        if (rv <= last)
            break;
        last = rv;
        if (i % 5000)
            continue;
        int64_t bound = 0;
        ObjStore probe = {.rv_path = rv_from};
        SCOPED(mem_free) char *path = mem_fmt("%s.rv", f.path);
        probe.rv_path = path;
        objrv_read(&probe, &bound);
        CHECK(bound >= rv);
    }
    CHECK_INT(last, 25001);
    fixture_done(&f);
}

/* ---- kill -9 ---- */

#define KEYS 8
/* What the child tells of: B before an operation (a pair of objects gets this value, 0 = deleted), D when it has returned, with the
 * resourceVersion, E for each event that its watch saw. */
typedef struct {
    char what;
    int key;
    int64_t value, rv;
} Note;

static void tell_parent(int fd, Note n)
{
    if (write(fd, &n, sizeof n) != (ssize_t)sizeof n)
        _exit(3);
}

static void child_put(ObjStore *s, const char *prefix, int key, int64_t value)
{
    SCOPED(mem_free) char *name = mem_fmt("%s%d", prefix, key);
    SCOPED(mem_free) char *text = mem_fmt("%lld %0*d", (long long)value, (int)(value * 37 % 9000) + 1, 0);
    SCOPED(json_unref) json_t *j = pod("default", name, text);
    SCOPED(err_free) Err *e = NULL;
    ObjWrite w = {.durable = value % 8 == 0};
    if (!value)
        e = objstore_get(s, "pods", "default", name) ? objstore_delete(s, "pods", "default", name, NULL, NULL) : NULL;
    else if (objstore_get(s, "pods", "default", name))
        e = objstore_update(s, "pods", j, &w, NULL);
    else
        e = objstore_create(s, "pods", j, &w, NULL);
    if (e)
        _exit(4);
}

static int64_t value_of(const ObjItem *i)
{
    SCOPED(json_unref) json_t *j = i ? objitem_json(i) : NULL;
    const char *text = json_str(json_object_get(j, "spec"), "text");
    return text ? atoll(text) : 0;
}

static _Noreturn void child(const char *path, int fd, unsigned seed)
{
    ObjStore *s;
    char *note;
    ObjWatch *w;
    if (objstore_open(path, NULL, &s, &note) || note)
        _exit(5);
    tell_parent(fd, (Note){.what = 'O', .rv = objstore_rv(s)});
    if (objstore_watch(s, &(ObjWatching){.resource = "pods"}, &w))
        _exit(6);
    srand(seed);
    for (int64_t value = seed * 100000 + 1;; value++) {
        int key = rand() % KEYS;
        int64_t v = rand() % 5 ? value : 0;
        tell_parent(fd, (Note){.what = 'B', .key = key, .value = v});
        objstore_begin(s);
        child_put(s, "a", key, v);
        child_put(s, "b", key, v);
        if (objstore_end(s))
            _exit(7);
        ObjEvent e;
        while (objwatch_next(w, &e) == OBJ_EVENT)
            if (e.item->name[0] == 'a')
                tell_parent(fd, (Note){.what = 'E', .key = e.item->name[1] - '0', .value = e.type == OBJ_DELETED ? 0 : value_of(e.item), .rv = e.rv});
        tell_parent(fd, (Note){.what = 'D', .key = key, .value = v, .rv = objstore_rv(s)});
        if (rand() % 200 == 0 && objstore_checkpoint(s))
            _exit(8);
    }
}

static void test_kill(void)
{
    Fixture f = fixture_new(NULL), g = fixture_new(NULL);
    fixture_close(&f);
    fixture_close(&g);
    static const char *const ends[] = {"", "-wal", ".rv"};
    int64_t value[KEYS] = {0}, rv = 0, writes = 0;
    for (unsigned round = 1; round <= 30; round++) {
        int p[2];
        CHECK(pipe2(p, O_CLOEXEC) == 0);
        (void)fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            child(f.path, p[1], round);
        fd_close(p[1]);
        srand(round * 77);
        int64_t end = os_monotonic_ns() + (5 + rand() % 60) * NS_PER_MS + rand() % NS_PER_MS;
        Note n, begun = {0};
        bool under_way = false, killed = false;
        int64_t seen[KEYS];
        memcpy(seen, value, sizeof seen);
        while (read(p[0], &n, sizeof n) == (ssize_t)sizeof n) {
            if (!killed && os_monotonic_ns() >= end)
                killed = kill(pid, SIGKILL) == 0;
            if (n.what == 'O' || n.what == 'E' || n.what == 'D') {
                CHECK(n.what == 'E' || n.what == 'D' || n.rv >= rv);
                CHECK(n.rv >= rv || n.what == 'E');
                rv = n.rv > rv ? n.rv : rv;
            }
            if (n.what == 'E')
                seen[n.key] = n.value;
            under_way = n.what == 'B' || (n.what == 'E' && under_way);
            if (n.what == 'B')
                begun = n;
            if (n.what == 'D') {
                value[n.key] = n.value;
                writes++;
                CHECK(memcmp(seen, value, sizeof seen) == 0); /* the history is what happened */
            }
        }
        fd_close(p[0]);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        /* Looked at in a copy: the next child opens what the killed one left. */
        for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
            SCOPED(mem_free) char *from = mem_fmt("%s%s", f.path, ends[i]);
            SCOPED(mem_free) char *to = mem_fmt("%s%s", g.path, ends[i]);
            if (fs_exists(from))
                copy_file(from, to, -1);
        }
        fixture_open(&g, NULL);
        CHECK(g.note == NULL);
        CHECK(objstore_rv(g.s) >= rv); /* and the next one is above */
        for (int k = 0; k < KEYS; k++) {
            SCOPED(mem_free) char *a = mem_fmt("a%d", k);
            SCOPED(mem_free) char *b = mem_fmt("b%d", k);
            int64_t va = value_of(objstore_get(g.s, "pods", "default", a)), vb = value_of(objstore_get(g.s, "pods", "default", b));
            CHECK_INT(va, vb); /* a batch is whole */
            CHECK(va == value[k] || (under_way && k == begun.key && va == begun.value));
            value[k] = va;
            const ObjItem *i = objstore_get(g.s, "pods", "default", a);
            CHECK(!i || i->rv <= objstore_rv(g.s));
        }
        fixture_close(&g);
    }
    printf("# %lld writes, 30 times killed\n", (long long)writes);
    CHECK(writes > 300);
    fixture_done(&f);
    fixture_done(&g);
}

/* ---- how fast: printed, and held to ten times the target, since the machine is shared ---- */

static double us_since(int64_t t, int n)
{
    return (double)(os_monotonic_ns() - t) / 1000 / n;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void test_speed(void)
{
    Fixture f = fixture_new(NULL);
    enum { PODS = 500, ROUNDS = 2000, WATCHES = 1000 };
    SCOPED(json_unref) json_t *j = pod("default", "p000", "");
    SCOPED(json_unref) json_t *list = json_array();
    for (int i = 0; i < 200; i++) /* 10 KB of short texts, as a Pod has them */
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", "SOME_VARIABLE", "value", "some value", "n", i));
    (void)json_object_set(json_object_get(j, "spec"), "containers", list);
    json_t *meta = json_object_get(j, "metadata");
    int64_t t = os_monotonic_ns();
    objstore_begin(f.s);
    for (int i = 0; i < PODS; i++) {
        SCOPED(mem_free) char *name = mem_fmt("p%03d", i);
        (void)json_object_set_new(meta, "name", json_string(name));
        CHECK_OK(objstore_create(f.s, "pods", j, NULL, NULL));
    }
    CHECK_OK(objstore_end(f.s));
    printf("# create %d Pods of %zu bytes in one batch: %.0f us each\n", PODS, objstore_get(f.s, "pods", "default", "p000")->n, us_since(t, PODS));

    static char names[PODS][8];
    for (int i = 0; i < PODS; i++)
        (void)snprintf(names[i], sizeof names[i], "p%03d", i);
    size_t found = 0;
    t = os_monotonic_ns();
    for (int i = 0; i < 100000; i++)
        found += objstore_get(f.s, "pods", "default", names[i % PODS]) != NULL;
    double get = us_since(t, 100000);
    CHECK_INT(found, 100000);

    double update[2], longest = 0;
    ObjWatch *w[WATCHES];
    static double each[ROUNDS];
    for (int with = 0; with < 2; with++) {
        for (int i = 0; i < ROUNDS; i++) {
            (void)json_object_set_new(meta, "name", json_string(names[i % PODS]));
            (void)json_object_set_new(meta, "generation", json_integer(i));
            t = os_monotonic_ns();
            CHECK_OK(objstore_update(f.s, "pods", j, NULL, NULL));
            each[i] = us_since(t, 1);
            longest = each[i] > longest ? each[i] : longest;
        }
        qsort(each, ROUNDS, sizeof *each, by_size);
        update[with] = each[ROUNDS / 2];
        if (!with)
            for (int i = 0; i < WATCHES; i++)
                CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods"}, &w[i]));
    }
    for (int i = 0; i < WATCHES; i++)
        objwatch_close(w[i]);
    t = os_monotonic_ns();
    for (int i = 0; i < 100; i++) {
        ObjList l = {0};
        CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods"}, &l));
        found = l.n;
        objlist_done(&l);
    }
    double listed = us_since(t, 100);
    CHECK_INT(found, PODS);
    t = os_monotonic_ns();
    for (int i = 0; i < 20; i++) {
        (void)json_object_set_new(meta, "generation", json_integer(-i - 1));
        CHECK_OK(objstore_update(f.s, "pods", j, &(ObjWrite){.durable = true}, NULL));
    }
    double durable = us_since(t, 20);
    t = os_monotonic_ns();
    fixture_close(&f);
    fixture_open(&f, NULL);
    double opened = us_since(t, 1);
    SCOPED(str_done) Str statm = {0};
    CHECK_OK(fs_read("/proc/self/statm", 200, &statm));
    ObjStoreState st;
    objstore_state(f.s, &st);
    printf("# %zu KiB of objects; the process has %ld KiB\n", st.object_bytes / 1024, strtol(strchr(statm.p, ' '), NULL, 10) * 4);
    printf("# get %.2f us, update %.0f us (median; longest, with the journal's move, %.0f us), with %d watches %.0f us, durable %.0f us, list of %d %.0f us, close and open %.0f us\n", get,
           update[0], longest, WATCHES, update[1], durable, PODS, listed, opened);
    CHECK(get < 200);
    CHECK(update[0] < 1000);
    CHECK(listed < 50000);
    fixture_done(&f);
}

TESTS(T(test_bad_disk), T(test_small_disk), T(test_each_call), T(test_damage), T(test_damage_while_open), T(test_schema), T(test_private),
      T(test_no_power), T(test_kill), T(test_speed))
