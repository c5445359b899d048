/* Writing a layer. The archive is untrusted and we are root: every directory that an entry names is opened with openat2
 * and RESOLVE_IN_ROOT, so symlinks of the image (its own, or lower layers') are followed as the container would follow
 * them, and never lead out; the last component of a path is never followed. */
#include "runtime/oci/layer_priv.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"

#define RESOLVE_TRIES   128   /* openat2(2): EAGAIN asks to try again */
#define LINK_DEPTH_MAX  40    /* MAXSYMLINKS of the kernel */
#define XATTR_MAX_BYTES 65536 /* XATTR_SIZE_MAX */

typedef struct { /* what a directory gets at the end, when nothing is put into it any more */
    char *path;
    struct timespec times[2];
} DirTime;

typedef struct {
    LayerReader *reader;
    const char *name; /* for messages */
    int root;
    unsigned flags;
    bool owners;       /* we may give files away */
    char *parent_path; /* the directory that the last entry was in, and its descriptor */
    int parent_fd;
    size_t n_dirs;
    DirTime *dirs;
} Unpack;

static void unpack_done(Unpack *u)
{
    free(u->parent_path);
    fd_close(u->parent_fd);
    for (size_t i = 0; i < u->n_dirs; i++)
        free(u->dirs[i].path);
    free(u->dirs);
    layer_reader_free(u->reader);
}
static inline void unpack_done_at(Unpack *u)
{
    unpack_done(u);
}

static Err *entry_failed(const Unpack *u, const char *doing, const char *path)
{
    return err_new(ERR_SYS, errno, "unpack %s: %s %.300s", u->name, doing, *path ? path : "/");
}

/* --- directories ------------------------------------------------------------------------------------------------- */

static int open_in_root(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    if (fault_hit("open"))
        return -1;
    for (int i = 0; i < RESOLVE_TRIES; i++) {
        long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return (int)fd;
    }
    return -1;
}

/* Components of the path that a directory really has, symlinks resolved; -1 = longer than any path may be. Seen from an
 * overlay that is mounted nowhere, it begins at the overlay's root. */
static int depth_of(int fd)
{
    char buf[LAYER_MAX_PATH + 1];
    SCOPED(mem_free) char *p = mem_fmt("/proc/self/fd/%d", fd);
    ssize_t n = readlink(p, buf, sizeof buf);
    int depth = 0;
    if (n < 0 || n == (ssize_t)sizeof buf)
        return -1;
    for (ssize_t i = 0; i < n; i++)
        depth += buf[i] == '/' && i + 1 < n;
    return depth;
}

static bool is_too_deep(int root, int fd)
{
    int depth = depth_of(fd);
    return depth < 0 || depth - depth_of(root) >= LAYER_MAX_DEPTH;
}

static int ensure_dir(int root, const char *path, unsigned depth);

/* <base> in <parent_path> is in the way of a directory: a symlink that leads to nothing yet gets its target made. */
static int ensure_link_target(int root, const char *parent_path, int parent, const char *base, unsigned depth)
{
    char target[LAYER_MAX_PATH + 1];
    ssize_t n = readlinkat(parent, base, target, sizeof target - 1);
    if (n < 0) {
        if (errno == EINVAL)
            errno = ENOTDIR;
        return -1;
    }
    target[n] = '\0';
    SCOPED(mem_free) char *path = *target == '/' ? mem_dup_str(target) : mem_fmt("%s/%s", parent_path, target);
    return ensure_dir(root, path, depth + 1);
}

/* Opens directory <path>, making what is missing of it (0755, as the container engines do). -1 with errno. */
static int ensure_dir(int root, const char *path, unsigned depth)
{
    int fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (depth > LINK_DEPTH_MAX || strlen(path) > LAYER_MAX_PATH) {
        errno = depth > LINK_DEPTH_MAX ? ELOOP : ENAMETOOLONG;
        return -1;
    }
    SCOPED(mem_free) char *dir = mem_dup_str(path);
    for (size_t n = strlen(dir); n > 0 && dir[n - 1] == '/';)
        dir[--n] = '\0';
    char *slash = strrchr(dir, '/');
    const char *base = slash ? slash + 1 : dir;
    SCOPED(mem_free) char *name = mem_dup_str(base);
    if (slash)
        *slash = '\0';
    else
        *dir = '\0';
    if (!*name || str_eq(name, ".") || str_eq(name, "..")) {
        errno = ENOENT;
        return -1;
    }
    /* The recursion is as deep as the path has components, at most LAYER_MAX_PATH / 2, with small frames but for link
     * targets. */
    SCOPED(fd_close) int parent = ensure_dir(root, dir, depth);
    if (parent < 0)
        return -1;
    if (is_too_deep(root, parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (fault_hit("mkdir"))
        return -1;
    if (mkdirat(parent, name, 0755) < 0)
        return errno == EEXIST ? ensure_link_target(root, dir, parent, name, depth) : -1;
    fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fchmodat(parent, name, 0755, 0) < 0) { /* whatever our umask says */
        fd_close(fd);
        return -1;
    }
    return fd;
}

/* The directory of <path>, borrowed until the next call, and the last component. */
static Err *entry_parent(Unpack *u, const char *path, int *ret_fd, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(path, slash ? (size_t)(slash - path) : 0);
    *ret_base = slash ? slash + 1 : path;
    if (!str_eq(dir, u->parent_path)) {
        int fd = ensure_dir(u->root, dir, 0);
        if (fd < 0)
            return entry_failed(u, "open directory of", path);
        if (is_too_deep(u->root, fd)) {
            fd_close(fd);
            return err_new(ERR_LIMIT, 0, "unpack %s: %.100s...: more than %d directories deep", u->name, path,
                           LAYER_MAX_DEPTH);
        }
        fd_close(u->parent_fd);
        u->parent_fd = fd;
        mem_set_str(&u->parent_path, dir);
    }
    *ret_fd = u->parent_fd;
    return NULL;
}

static char *proc_path(int fd, const char *base)
{
    return mem_fmt("/proc/self/fd/%d/%s", fd, base);
}

static Err *remove_at(Unpack *u, int parent, const char *base)
{
    SCOPED(mem_free) char *p = proc_path(parent, base);
    Err *e = fs_remove_tree(p);
    mem_set_str(&u->parent_path, NULL); /* it may have been what was removed */
    return e ? err_wrap(e, "unpack %s", u->name) : NULL;
}

/* --- whiteouts --------------------------------------------------------------------------------------------------- */

static Err *empty_directory(Unpack *u, const char *path)
{
    SCOPED(fd_close) int fd = open_in_root(u->root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? NULL : entry_failed(u, "open", path);
    DIR *d = fdopendir(dup(fd));
    if (!d)
        return entry_failed(u, "read", path);
    SCOPED(strvec_done) StrVec names = {0};
    for (struct dirent *ent; (ent = readdir(d));)
        if (!str_eq(ent->d_name, ".") && !str_eq(ent->d_name, ".."))
            strvec_add(&names, ent->d_name);
    (void)closedir(d);
    Err *e = NULL;
    for (size_t i = 0; i < names.n && !e; i++)
        e = remove_at(u, fd, names.v[i]);
    return e;
}

static Err *apply_whiteout(Unpack *u, const char *target)
{
    size_t n = strlen(target);
    if (n > 0 && target[n - 1] == '/') {
        SCOPED(mem_free) char *dir = mem_dup_strn(target, n - 1);
        return empty_directory(u, dir);
    }
    const char *slash = strrchr(target, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(target, slash ? (size_t)(slash - target) : 0);
    SCOPED(fd_close) int parent = open_in_root(u->root, dir, O_PATH | O_DIRECTORY);
    if (parent < 0) /* whiteouts come without their directories: nothing there, nothing to hide */
        return errno == ENOENT || errno == ENOTDIR ? NULL : entry_failed(u, "open directory of", target);
    return remove_at(u, parent, slash ? slash + 1 : target);
}

/* --- entries ----------------------------------------------------------------------------------------------------- */

static Err *write_at(const Unpack *u, int fd, const char *path, const char *p, size_t n, int64_t offset)
{
    while (n > 0) {
        ssize_t w = fault_hit("write") ? -1 : pwrite(fd, p, n, (off_t)offset);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return entry_failed(u, "write", path);
        p += w;
        n -= (size_t)w;
        offset += w;
    }
    return NULL;
}

/* Holes of a sparse entry stay holes: its blocks say where they belong. */
static Err *make_file(Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry)
{
    SCOPED(fd_close)
    int fd = fault_hit("open") ? -1 : openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return entry_failed(u, "create", path);
    for (;;) {
        const void *buf;
        size_t n;
        int64_t offset;
        Err *e = layer_reader_data(u->reader, &buf, &n, &offset);
        if (!e && !buf)
            break;
        if (!e)
            e = write_at(u, fd, path, buf, n, offset);
        if (e)
            return e;
    }
    if (ftruncate(fd, (off_t)archive_entry_size(entry)) < 0)
        return entry_failed(u, "set the size of", path);
    int raw = MOVE(fd, -EBADF);
    return close(raw) < 0 ? entry_failed(u, "close", path) : NULL; /* some file systems report a full disk only here */
}

static Err *make_hardlink(Unpack *u, int parent, const char *base, const char *path, const char *raw_target)
{
    SCOPED(mem_free) char *target = NULL;
    Err *e = layer_path(raw_target, &target);
    if (e)
        return err_wrap(e, "unpack %s: hard link %.200s", u->name, path);
    const char *slash = strrchr(target, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(target, slash ? (size_t)(slash - target) : 0);
    SCOPED(fd_close) int from = open_in_root(u->root, dir, O_PATH | O_DIRECTORY);
    if (from < 0 || linkat(from, slash ? slash + 1 : target, parent, base, 0) < 0) {
        if (errno == ENOENT)
            return err_new(ERR_INVALID, 0, "unpack %s: %.200s is a hard link to %.200s, which is not there", u->name,
                           path, target);
        return entry_failed(u, "make hard link", path);
    }
    return NULL;
}

static Err *make_device(const Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry)
{
    dev_t dev = makedev((unsigned)archive_entry_rdevmajor(entry), (unsigned)archive_entry_rdevminor(entry));
    mode_t type = archive_entry_filetype(entry);
    /* Overlay reads character device 0:0 as "deleted below": an image must say that with .wh. names. */
    if (type == AE_IFCHR && dev == 0)
        return err_new(ERR_INVALID, 0, "unpack %s: %.200s is the character device 0:0, which no image can hold",
                       u->name, path);
    if (type == AE_IFIFO)
        dev = 0;
    return mknodat(parent, base, type | 0600, dev) < 0 ? entry_failed(u, "make device", path) : NULL;
}

static bool is_dir_at(int parent, const char *base)
{
    struct stat st;
    return fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool exists_at(int parent, const char *base)
{
    struct stat st;
    return fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static Err *make_symlink(const Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry)
{
    const char *target = archive_entry_symlink(entry);
    if (str_empty(target))
        return err_new(ERR_INVALID, 0, "unpack %s: %.200s is a symlink to nothing", u->name, path);
    return symlinkat(target, parent, base) < 0 ? entry_failed(u, "make symlink", path) : NULL;
}

static Err *make_dir(const Unpack *u, int parent, const char *base, const char *path)
{
    if (is_dir_at(parent, base)) /* of a lower layer, or made for an earlier entry: its content stays */
        return NULL;
    return fault_hit("mkdir") || mkdirat(parent, base, 0700) < 0 ? entry_failed(u, "make directory", path) : NULL;
}

static Err *make_entry(Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry,
                       bool *ret_made)
{
    mode_t type = archive_entry_filetype(entry);
    *ret_made = true;
    if (exists_at(parent, base) && !(type == AE_IFDIR && is_dir_at(parent, base))) {
        SCOPED(fd_close) int keep = fcntl(parent, F_DUPFD_CLOEXEC, 0);
        Err *e = remove_at(u, keep, base);
        if (e)
            return e;
    }
    const char *hardlink = archive_entry_hardlink(entry);
    if (hardlink) {
        *ret_made = false; /* its metadata is the target's */
        return make_hardlink(u, parent, base, path, hardlink);
    }
    switch (type) {
    case AE_IFREG:
        return make_file(u, parent, base, path, entry);
    case AE_IFDIR:
        return make_dir(u, parent, base, path);
    case AE_IFLNK:
        return make_symlink(u, parent, base, path, entry);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        if (u->flags & LAYER_FILES_ONLY)
            break;
        return make_device(u, parent, base, path, entry);
    default:
        break;
    }
    return err_new(ERR_INVALID, 0, "unpack %s: %.200s is neither file, directory, link nor device", u->name, path);
}

/* --- metadata ---------------------------------------------------------------------------------------------------- */

static bool keep_xattr(const char *name)
{
    /* Overlay's own marks (opaque, redirect, metacopy) would make the kernel show other files than the layer has. */
    return !str_starts(name, "trusted.overlay.") && !str_starts(name, "user.overlay.");
}

static Err *set_xattrs(const Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry)
{
    const char *name;
    const void *value;
    size_t n;
    if (archive_entry_xattr_reset(entry) == 0)
        return NULL;
    SCOPED(mem_free) char *p = proc_path(parent, base);
    while (archive_entry_xattr_next(entry, &name, &value, &n) == ARCHIVE_OK) {
        if (!name || !keep_xattr(name))
            continue;
        if (n > XATTR_MAX_BYTES)
            return err_new(ERR_LIMIT, 0, "unpack %s: extended attribute %.100s of %.200s has %zu bytes", u->name, name,
                           path, n);
        if (lsetxattr(p, name, value, n, 0) == 0)
            continue;
        /* A file system without them, a label of another security module, an attribute that only privilege may set: the
         * container engines go on as well. But a lost file capability would be a program that fails later. */
        bool is_capability = str_eq(name, "security.capability");
        if (errno != ENOTSUP && (is_capability || errno != EPERM))
            return err_new(ERR_SYS, errno, "unpack %s: set %.100s of %.200s", u->name, name, path);
    }
    return NULL;
}

static struct timespec entry_time(bool is_set, time_t s, long ns)
{
    return is_set ? (struct timespec){.tv_sec = s, .tv_nsec = ns >= 0 && ns < 1000000000 ? ns : 0}
                  : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static Err *set_metadata(Unpack *u, int parent, const char *base, const char *path, struct archive_entry *entry)
{
    mode_t type = archive_entry_filetype(entry);
    if (u->owners && fchownat(parent, base, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry),
                              AT_SYMLINK_NOFOLLOW | (*base ? 0 : AT_EMPTY_PATH)) < 0)
        return entry_failed(u, "set owner of", path);
    /* After chown, which drops set-id bits; there is nothing between us and <base>: nobody else writes here. */
    if (type != AE_IFLNK && fchmodat(parent, *base ? base : ".", archive_entry_perm(entry) & 07777, 0) < 0)
        return entry_failed(u, "set mode of", path);
    if (!(u->flags & LAYER_FILES_ONLY)) {
        Err *e = set_xattrs(u, parent, *base ? base : ".", path, entry);
        if (e)
            return e;
    }
    struct timespec mtime =
        entry_time(archive_entry_mtime_is_set(entry), archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
    struct timespec atime =
        entry_time(archive_entry_atime_is_set(entry), archive_entry_atime(entry), archive_entry_atime_nsec(entry));
    if (!archive_entry_atime_is_set(entry))
        atime = mtime;
    if (type == AE_IFDIR) {
        u->dirs = mem_grow(u->dirs, u->n_dirs + 1, sizeof *u->dirs);
        u->dirs[u->n_dirs++] = (DirTime){.path = mem_dup_str(path), .times = {atime, mtime}};
        return NULL;
    }
    struct timespec times[2] = {atime, mtime};
    return utimensat(parent, base, times, AT_SYMLINK_NOFOLLOW) < 0 ? entry_failed(u, "set times of", path) : NULL;
}

static Err *set_dir_times(const Unpack *u)
{
    for (size_t i = 0; i < u->n_dirs; i++) {
        const DirTime *d = &u->dirs[i];
        SCOPED(fd_close) int fd = open_in_root(u->root, d->path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        if (fd < 0)
            continue; /* a later entry put something else there */
        SCOPED(mem_free) char *p = mem_fmt("/proc/self/fd/%d", fd);
        if (utimensat(AT_FDCWD, p, d->times, 0) < 0)
            return entry_failed(u, "set times of", d->path);
    }
    return NULL;
}

/* --- second pass ------------------------------------------------------------------------------------------------- */

static Err *unpack_entry(Unpack *u, struct archive_entry *entry)
{
    SCOPED(mem_free) char *path = NULL;
    const char *raw = archive_entry_pathname(entry);
    if (!raw)
        return err_new(ERR_INVALID, 0, "unpack %s: an entry has no name", u->name);
    Err *e = layer_path(raw, &path);
    if (e)
        return err_wrap(e, "unpack %s", u->name);
    LayerNameKind kind = NAME_PLAIN;
    if (!(u->flags & LAYER_FILES_ONLY)) {
        char *target;
        e = layer_name_kind(path, &kind, &target);
        if (e)
            return err_wrap(e, "unpack %s", u->name);
        free(target);
    }
    if (kind != NAME_PLAIN)
        return NULL;
    if (!*path) { /* the root itself: it is there, and is a directory whatever the archive says */
        archive_entry_set_filetype(entry, AE_IFDIR);
        return set_metadata(u, u->root, "", "", entry);
    }
    int parent = -EBADF;
    const char *base;
    e = entry_parent(u, path, &parent, &base);
    if (e)
        return e;
    SCOPED(fd_close) int keep = fcntl(parent, F_DUPFD_CLOEXEC, 0); /* the cache may be emptied meanwhile */
    if (keep < 0)
        return entry_failed(u, "open directory of", path);
    bool made;
    e = make_entry(u, keep, base, path, entry, &made);
    return e || !made ? e : set_metadata(u, keep, base, path, entry);
}

Err *layer_unpack(int fd, const LayerOptions *o, const LayerScan *scan, int root, unsigned flags)
{
    SCOPED(unpack_done)
    Unpack u = {.name = o->name,
                .root = root,
                .flags = flags,
                .parent_fd = -EBADF,
                .owners = geteuid() == 0 && !(flags & LAYER_FILES_ONLY)};
    Err *e = NULL;
    for (size_t i = 0; !(flags & LAYER_FILES_ONLY) && i < scan->whiteouts.n; i++) {
        e = apply_whiteout(&u, scan->whiteouts.v[i]);
        if (e)
            return e;
    }
    e = layer_reader_open(fd, o, false, NULL, NULL, &u.reader);
    if (e)
        return e;
    for (;;) {
        struct archive_entry *entry;
        e = layer_reader_next(u.reader, &entry);
        if (!e && !entry)
            break;
        if (!e)
            e = unpack_entry(&u, entry);
        if (e)
            return e;
    }
    return set_dir_times(&u);
}
