/* spec_devices.c - device nodes and the device cgroup: deny all, allow the standard ones and those that were asked for.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"

#define HOST_DEVICES_MAX 8192u /* nodes of a privileged container */
#define DEV_DEPTH_MAX 8u

/* containerd pkg/oci/spec_opts.go, WithDefaultUnixDevices; -1 = every minor. */
static const struct { int major, minor; } default_devices[] = {
    {1, 3}, {1, 8}, {1, 7}, {5, 0}, {1, 5}, {1, 9}, {5, 1}, {136, -1}, {5, 2},
};
/* Made by crun and runc themselves, or of an instance of devpts of the container's own. */
static const char *const runtime_nodes[] = {"/dev/null",    "/dev/zero",   "/dev/full",    "/dev/random",
                                            "/dev/urandom", "/dev/tty",    "/dev/console", "/dev/ptmx",
                                            "/dev/stdin",   "/dev/stdout", "/dev/stderr"};

void device_allow(json_t *rules, const char *type, int64_t major, int64_t minor, const char *access)
{
    json_t *r = json_object();
    jset(r, "allow", json_true());
    jset(r, "type", jstr(type));
    if (major >= 0)
        jset(r, "major", json_integer(major));
    if (minor >= 0)
        jset(r, "minor", json_integer(minor));
    jset(r, "access", jstr(access));
    jadd(rules, r);
}

static bool access_valid(const char *s)
{
    return *s && strspn(s, "rwm") == strlen(s);
}

static bool node_known(const json_t *devices, const char *path)
{
    for (size_t i = 0; i < json_array_size(devices); i++) {
        if (str_eq(json_str(json_array_get(devices, i), "path"), path))
            return true;
    }
    return false;
}

static void add_node(SpecBuild *b, const char *path, const struct stat *st, const char *access)
{
    const char *type = S_ISBLK(st->st_mode) ? "b" : "c";
    json_t *devices = jarray_at(b->linux_, "devices");
    if (!node_known(devices, path)) {
        json_t *d = json_object();
        jset(d, "path", jstr(path));
        jset(d, "type", jstr(type));
        jset(d, "major", json_integer((json_int_t)major(st->st_rdev)));
        jset(d, "minor", json_integer((json_int_t)minor(st->st_rdev)));
        jset(d, "fileMode", json_integer((json_int_t)(st->st_mode & 07777)));
        jset(d, "uid", json_integer((json_int_t)st->st_uid));
        jset(d, "gid", json_integer((json_int_t)st->st_gid));
        jadd(devices, d);
    }
    if (!b->privileged) /* privileged: everything is allowed already */
        device_allow(jarray_at(jobject_at(b->linux_, "resources"), "devices"), type, (int64_t)major(st->st_rdev),
                     (int64_t)minor(st->st_rdev), access);
}

static Err *add_dir(SpecBuild *b, const char *host, const char *inside, const char *access, unsigned depth,
                    size_t *count);

/* One entry of a /dev-like directory; what is no device (sockets, links, files, FIFOs) is passed over, as containerd
 * does. */
static Err *add_entry(SpecBuild *b, const char *host, const char *inside, const char *access, unsigned depth,
                      size_t *count)
{
    struct stat st;
    if (lstat(host, &st) < 0)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "stat device %s", host);
    if (S_ISDIR(st.st_mode))
        return depth < DEV_DEPTH_MAX ? add_dir(b, host, inside, access, depth + 1, count) : NULL;
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(runtime_nodes); i++) {
        if (str_eq(inside, runtime_nodes[i]))
            return NULL;
    }
    if (++*count > HOST_DEVICES_MAX)
        return err_new(ERR_LIMIT, 0, "more than %u devices under %s", HOST_DEVICES_MAX, host);
    add_node(b, inside, &st, access);
    return NULL;
}

static bool skipped_dir_entry(const char *name)
{
    /* containerd pkg/oci/utils_unix.go: file systems of their own, and what lxc and udev leave there. */
    static const char *const skip[] = {".",      "..",   "pts",         "shm",   "fd",
                                       "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"};
    for (size_t i = 0; i < ARRAY_LEN(skip); i++) {
        if (str_eq(name, skip[i]))
            return true;
    }
    return false;
}

static Err *add_dir(SpecBuild *b, const char *host, const char *inside, const char *access, unsigned depth,
                    size_t *count)
{
    struct dirent **list = NULL;
    int n = scandir(host, &list, NULL, alphasort); /* sorted: the same host gives the same config */
    if (n < 0)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "read directory %s", host);
    Err *e = NULL;
    for (int i = 0; i < n; i++) {
        if (!e && !skipped_dir_entry(list[i]->d_name)) {
            SCOPED(mem_free)
            char *h = mem_fmt("%s/%s", host, list[i]->d_name),
                 *c = mem_fmt("%s/%s", inside, list[i]->d_name);
            e = add_entry(b, h, c, access, depth, count);
        }
        free(list[i]);
    }
    free(list);
    return e;
}

static Err *add_configured(SpecBuild *b, const DeviceConfig *d)
{
    const char *access = str_empty(d->permissions) ? "rwm" : d->permissions;
    if (str_empty(d->host_path) || d->host_path[0] != '/')
        return err_new(ERR_INVALID, 0, "device path \"%s\" is not absolute", str_or(d->host_path, ""));
    SCOPED(mem_free) char *inside = path_clean(str_empty(d->container_path) ? d->host_path : d->container_path);
    if (!access_valid(access))
        return err_new(ERR_INVALID, 0, "device %s: permissions \"%s\" are not made of r, w and m", d->host_path,
                       access);
    char real[PATH_MAX]; /* /dev/disk/by-id/x and the like are links to the node */
    struct stat st;
    if (!realpath(d->host_path, real) || stat(real, &st) < 0)
        return err_new(ERR_NOT_FOUND, errno, "device %s", d->host_path);
    size_t count = 0;
    if (S_ISDIR(st.st_mode))
        return add_dir(b, real, inside, access, 0, &count);
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_new(ERR_INVALID, 0, "%s is not a device node", d->host_path);
    add_node(b, inside, &st, access);
    return NULL;
}

Err *spec_devices(SpecBuild *b)
{
    json_t *rules = jarray_at(jobject_at(b->linux_, "resources"), "devices");
    json_t *all = json_object();
    jset(all, "allow", json_boolean(b->privileged));
    jset(all, "access", jstr("rwm"));
    jadd(rules, all);
    Err *e = NULL;
    size_t count = 0;
    if (b->privileged)
        e = add_dir(b, "/dev", "/dev", "rwm", 0, &count);
    for (size_t i = 0; i < ARRAY_LEN(default_devices) && !b->privileged; i++)
        device_allow(rules, "c", default_devices[i].major, default_devices[i].minor, "rwm");
    const ContainerConfig *c = b->in->config;
    for (size_t i = 0; i < c->devices.n && !e; i++)
        e = add_configured(b, &c->devices.v[i]);
    return err_reason(e, REASON_CREATE);
}
