/* spec_mounts.c - what the container sees mounted: containerd's default mounts, then the Pod's, parents first.
 *
 * Image VOLUMEs. containerd gives each VOLUME of the image a directory on the host with a copy of the image's content.
 * Here every attempt has a fresh writable overlay, so the path is writable as it is and goes with the attempt: nothing
 * needs to be mounted. Only with readOnlyRootFilesystem does the difference show (containerd's volume stays writable),
 * so then, and only then, the path gets an overlay of its own over the image's content, in OciSpecInput.volumes_dir. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"

#define MOUNTS_MAX 4096u
#define MOUNTINFO_MAX (16u << 20)

/* containerd pkg/oci/mounts.go without /run (CRI takes it out), and spec_linux_opts.go for the cgroup mount. */
static const struct { const char *dst, *type, *src, *options; } default_mounts[] = {
    {"/proc", "proc", "proc", "nosuid noexec nodev"},
    {"/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"},
    {"/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"},
    {"/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"},
    {"/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"},
    {"/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"},
};

static json_t *mount_new(const char *dst, const char *type, const char *src, json_t *options)
{
    json_t *m = json_object();
    jset(m, "destination", jstr(dst));
    jset(m, "type", jstr(type));
    jset(m, "source", jstr(src));
    jset(m, "options", options);
    return m;
}

/* The Pod's own mount wins over a default one of the same place; a mount over /dev takes everything below with it. */
static bool overridden(const StrVec *dsts, const char *dst)
{
    return strvec_has(dsts, dst) || (str_starts(dst, "/dev/") && strvec_has(dsts, "/dev"));
}

static void add_defaults(SpecBuild *b, json_t *mounts, const StrVec *dsts)
{
    for (size_t i = 0; i < ARRAY_LEN(default_mounts); i++) {
        if (overridden(dsts, default_mounts[i].dst))
            continue;
        json_t *options = jwords(default_mounts[i].options);
        size_t last = json_array_size(options) - 1;
        if (b->privileged && str_eq(json_string_value(json_array_get(options, last)), "ro"))
            json_array_set_new(options, last, jstr("rw")); /* WithWriteableSysfs, WithWriteableCgroupfs */
        jadd(mounts, mount_new(default_mounts[i].dst, default_mounts[i].type, default_mounts[i].src, options));
    }
    if (overridden(dsts, "/dev/shm"))
        return;
    if (b->in->ns_ipc)
        jadd(mounts, mount_new("/dev/shm", "tmpfs", "shm", jwords("nosuid noexec nodev mode=1777 size=65536k")));
    else /* hostIPC: shared memory by name is part of what is shared */
        jadd(mounts, mount_new("/dev/shm", "bind", "/dev/shm", jwords("rbind rprivate rw")));
}

/* The optional fields ("shared:1 master:2") of the mount that <path> lies on; false if it cannot be told. */
static bool mount_flags(const char *path, char *ret_point, bool *shared, bool *slave)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return false;
    SCOPED(str_done) Str text = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text);
    if (e || !text.p)
        return false;
    size_t best = 0;
    for (char *save = NULL, *l = strtok_r(text.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char point[PATH_MAX], optional[256];
        /* 36 35 98:0 /root /mount/point opts optional... - type source superopts */
        if (sscanf(l, "%*s %*s %*s %*s %4095s %*s %255[^\n]", point, optional) != 2)
            continue;
        size_t n = strlen(point);
        bool covers = str_eq(point, "/") || (str_starts(real, point) && (real[n] == '/' || real[n] == '\0'));
        if (!covers || n < best) /* a later mount at the same place lies on top */
            continue;
        best = n;
        char *end = strstr(optional, "- ");
        if (end)
            *end = '\0';
        *shared = strstr(optional, "shared:") != NULL;
        *slave = strstr(optional, "master:") != NULL;
        memcpy(ret_point, point, n + 1);
    }
    return best > 0;
}

static Err *propagation(SpecBuild *b, const MountConfig *m, json_t *options)
{
    const char *wanted = str_or(m->propagation, "None");
    bool both = str_eq(wanted, "Bidirectional"), in = str_eq(wanted, "HostToContainer");
    if (!both && !in) {
        jadd(options, jstr("rprivate"));
        return NULL;
    }
    char point[PATH_MAX];
    bool shared = false, slave = false;
    if (mount_flags(m->host_path, point, &shared, &slave) && !shared && !(in && slave))
        return err_reason(err_new(ERR_INVALID, 0, "path \"%s\" is mounted on \"%s\" but it is not a shared%s mount",
                                  m->host_path, point, in ? " or slave" : ""), REASON_CREATE);
    jadd(options, jstr(both ? "rshared" : "rslave"));
    const char *root = json_string_value(json_object_get(b->linux_, "rootfsPropagation"));
    if (both || !root)
        jset(b->linux_, "rootfsPropagation", jstr(both ? "rshared" : "rslave"));
    return NULL;
}

static Err *add_pod_mount(SpecBuild *b, const MountConfig *m, const char *dst, json_t *mounts)
{
    Err *e = jcheck("a mount path", dst);
    if (!e)
        e = jcheck("a mount source", str_or(m->host_path, ""));
    if (!e && str_eq(dst, "/"))
        e = err_reason(err_new(ERR_INVALID, 0, "a volume cannot be mounted over the root of a container"),
                       REASON_CREATE);
    if (!e && (!m->host_path || m->host_path[0] != '/'))
        e = err_reason(
            err_new(ERR_INVALID, 0, "source \"%s\" of mount %s is not an absolute path", str_or(m->host_path, ""), dst),
            REASON_CREATE);
    if (!e && m->recursive_read_only && !m->read_only)
        e = err_reason(err_new(ERR_INVALID, 0, "recursive read-only mount conflicts with RW mount (hostPath=\"%s\")",
                               m->host_path), REASON_CREATE);
    if (!e && m->recursive_read_only && m->propagation && !str_eq(m->propagation, "None") && *m->propagation)
        e = err_reason(err_new(ERR_INVALID, 0, "recursive read-only mount needs private propagation, got \"%s\" "
                                               "(hostPath=\"%s\")", m->propagation, m->host_path), REASON_CREATE);
    if (e)
        return e;
    json_t *options = jwords("rbind");
    if ((e = propagation(b, m, options))) {
        json_decref(options);
        return e;
    }
    jadd(options, jstr(m->recursive_read_only ? "rro" : m->read_only ? "ro" : "rw"));
    jadd(mounts, mount_new(dst, "bind", m->host_path, options));
    return NULL;
}

/* ':' and ',' end a path in overlay's option string, '\\' escapes. */
static bool overlay_safe(const char *path) { return strpbrk(path, ":,\\\"") == NULL; }

static Err *add_image_volume(SpecBuild *b, size_t index, const char *dst, json_t *mounts)
{
    SCOPED(fd_close) int fd = rootfs_open(b->in->rootfs, dst, O_PATH | O_DIRECTORY);
    if (fd == -ENOENT)
        return NULL; /* not in the image: the runtime could not make it in a read-only root either */
    char link[64], lower[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = fd < 0 ? -1 : readlink(link, lower, sizeof lower - 1);
    if (n <= 0)
        return err_reason(err_new(ERR_SYS, fd < 0 ? -fd : errno, "open image volume %s", dst), REASON_CREATE);
    lower[n] = '\0';
    SCOPED(mem_free) char *dir = mem_fmt("%s/%zu", b->in->volumes_dir, index);
    if (!overlay_safe(lower) || !overlay_safe(dir))
        return err_reason(
            err_new(ERR_UNSUPPORTED, 0, "image volume %s: a path has a character that overlay cannot take", dst),
            REASON_CREATE);
    SCOPED(mem_free) char *upper = mem_fmt("%s/upper", dir), *work = mem_fmt("%s/work", dir);
    Err *e = fs_mkdirs(upper, 0755);
    if (!e)
        e = fs_mkdirs(work, 0700);
    struct stat st;
    /* The volume's own directory keeps the image's owner and mode: a non-root user must be able to write there. */
    if (!e && (fstat(fd, &st) < 0 || chown(upper, st.st_uid, st.st_gid) < 0 || chmod(upper, st.st_mode & 07777) < 0))
        e = err_new(ERR_SYS, errno, "set owner and mode of %s", upper);
    if (e)
        return err_reason(err_wrap(e, "image volume %s", dst), REASON_CREATE);
    json_t *options = json_array();
    SCOPED(mem_free) char *o1 = mem_fmt("lowerdir=%s", lower), *o2 = mem_fmt("upperdir=%s", upper),
                          *o3 = mem_fmt("workdir=%s", work);
    jadd(options, jstr(o1));
    jadd(options, jstr(o2));
    jadd(options, jstr(o3));
    jadd(mounts, mount_new(dst, "overlay", "overlay", options));
    return NULL;
}

static Err *add_image_volumes(SpecBuild *b, json_t *mounts, const StrVec *dsts)
{
    if (!b->in->volumes_dir || !(b->sec->read_only_root_filesystem.set && b->sec->read_only_root_filesystem.v))
        return NULL;
    const StrVec *v = &b->in->image->volumes;
    for (size_t i = 0; i < v->n && i < 128; i++) {
        SCOPED(mem_free) char *dst = path_clean(v->v[i]);
        if (strvec_has(dsts, dst) || str_eq(dst, "/"))
            continue;
        Err *e = add_image_volume(b, i, dst, mounts);
        if (e)
            return e;
    }
    return NULL;
}

static size_t parts(const json_t *mount)
{
    size_t n = 0;
    const char *d = str_or(json_string_value(json_object_get(mount, "destination")), "");
    for (; *d; d++)
        n += *d == '/' && d[1] && d[1] != '/';
    return n;
}

void mounts_sort(json_t *mounts, size_t from)
{
    size_t n = json_array_size(mounts);
    for (size_t i = from + 1; i < n; i++) { /* insertion: stable, and lists are short */
        json_t *m = json_incref(json_array_get(mounts, i));
        size_t p = parts(m), k = i;
        while (k > from && parts(json_array_get(mounts, k - 1)) > p)
            k--;
        if (k < i && (json_array_remove(mounts, i) != 0 || json_array_insert(mounts, k, m) != 0))
            abort();
        json_decref(m);
    }
}

Err *spec_mounts(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    json_t *mounts = jarray_at(b->root, "mounts");
    SCOPED(strvec_done) StrVec dsts = {0};
    if (c->mounts.n > MOUNTS_MAX)
        return err_reason(err_new(ERR_LIMIT, 0, "more than %u mounts", MOUNTS_MAX), REASON_CREATE);
    for (size_t i = 0; i < c->mounts.n; i++)
        strvec_add_take(&dsts, path_clean(str_or(c->mounts.v[i].container_path, "")));
    add_defaults(b, mounts, &dsts);
    size_t from = json_array_size(mounts);
    for (size_t i = 0; i < c->mounts.n; i++) {
        Err *e = add_pod_mount(b, &c->mounts.v[i], dsts.v[i], mounts);
        if (e)
            return e;
    }
    Err *e = add_image_volumes(b, mounts, &dsts);
    mounts_sort(mounts, from);
    return e;
}
