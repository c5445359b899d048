/* node/volume*.c: every volume source, kept over a restart, gone after the Pod. */
#include "check.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "node/allocatable.h"
#include "node/volumes_priv.h"
#include "os/fault.h"
#include "unit/volumes_world.h"

#define POD(rest) "{\"metadata\":{\"name\":\"p\",\"uid\":\"u1\",\"labels\":{\"app\":\"web\"}},\"spec\":{" rest "}}"
#define VOLUME(source) POD("\"volumes\":[{\"name\":\"v\"," source "}]")
#define EMPTY_DIR "pods/u1/volumes/kubernetes.io~empty-dir/v"

static void done(Fixture *f)
{
    CHECK_OK(volumes_teardown(world, "u1"));
    CHECK(no_mounts_left());
    SCOPED(mem_free) char *pod = in_world("pods/u1");
    CHECK(!fs_exists(pod));
    fixture_done(f);
}

static char *setup_error(Fixture *f)
{
    return error_text(volumes_setup(&f->ctx));
}

static bool is_tmpfs(const char *path)
{
    struct statfs st;
    return statfs(path, &st) == 0 && st.f_type == 0x01021994; /* TMPFS_MAGIC */
}

static int64_t fs_size(const char *path)
{
    struct statfs st;
    return statfs(path, &st) < 0 ? -1 : (int64_t)st.f_blocks * st.f_bsize;
}

static void test_empty_dir(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"emptyDir\":{}"));
    mode_t old = umask(077);
    CHECK_OK(volumes_setup(&f.ctx));
    umask(old);
    SCOPED(mem_free) char *dir = in_world(EMPTY_DIR), *file = in_world(EMPTY_DIR "/kept");
    CHECK_INT(mode_of(dir), 0777);
    put_file(file, "step 7");
    CHECK(chmod(dir, 0711) == 0); /* what a container did */
    CHECK_OK(volumes_setup(&f.ctx)); /* in-place restart, or a new agent */
    SCOPED(mem_free) char *text = file_text(file);
    CHECK_STR(text, "step 7");
    CHECK_INT(mode_of(dir), 0711);
    done(&f);
}

static void test_empty_dir_memory(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"8Mi\"}"));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *dir = in_world(EMPTY_DIR), *file = in_world(EMPTY_DIR "/kept");
    CHECK(mount_is_point(dir) && is_tmpfs(dir));
    CHECK_INT(mode_of(dir), 01777);
    CHECK_INT(fs_size(dir), 8 << 20);
    put_file(file, "x");
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *text = file_text(file);
    CHECK_STR(text, "x");
    /* Booted anew: the mark is there and the mount is not. */
    CHECK(umount2(dir, MNT_DETACH) == 0);
    CHECK_OK(volumes_setup(&f.ctx));
    CHECK(mount_is_point(dir) && is_tmpfs(dir));
    done(&f);
}

static void test_empty_dir_memory_size(void)
{
    int64_t node = node_memory_bytes();
    const struct { const char *limit, *pod_limit; int64_t want; } rows[] = {
        {"", "", node}, {",\"sizeLimit\":\"4Mi\"", "", 4 << 20}, {"", "16Mi", 16 << 20},
        {",\"sizeLimit\":\"4Mi\"", "16Mi", 4 << 20}, {",\"sizeLimit\":\"64Mi\"", "16Mi", 16 << 20},
        {",\"sizeLimit\":\"1Pi\"", "", node}, {",\"sizeLimit\":\"0\"", "", node},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *res = *rows[i].pod_limit
                                         ? mem_fmt("\"resources\":{\"limits\":{\"memory\":\"%s\"}},", rows[i].pod_limit)
                                         : mem_dup_str("");
        SCOPED(mem_free) char *json = mem_fmt(POD("\"containers\":[{%s\"name\":\"c\"}],\"volumes\":[{\"name\":\"v\","
                                                  "\"emptyDir\":{\"medium\":\"Memory\"%s}}]"), res, rows[i].limit);
        Fixture f;
        fixture_init(&f, world, json);
        CHECK_OK(volumes_setup(&f.ctx));
        SCOPED(mem_free) char *dir = in_world(EMPTY_DIR);
        int64_t page = sysconf(_SC_PAGESIZE);
        CHECK_INT(fs_size(dir), rows[i].want / page * page);
        done(&f);
    }
}

static void test_empty_dir_refused(void)
{
    static const struct { const char *spec, *want; } rows[] = {
        {"\"emptyDir\":{\"medium\":\"Disk\"}", "MountVolume.SetUp failed for volume \"v\" : unknown storage medium \"Disk\""},
        {"\"emptyDir\":{\"medium\":\"HugePages\"}",
         "MountVolume.SetUp failed for volume \"v\" : medium HugePages: hugePages storage requested, but there is no resource "
         "request for huge pages"},
        {"\"emptyDir\":{\"medium\":\"HugePages-x\"}",
         "MountVolume.SetUp failed for volume \"v\" : unknown storage medium \"HugePages-x\""},
        {"\"nfs\":{\"server\":\"s\",\"path\":\"/\"}", "MountVolume.SetUp failed for volume \"v\" : no volume plugin matched"},
        {"\"image\":{\"reference\":\"r\"}",
         "MountVolume.SetUp failed for volume \"v\" : image volumes are not supported by reprise"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt(VOLUME("%s"), rows[i].spec);
        Fixture f;
        fixture_init(&f, world, json);
        SCOPED(mem_free) char *got = setup_error(&f);
        CHECK_STR(got, rows[i].want);
        done(&f);
    }
}

static void test_huge_pages(void)
{
    Fixture f;
    fixture_init(&f, world,
                 POD("\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"hugepages-2Mi\":\"4Mi\"}}},"
                     "{\"name\":\"d\",\"resources\":{\"requests\":{\"hugepages-1Gi\":\"1Gi\"}}}],"
                     "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"HugePages\"}}]"));
    SCOPED(mem_free) char *mixed = setup_error(&f);
    CHECK_STR(mixed, "MountVolume.SetUp failed for volume \"v\" : medium: HugePages can't be used if container requests "
                     "multiple huge page sizes");
    done(&f);
    if (access("/sys/kernel/mm/hugepages/hugepages-2048kB", F_OK) < 0)
        return;
    fixture_init(&f, world,
                 POD("\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"hugepages-2Mi\":\"4Mi\"}}}],"
                     "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"HugePages-2Mi\"}}]"));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *dir = in_world(EMPTY_DIR);
    struct statfs st;
    CHECK(statfs(dir, &st) == 0 && st.f_bsize == 2 << 20);
    done(&f);
}

static void test_size_limit(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"emptyDir\":{\"sizeLimit\":\"1024Ki\"}"));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *under = volumes_over_limit(&f.ctx), *file = in_world(EMPTY_DIR "/d"),
                          *second = in_world(EMPTY_DIR "/second");
    CHECK(under == NULL);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && fallocate(fd, 0, 0, 700 << 10) == 0);
    CHECK(link(file, second) == 0); /* one file, counted once */
    SCOPED(mem_free) char *still = volumes_over_limit(&f.ctx);
    CHECK(still == NULL);
    CHECK(fallocate(fd, 0, 0, 1100 << 10) == 0);
    SCOPED(mem_free) char *over = volumes_over_limit(&f.ctx);
    CHECK_STR(over, "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\".");
    fd_close(fd);
    done(&f);
}

static void test_host_path(void)
{
    SCOPED(mem_free) char *dir = in_world("hp/dir"), *file = in_world("hp/file"), *sock = in_world("hp/sock"),
                          *chr = in_world("hp/chr"), *fifo = in_world("hp/fifo"), *blk = in_world("hp/blk");
    put_dir(dir);
    put_file(file, "x");
    CHECK(mknod(chr, S_IFCHR | 0600, makedev(1, 3)) == 0 && mknod(blk, S_IFBLK | 0600, makedev(7, 200)) == 0 &&
          mkfifo(fifo, 0600) == 0);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    (void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", sock);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&sa, sizeof sa) == 0);
    fd_close(s);
    static const struct { const char *path, *type, *want; } rows[] = {
        {"hp/dir", "Directory", ""}, {"hp/file", "File", ""}, {"hp/sock", "Socket", ""}, {"hp/chr", "CharDevice", ""},
        {"hp/blk", "BlockDevice", ""}, {"hp/dir", "DirectoryOrCreate", ""}, {"hp/file", "FileOrCreate", ""},
        {"hp/file", "", ""}, {"hp/fifo", "", ""},
        {"hp/new/a", "DirectoryOrCreate", ""}, {"hp/newfile", "FileOrCreate", ""}, {"hp/made", "", ""},
        {"hp/none", "Directory", "hostPath %s doesn't exist"},
        {"hp/none", "File", "hostPath %s doesn't exist"},
        {"hp/none", "Socket", "hostPath %s doesn't exist"},
        {"hp/file", "Directory", "hostPath type check failed: %s is not a directory, it's a File"},
        {"hp/file", "DirectoryOrCreate", "hostPath type check failed: %s is not a directory, it's a File"},
        {"hp/dir", "File", "hostPath type check failed: %s is not a file, it's a Directory"},
        {"hp/dir", "FileOrCreate", "hostPath type check failed: %s is not a file, it's a Directory"},
        {"hp/dir", "Socket", "hostPath type check failed: %s is not a socket file, it's a Directory"},
        {"hp/blk", "CharDevice", "hostPath type check failed: %s is not a character device, it's a BlockDevice"},
        {"hp/chr", "BlockDevice", "hostPath type check failed: %s is not a block device, it's a CharDevice"},
        {"hp/fifo", "File", "hostPath type check failed, %s is not a file, unable to determine its type: only recognise file, "
                            "directory, socket, block device and character device"},
        {"hp/x/../dir", "Directory", "invalid HostPath `%s`: must not contain '..'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *path = in_world("%s", rows[i].path);
        SCOPED(mem_free) char *json = mem_fmt(VOLUME("\"hostPath\":{\"path\":\"%s\",\"type\":\"%s\"}"), path, rows[i].type);
        SCOPED(str_done) Str want = {0};
        const char *mark = strstr(rows[i].want, "%s");
        if (mark)
            str_fmt(&want, "MountVolume.SetUp failed for volume \"v\" : %.*s%s%s", (int)(mark - rows[i].want), rows[i].want,
                    path, mark + 2);
        Fixture f;
        fixture_init(&f, world, json);
        SCOPED(mem_free) char *got = setup_error(&f);
        CHECK_STR(got, str_or(want.p, ""));
        done(&f);
        CHECK(mark || fs_exists(path)); /* kept after the Pod */
    }
    SCOPED(mem_free) char *bad = NULL, *made = in_world("hp/made"), *newfile = in_world("hp/newfile");
    CHECK_INT(mode_of(made), 0755);
    CHECK_INT(mode_of(newfile), 0644);
    Fixture f;
    fixture_init(&f, world, VOLUME("\"hostPath\":{\"path\":\"/\",\"type\":\"Odd\"}"));
    bad = setup_error(&f);
    CHECK_STR(bad, "MountVolume.SetUp failed for volume \"v\" : Odd is an invalid volume type");
    done(&f);
}

#define CM "{\"metadata\":{\"name\":\"cm\",\"namespace\":\"default\"},\"data\":{\"a\":\"1\",\"b\":\"2\"},\"binaryData\":{\"bin\":\"AP8=\"}}"
#define SEC "{\"metadata\":{\"name\":\"sec\"},\"data\":{\"pass\":\"Z2VoZWlt\"}}"

static char *shown(const char *dir)
{
    SCOPED(mem_free) char *path = in_world("pods/u1/volumes/%s/v", dir);
    return names_in(path);
}

static void test_config_map(void)
{
    static const struct { const char *source, *names, *error; } rows[] = {
        {"\"configMap\":{\"name\":\"cm\"}", "a b bin", ""},
        {"\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"a\",\"path\":\"x/y\"},{\"key\":\"bin\",\"path\":\"z\"}]}", "x z", ""},
        {"\"configMap\":{\"name\":\"none\"}", "", "configmap \"none\" not found"},
        {"\"configMap\":{\"name\":\"none\",\"optional\":true}", "", ""},
        {"\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"q\",\"path\":\"x\"}]}", "",
         "references non-existent config key: q"},
        {"\"configMap\":{\"name\":\"cm\",\"optional\":true,\"items\":[{\"key\":\"q\",\"path\":\"x\"},{\"key\":\"a\",\"path\":\"k\"}]}",
         "k", ""},
        {"\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"a\",\"path\":\"../x\"}]}", "",
         "invalid path: must not contain '..': ../x"},
        {"\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"a\",\"path\":\"/x\"}]}", "",
         "invalid path: must be relative path: /x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt(VOLUME("%s"), rows[i].source);
        Fixture f;
        fixture_init(&f, world, json);
        fixture_config_map(&f, CM);
        SCOPED(mem_free) char *got = setup_error(&f), *names = shown("kubernetes.io~configmap");
        SCOPED(mem_free) char *want =
            *rows[i].error ? mem_fmt("MountVolume.SetUp failed for volume \"v\" : %s", rows[i].error) : mem_dup_str("");
        CHECK_STR(got, want);
        CHECK_STR(names, rows[i].names);
        done(&f);
    }
}

static void test_files_modes_and_update(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"configMap\":{\"name\":\"cm\",\"defaultMode\":256,\"items\":[{\"key\":\"a\",\"path\":\"a\"},"
                                   "{\"key\":\"bin\",\"path\":\"bin\",\"mode\":493}]}"));
    fixture_config_map(&f, CM);
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *a = in_world("pods/u1/volumes/kubernetes.io~configmap/v/a"),
                          *ra = in_world("pods/u1/volumes/kubernetes.io~configmap/v/..data/a"),
                          *rbin = in_world("pods/u1/volumes/kubernetes.io~configmap/v/..data/bin");
    CHECK_INT(mode_of(ra), 0400);
    CHECK_INT(mode_of(rbin), 0755);
    SCOPED(str_done) Str bin = {0};
    CHECK_OK(fs_read(rbin, 16, &bin));
    CHECK(bin.n == 2 && memcmp(bin.p, "\x00\xff", 2) == 0);
    fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm\"},\"data\":{\"a\":\"new\"},\"binaryData\":{\"bin\":\"\"}}");
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *text = file_text(a);
    CHECK_STR(text, "new");
    done(&f);
}

static void test_secret(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"secret\":{\"secretName\":\"sec\"}"));
    fixture_secret(&f, SEC);
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *dir = in_world("pods/u1/volumes/kubernetes.io~secret/v"), *file = mem_fmt("%s/pass", dir),
                          *text = file_text(file), *real = mem_fmt("%s/..data/pass", dir);
    CHECK(mount_is_point(dir) && is_tmpfs(dir)); /* never on the disk */
    CHECK_STR(text, "geheim");
    CHECK_INT(mode_of(real), 0644);
    done(&f);
    fixture_init(&f, world, VOLUME("\"secret\":{\"secretName\":\"none\"}"));
    SCOPED(mem_free) char *missing = setup_error(&f);
    CHECK_STR(missing, "MountVolume.SetUp failed for volume \"v\" : secret \"none\" not found");
    done(&f);
    fixture_init(&f, world, VOLUME("\"secret\":{\"secretName\":\"sec\",\"items\":[{\"key\":\"q\",\"path\":\"q\"}]}"));
    fixture_secret(&f, SEC);
    SCOPED(mem_free) char *key = setup_error(&f);
    CHECK_STR(key, "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: q");
    done(&f);
}

static void test_downward_api(void)
{
    Fixture f;
    fixture_init(&f, world,
                 POD("\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"memory\":\"64Mi\"}}}],\"volumes\":[{\"name\":\"v\","
                     "\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}},"
                     "{\"path\":\"d/mem\",\"mode\":384,\"resourceFieldRef\":{\"containerName\":\"c\",\"resource\":\"limits.memory\","
                     "\"divisor\":\"1Mi\"}}]}}]"));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *labels = in_world("pods/u1/volumes/kubernetes.io~downward-api/v/labels"),
                          *mem = in_world("pods/u1/volumes/kubernetes.io~downward-api/v/d/mem"), *l = file_text(labels),
                          *m = file_text(mem);
    CHECK_STR(l, "app=\"web\"");
    CHECK_STR(m, "64");
    CHECK_INT(mode_of(mem), 0600);
    done(&f);
}

static void test_projected(void)
{
    Fixture f;
    fixture_init(&f, world,
                 VOLUME("\"projected\":{\"defaultMode\":288,\"sources\":[{\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"a\","
                        "\"path\":\"same\"},{\"key\":\"b\",\"path\":\"dir/b\",\"mode\":511}]}},{\"secret\":{\"name\":\"sec\",\"items\":"
                        "[{\"key\":\"pass\",\"path\":\"same\"}]}},{\"downwardAPI\":{\"items\":[{\"path\":\"dir/name\",\"fieldRef\":"
                        "{\"fieldPath\":\"metadata.name\"}}]}},{\"configMap\":{\"name\":\"none\",\"optional\":true}}]}"));
    fixture_config_map(&f, CM);
    fixture_secret(&f, SEC);
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *dir = in_world("pods/u1/volumes/kubernetes.io~projected/v"), *names = names_in(dir),
                          *same = mem_fmt("%s/same", dir), *b = mem_fmt("%s/dir/b", dir), *name = mem_fmt("%s/dir/name", dir),
                          *t1 = file_text(same), *t2 = file_text(b), *t3 = file_text(name);
    CHECK_STR(names, "dir same");
    CHECK_STR(t1, "geheim"); /* the later source */
    CHECK_STR(t2, "2");
    CHECK_STR(t3, "p");
    CHECK_INT(mode_of(b), 0777);
    CHECK_INT(mode_of(name), 0440);
    done(&f);

    fixture_init(&f, world, VOLUME("\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"no1\"}},{\"secret\":{\"name\":\"no2\"}},"
                                   "{\"secret\":{\"name\":\"no2\"}}]}"));
    SCOPED(mem_free) char *both = setup_error(&f);
    CHECK_STR(both, "MountVolume.SetUp failed for volume \"v\" : [configmap \"no1\" not found, secret \"no2\" not found]");
    done(&f);
    fixture_init(&f, world, VOLUME("\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"path\":\"token\"}}]}"));
    SCOPED(mem_free) char *token = setup_error(&f);
    CHECK_STR(token, "MountVolume.SetUp failed for volume \"v\" : serviceAccountToken in a projected volume is not supported "
                     "by reprise");
    done(&f);
}

static void test_claim(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"persistentVolumeClaim\":{\"claimName\":\"data\"}"));
    SCOPED(mem_free) char *missing = setup_error(&f), *file = in_world("pvc/default/data/kept");
    CHECK_STR(missing, "MountVolume.SetUp failed for volume \"v\" : persistentvolumeclaim \"data\" not found");
    fixture_claim(&f, "{\"metadata\":{\"name\":\"data\"},\"spec\":{}}");
    CHECK_OK(volumes_setup(&f.ctx));
    put_file(file, "1");
    done(&f);
    SCOPED(mem_free) char *text = file_text(file);
    CHECK_STR(text, "1");
    /* It exists by now: no document is needed. */
    fixture_init(&f, world, VOLUME("\"persistentVolumeClaim\":{\"claimName\":\"data\"}"));
    CHECK_OK(volumes_setup(&f.ctx));
    done(&f);
    fixture_init(&f, world, VOLUME("\"persistentVolumeClaim\":{\"claimName\":\"../../x\"}"));
    SCOPED(mem_free) char *bad = setup_error(&f);
    CHECK_STR(bad, "MountVolume.SetUp failed for volume \"v\" : persistentvolumeclaim \"../../x\" is not a usable name");
    done(&f);
}

#define FS_GROUP(policy) "\"securityContext\":{\"fsGroup\":4321" policy "},"

static void test_fs_group(void)
{
    Fixture f;
    fixture_init(&f, world, POD(FS_GROUP("") "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}},{\"name\":\"c\",\"configMap\":"
                                             "{\"name\":\"cm\",\"defaultMode\":256}},{\"name\":\"h\",\"hostPath\":{\"path\":\"/\"}}]"));
    fixture_config_map(&f, CM);
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *dir = in_world(EMPTY_DIR), *file = in_world(EMPTY_DIR "/f"),
                          *cm = in_world("pods/u1/volumes/kubernetes.io~configmap/c/..data/a"),
                          *cmdir = in_world("pods/u1/volumes/kubernetes.io~configmap/c");
    CHECK_INT(mode_of(dir), 02777);
    CHECK_INT(group_of(dir), 4321);
    CHECK_INT(mode_of(cm), 0440);
    CHECK_INT(group_of(cm), 4321);
    CHECK_INT(mode_of(cmdir), 02777);
    CHECK_INT(group_of("/"), 0); /* a hostPath is not ours to change */
    put_file(file, "x");
    CHECK_INT(group_of(file), 4321); /* by the setgid bit */
    CHECK(chown(file, 0, 7) == 0);
    CHECK_OK(volumes_setup(&f.ctx));
    CHECK_INT(group_of(file), 7); /* once a Pod and volume */
    /* New content gets the group, too. */
    fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm\"},\"data\":{\"a\":\"new\"}}");
    CHECK_OK(volumes_setup(&f.ctx));
    CHECK_INT(group_of(cm), 4321);
    done(&f);
}

static void test_fs_group_policy(void)
{
    static const struct { const char *policy; bool root_matches; int64_t want; } rows[] = {
        {"", true, 4321}, {"\"Always\"", true, 4321}, {"\"OnRootMismatch\"", true, 7}, {"\"OnRootMismatch\"", false, 4321}};
    SCOPED(mem_free) char *claim = in_world("pvc/default/grouped"), *file = in_world("pvc/default/grouped/f"),
                          *link = in_world("pvc/default/grouped/l"), *outside = in_world("outside");
    put_dir(claim);
    put_file(file, "x");
    put_file(outside, "x");
    CHECK(chmod(outside, 0600) == 0 && symlink(outside, link) == 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK(chown(claim, 0, rows[i].root_matches ? 4321 : 0) == 0 && chmod(claim, 02775) == 0 && chown(file, 0, 7) == 0 &&
              chmod(file, 0700) == 0);
        SCOPED(mem_free) char *policy = *rows[i].policy ? mem_fmt(",\"fsGroupChangePolicy\":%s", rows[i].policy) : mem_dup_str("");
        SCOPED(mem_free) char *json = mem_fmt(POD(FS_GROUP("%s") "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":"
                                                                 "{\"claimName\":\"grouped\"}}]"), policy);
        Fixture f;
        fixture_init(&f, world, json);
        CHECK_OK(volumes_setup(&f.ctx));
        CHECK_INT(group_of(file), rows[i].want);
        CHECK_INT(mode_of(file), rows[i].want == 7 ? 0700 : 0760);
        CHECK_INT(group_of(outside), 0); /* no symlink is followed */
        CHECK_INT(mode_of(outside), 0600);
        done(&f);
    }
}

static void test_shm(void)
{
    Fixture f;
    fixture_init(&f, world, POD(""));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *shm = in_world("pods/u1/shm");
    CHECK(is_tmpfs(shm));
    CHECK_INT(mode_of(shm), 01777);
    CHECK_INT(fs_size(shm), 64 << 20);
    done(&f);
    fixture_init(&f, world, POD("\"hostIPC\":true"));
    CHECK_OK(volumes_setup(&f.ctx));
    CHECK(!fs_exists(shm));
    done(&f);
}

/* A mount that a container put into a volume, from a tree that is not the Pod's: it goes, and what is behind stays. */
static void test_teardown_spares_what_is_mounted(void)
{
    Fixture f;
    fixture_init(&f, world, VOLUME("\"emptyDir\":{}"));
    CHECK_OK(volumes_setup(&f.ctx));
    SCOPED(mem_free) char *precious = in_world("precious"), *file = in_world("precious/file"), *at = in_world(EMPTY_DIR "/m"),
                          *inner = in_world("precious/inner"), *kept = in_world("precious/inner/kept"),
                          *link = in_world(EMPTY_DIR "/link"), *data = in_world("precious-data");
    put_dir(inner);
    put_dir(data);
    put_file(file, "1");
    CHECK(mount("tmpfs", inner, "tmpfs", 0, NULL) == 0);
    put_file(kept, "2");
    put_dir(at);
    CHECK(mount(precious, at, NULL, MS_BIND | MS_REC, NULL) == 0); /* same file system, shared with its source */
    CHECK(symlink(precious, link) == 0);
    CHECK_OK(volumes_teardown(world, "u1"));
    SCOPED(mem_free) char *one = file_text(file), *two = file_text(kept);
    CHECK_STR(one, "1");
    CHECK_STR(two, "2"); /* the mount below it is still there, too */
    CHECK(umount(inner) == 0);
    done(&f);
}

static void test_teardown_when_little_is_there(void)
{
    CHECK_OK(volumes_teardown(world, "never-was"));
    SCOPED(mem_free) char *bad = error_text(volumes_teardown(world, "..")), *record = in_world("pods/u1/pod.json"),
                          *dir = in_world("pods/u1"), *half = in_world("pods/u1/volumes/kubernetes.io~secret/half");
    CHECK_STR(bad, "pod uid \"..\" is not a usable name");
    put_dir(half);
    put_file(record, "{}");
    CHECK_OK(volumes_teardown(world, "u1"));
    SCOPED(mem_free) char *names = names_in(dir);
    CHECK_STR(names, "pod.json"); /* the agent's */
    CHECK(unlink(record) == 0);
    CHECK_OK(volumes_teardown(world, "u1"));
    CHECK(!fs_exists(dir));
}

static void fill_every_source(Fixture *f)
{
    SCOPED(mem_free) char *host = in_world("hp-fault");
    SCOPED(mem_free) char *json =
        mem_fmt(POD(FS_GROUP("") "\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},{\"name\":\"m\",\"emptyDir\":{\"medium\":\"Memory\","
                                 "\"sizeLimit\":\"1Mi\"}},{\"name\":\"c\",\"configMap\":{\"name\":\"cm\"}},{\"name\":\"s\",\"secret\":"
                                 "{\"secretName\":\"sec\"}},{\"name\":\"p\",\"persistentVolumeClaim\":{\"claimName\":\"fault\"}},"
                                 "{\"name\":\"h\",\"hostPath\":{\"path\":\"%s\",\"type\":\"DirectoryOrCreate\"}}]"), host);
    fixture_init(f, world, json);
    fixture_config_map(f, CM);
    fixture_secret(f, SEC);
    fixture_claim(f, "{\"metadata\":{\"name\":\"fault\"}}");
}

static void test_every_call_fails_in_turn(void)
{
    unsigned n = 1;
    for (;; n++) {
        Fixture f;
        fill_every_source(&f);
        fault_arm("", n, EIO);
        SCOPED(err_free) Err *e = volumes_setup(&f.ctx);
        bool hit = fault_disarm();
        CHECK_OK(volumes_setup(&f.ctx)); /* a failed one is simply done again */
        SCOPED(mem_free) char *a = in_world("pods/u1/volumes/kubernetes.io~configmap/c/a"), *text = file_text(a);
        CHECK_STR(text, "1");
        done(&f);
        if (!hit)
            break;
    }
    CHECK(n > 30);
    for (n = 1;; n++) {
        Fixture f;
        fill_every_source(&f);
        CHECK_OK(volumes_setup(&f.ctx));
        fault_arm("", n, EIO);
        SCOPED(err_free) Err *e = volumes_teardown(world, "u1");
        bool hit = fault_disarm();
        CHECK(hit == (e != NULL));
        done(&f);
        if (!hit)
            break;
    }
    CHECK(n > 5);
}

static void test_setup_that_failed_is_torn_down(void)
{
    unsigned n = 1;
    for (;; n++) {
        Fixture f;
        fill_every_source(&f);
        fault_arm("", n, ENOSPC);
        SCOPED(err_free) Err *e = volumes_setup(&f.ctx);
        bool hit = fault_disarm();
        done(&f);
        if (!hit)
            break;
    }
    CHECK(n > 30);
}

int main(void)
{
    static const TestCase tests[] = {
        T(test_empty_dir), T(test_empty_dir_memory), T(test_empty_dir_memory_size), T(test_empty_dir_refused),
        T(test_huge_pages), T(test_size_limit), T(test_host_path), T(test_config_map), T(test_files_modes_and_update),
        T(test_secret), T(test_downward_api), T(test_projected), T(test_claim), T(test_fs_group), T(test_fs_group_policy),
        T(test_shm), T(test_teardown_spares_what_is_mounted), T(test_teardown_when_little_is_there),
        T(test_every_call_fails_in_turn), T(test_setup_that_failed_is_torn_down),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!world_enter())
        return 77;
    int rc = check_main(tests, ARRAY_LEN(tests));
    world_leave();
    return rc;
}
