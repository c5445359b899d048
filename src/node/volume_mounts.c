/* The mounts of one container. */
#include "node/volumes_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "node/podfiles.h"
#include "node/subpath.h"
#include "os/fault.h"
#include "os/fs.h"
#include "os/mount.h"

char *volumes_termination_log(const char *root, const char *pod_uid, const char *container, uint32_t attempt)
{
    return mem_fmt("%s/pods/%s/containers/%s/%u-termination", root, pod_uid, container, attempt);
}

/* What is being put together; the arena owns the strings. */
typedef struct {
    const VolumesContext *ctx;
    const Container *c;
    const StrVec *env;
    uint32_t attempt;
    MountList *out;
    StrVec *arena;
} Build;

static const char *keep(const Build *b, char *s)
{
    strvec_add_take(b->arena, s);
    return s;
}

static void add_mount(const Build *b, const char *container_path, const char *host_path, bool read_only)
{
    *LIST_ADD(b->out) = (MountConfig){
        .container_path = container_path, .host_path = host_path, .read_only = read_only, .propagation = "None"};
}

/* --- subPath ---------------------------------------------------------------------------------------------------- */

typedef struct {
    EnvMap map;
    StrVec missing;
} ExprEnv;

static const char *expr_lookup(void *arg, const char *name, size_t n)
{
    ExprEnv *x = arg;
    const char *v = env_map_get(&x->map, name, n);
    if (!str_empty(v))
        return v;
    SCOPED(mem_free) char *key = mem_dup_strn(name, n);
    if (!strvec_has(&x->missing, key))
        strvec_add(&x->missing, key);
    return "";
}

static int str_cmp(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* kubecontainer.ExpandContainerVolumeMounts: a variable that is missing or empty is an error here. */
static Err *expand_sub_path(const Build *b, const char *expr, char **ret)
{
    ExprEnv x = {0};
    if (b->env)
        env_map_load(&x.map, b->env);
    Str text = {0};
    Err *e = NULL;
    if (!env_expand_into(expr, expr_lookup, &x, &text)) {
        e = err_new(ERR_LIMIT, 0, "subPathExpr expands to more than %zu bytes", ENV_VALUE_MAX);
    } else if (x.missing.n) {
        qsort(x.missing.v, x.missing.n, sizeof *x.missing.v, str_cmp);
        SCOPED(str_done) Str names = {0};
        for (size_t i = 0; i < x.missing.n; i++)
            str_fmt(&names, "%s%s", i ? ", " : "", x.missing.v[i]);
        e = err_new(ERR_INVALID, 0, "missing value for %s", names.p);
    }
    env_map_done(&x.map);
    strvec_done(&x.missing);
    if (e)
        str_done(&text);
    else
        *ret = str_take(&text);
    return e;
}

/* The kubelet keeps the cause from the user, since it may tell of the host; here it goes to the warnings. */
static Err *sub_path_failed(const Build *b, const VolumeMount *m, const char *what, Err *cause /* taken */)
{
    SCOPED(err_free) Err *e = cause;
    SCOPED(mem_free) char *text = err_text(e);
    ctx_warn(b->ctx, "container %s: subPath of volumeMount %s: %s", b->c->name, m->name, text);
    return err_new(e->kind, 0, "failed to %s for volumeMount \"%s\" of container \"%s\"", what, m->name, b->c->name);
}

/* Opens what the subPath names, made first where it is missing. */
static Err *sub_path_prepare(const Build *b, const VolumeMount *m, const VolumeJob *j, const char *sub, int *ret_fd)
{
    Err *e = subpath_open(j->path, sub, ret_fd);
    if (err_errno(e) == ENOENT && !b->ctx->observe) {
        err_free(e);
        const PersistentVolumeClaimVolumeSource *claim = j->vol->persistent_volume_claim;
        struct stat st;
        if (claim && claim->read_only.v)
            e = err_new(ERR_SYS, EROFS, "the claim is used read-only");
        else if (stat(j->path, &st) < 0)
            e = err_new(ERR_SYS, errno, "stat %s", j->path);
        else /* with the volume's own mode: a g+rws of fsGroup holds below it, too */
            e = subpath_make_dirs(j->path, sub, st.st_mode & (0777 | S_ISGID));
        if (e)
            return sub_path_failed(b, m, "create subPath directory", e);
        e = subpath_open(j->path, sub, ret_fd);
    }
    return e ? sub_path_failed(b, m, "prepare subPath", e) : NULL;
}

/* An empty thing of the same sort as <fd>, to mount on. */
static Err *make_target(const char *target, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_new(ERR_SYS, errno, "stat subPath");
    Err *e = mount_detach(target); /* the same attempt again, after a crash */
    if (!e)
        e = fs_remove_tree(target);
    if (e)
        return e;
    if (S_ISDIR(st.st_mode))
        return fs_mkdirs(target, 0750);
    SCOPED(fd_close) int file = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    return file < 0 ? err_new(ERR_SYS, errno, "create %s", target) : NULL;
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static Err *sub_path_bind(const Build *b, size_t index, const VolumeMount *m, int fd, bool read_only, char **ret)
{
    const char *root = b->ctx->root, *uid = b->ctx->pod->metadata.uid;
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/%s/subpaths/%s/%u", root, uid, b->c->name, b->attempt);
    SCOPED(mem_free) char *target = mem_fmt("%s/%zu", dir, index);
    if (b->ctx->observe) {
        if (!same_file(fd, target))
            return err_new(ERR_NOT_FOUND, 0, "the subPath of volumeMount \"%s\" names another file by now", m->name);
        *ret = MOVE(target, NULL);
        return NULL;
    }
    Err *e = fs_mkdirs(dir, 0750);
    if (e)
        return sub_path_failed(b, m, "prepare subPath", e);
    bool shared = m->mount_propagation && !str_eq(m->mount_propagation, "None");
    e = make_target(target, fd);
    if (!e)
        e = mount_bind_fd(fd, target, (MountBindOptions){.read_only = read_only, .keep_propagation = shared});
    if (e)
        return sub_path_failed(b, m, "prepare subPath", e);
    *ret = MOVE(target, NULL);
    return NULL;
}

/* --- volumeMounts ----------------------------------------------------------------------------------------------- */

static Err *recursive_read_only(const VolumeMount *m, bool *ret)
{
    const char *mode = str_or(m->recursive_read_only, "Disabled");
    bool wanted = str_eq(mode, "Enabled"), possible = str_eq(mode, "IfPossible");
    if (!wanted && !possible && !str_eq(mode, "Disabled"))
        return err_new(ERR_INVALID, 0,
                       "failed to resolve recursive read-only mode: unknown recursive read-only mode \"%s\"", mode);
    if ((wanted || possible) && !m->read_only.v)
        return err_new(ERR_INVALID, 0,
                       "failed to resolve recursive read-only mode: volume \"%s\" requested recursive "
                       "read-only mode, but it is not read-only",
                       m->name);
    if ((wanted || possible) && m->mount_propagation && !str_eq(m->mount_propagation, "None"))
        return err_new(ERR_INVALID, 0,
                       "failed to resolve recursive read-only mode: volume \"%s\" requested recursive "
                       "read-only mode, but it is not compatible with propagation %s",
                       m->name, m->mount_propagation);
    *ret = wanted || possible;
    return NULL;
}

static Err *propagation_of(const VolumeMount *m, const char **ret)
{
    static const char *const modes[] = {"None", "HostToContainer", "Bidirectional"};
    const char *mode = str_or(m->mount_propagation, "None");
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_eq(mode, modes[i])) {
            *ret = modes[i];
            return NULL;
        }
    }
    return err_new(ERR_INVALID, 0, "invalid MountPropagation mode: \"%s\"", mode);
}

static Err *sub_path_of(const Build *b, const VolumeMount *m, char **ret)
{
    if (!str_empty(m->sub_path_expr)) {
        Err *e = expand_sub_path(b, m->sub_path_expr, ret);
        if (e)
            return e;
    } else {
        *ret = mem_dup_str(str_or(m->sub_path, ""));
    }
    return subpath_check(*ret);
}

static Err *add_volume_mount(const Build *b, size_t index, const VolumeMount *m)
{
    const Volume *v = volume_find(b->ctx->pod, m->name);
    SCOPED(volume_job_done) VolumeJob j = {0};
    if (!v || !volume_type(v))
        return err_new(ERR_NOT_FOUND, 0, "cannot find volume \"%s\" to mount into container \"%s\"",
                       str_or(m->name, ""), b->c->name);
    SCOPED(mem_free) char *sub = NULL;
    Err *e = volume_job_init(&j, b->ctx, v);
    if (e || (e = sub_path_of(b, m, &sub)))
        return e;
    MountConfig out = {
        .container_path = m->mount_path[0] == '/' ? m->mount_path : keep(b, mem_fmt("/%s", m->mount_path)),
        .read_only = m->read_only.v || j.type->read_only ||
                     (v->persistent_volume_claim && v->persistent_volume_claim->read_only.v),
    };
    if ((e = propagation_of(m, &out.propagation)) || (e = recursive_read_only(m, &out.recursive_read_only)))
        return e;
    char *host = NULL;
    if (*sub) {
        SCOPED(fd_close) int fd = -EBADF;
        e = sub_path_prepare(b, m, &j, sub, &fd);
        if (e || (e = sub_path_bind(b, index, m, fd, out.read_only, &host)))
            return e;
    } else {
        host = MOVE(j.path, NULL);
    }
    out.host_path = keep(b, host);
    *LIST_ADD(b->out) = out;
    return NULL;
}

/* --- files of the Pod ------------------------------------------------------------------------------------------- */

/* "/etc//hosts/" is "/etc/hosts". */
static bool same_path(const char *a, const char *b)
{
    for (;;) {
        a += strspn(a, "/");
        b += strspn(b, "/");
        size_t n = strcspn(a, "/"), k = strcspn(b, "/");
        if (n != k || strncmp(a, b, n) != 0)
            return false;
        if (n == 0)
            return true;
        a += n;
        b += k;
    }
}

static bool is_covered(const Build *b, const char *path)
{
    LIST_EACH(m, &b->c->volume_mounts)
        if (same_path(str_or(m->mount_path, ""), path))
            return true;
    return false;
}

static Err *add_pod_files(const Build *b)
{
    /* containerd makes these two read-only with the root file system; /etc/hosts is the kubelet's, and never is. */
    bool ro = b->c->security_context && b->c->security_context->read_only_root_filesystem.v;
    const struct {
        const char *inside, *file;
        bool read_only;
    } files[] = {
        {"/etc/hosts", "/etc-hosts", false},
        {"/etc/hostname", "/hostname", ro},
        {"/etc/resolv.conf", "/resolv.conf", ro},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (is_covered(b, files[i].inside))
            continue;
        const char *host = keep(b, pod_path(b->ctx->root, b->ctx->pod->metadata.uid, files[i].file));
        if (!fs_exists(host))
            return err_new(ERR_BUG, 0, "%s is missing: podfiles_write() makes it before the first container", host);
        add_mount(b, files[i].inside, host, files[i].read_only);
    }
    return NULL;
}

static Err *add_termination_log(const Build *b)
{
    const char *inside = b->c->termination_message_path;
    if (str_empty(inside))
        return NULL;
    char *host = volumes_termination_log(b->ctx->root, b->ctx->pod->metadata.uid, b->c->name, b->attempt);
    (void)keep(b, host);
    SCOPED(mem_free) char *dir = mem_dup_strn(host, (size_t)(strrchr(host, '/') - host));
    if (b->ctx->observe) {
        add_mount(b, inside, host, false);
        return NULL;
    }
    Err *e = fs_mkdirs(dir, 0750);
    /* 0666: the container may run as anybody (kuberuntime_container.go, makeMounts). */
    if (!e)
        e = fs_write_atomic(host, "", 0, 0666, false);
    if (!e)
        add_mount(b, inside, host, false);
    return e;
}

static void add_shm(const Build *b)
{
    if (is_covered(b, "/dev/shm"))
        return;
    bool host_ipc = b->ctx->pod->spec.host_ipc.v;
    add_mount(b, "/dev/shm", host_ipc ? "/dev/shm" : keep(b, pod_path(b->ctx->root, b->ctx->pod->metadata.uid, "/shm")),
              false);
}

static size_t depth_of(const char *path)
{
    size_t n = 0;
    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        n++;
        path += strcspn(path, "/");
    }
    return n;
}

/* Stable, and lists are short: insertion. */
static void sort_by_depth(MountList *l)
{
    for (size_t i = 1; i < l->n; i++) {
        MountConfig m = l->v[i];
        size_t depth = depth_of(m.container_path), k = i;
        for (; k > 0 && depth_of(l->v[k - 1].container_path) > depth; k--)
            l->v[k] = l->v[k - 1];
        l->v[k] = m;
    }
}

Err *volumes_container_mounts(const VolumesContext *ctx, const Container *c, const StrVec *env, uint32_t attempt,
                              MountList *out, StrVec *arena)
{
    Build b = {ctx, c, env, attempt, out, arena};
    Err *e = path_component_check("container", c->name);
    for (size_t i = 0; !e && i < c->volume_mounts.n; i++)
        e = add_volume_mount(&b, i, &c->volume_mounts.v[i]);
    if (!e)
        e = add_pod_files(&b);
    if (!e)
        e = add_termination_log(&b);
    if (e)
        return err_reason(e, "CreateContainerConfigError");
    add_shm(&b);
    sort_by_depth(out);
    return NULL;
}

Err *volumes_container_devices(const VolumesContext *ctx, const Container *c, DeviceList *out, StrVec *arena)
{
    LIST_EACH(m, &c->volume_mounts) {
        const Volume *v = volume_find(ctx->pod, m->name);
        struct stat st;
        if (!v || !v->host_path || !str_empty(m->sub_path) || !str_empty(m->sub_path_expr) ||
            stat(str_or(v->host_path->path, ""), &st) < 0 || !(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
            continue;
        char *host = mem_dup_str(v->host_path->path);
        strvec_add_take(arena, host);
        *LIST_ADD(out) = (DeviceConfig){
            .host_path = host, .container_path = m->mount_path, .permissions = m->read_only.v ? "r" : "rw"};
    }
    return NULL;
}

/* --- release ---------------------------------------------------------------------------------------------------- */

/* "12" or, with <suffix>, "12-termination"; false for anything else. */
static bool attempt_of(const char *name, const char *suffix, int64_t *ret)
{
    SCOPED(mem_free) char *digits = mem_dup_strn(name, strspn(name, "0123456789"));
    return str_eq(name + strlen(digits), suffix) && str_to_i64(digits, ret);
}

static int i64_down(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* Calls <drop> for all attempts in <dir> but the newest <spare>. An absent directory has none. */
static Err *drop_old(const char *dir, const char *suffix, size_t spare, Err *(*drop)(const char *path))
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? NULL : err_new(ERR_SYS, errno, "read %s", dir);
    LIST_OF(int64_t) found = {0};
    struct dirent *ent;
    int64_t n;
    while ((ent = readdir(d)))
        if (attempt_of(ent->d_name, suffix, &n))
            *LIST_ADD(&found) = n;
    (void)closedir(d);
    if (found.n > 1)
        qsort(found.v, found.n, sizeof *found.v, i64_down);
    Err *e = NULL;
    for (size_t i = spare; !e && i < found.n; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%lld%s", dir, (long long)found.v[i], suffix);
        e = drop(path);
    }
    free(found.v);
    return e;
}

/* The mounts are found by name rather than in the mount table, which is long on a busy machine; what might be mounted
 * below one goes with it. */
static Err *drop_binds(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "read %s", path);
    Err *e = NULL;
    struct dirent *ent;
    while (!e && (ent = readdir(d))) {
        if (ent->d_name[0] == '.')
            continue;
        SCOPED(mem_free) char *point = mem_fmt("%s/%s", path, ent->d_name);
        e = mount_detach(point);
        /* Never a tree: if the mount were still there, this fails instead of deleting what lies behind it. */
        if (!e && rmdir(point) < 0 && (errno != ENOTDIR || (fault_hit("unlink") || unlink(point) < 0)))
            e = err_new(ERR_SYS, errno, "remove %s", point);
    }
    (void)closedir(d);
    if (!e && rmdir(path) < 0)
        e = err_new(ERR_SYS, errno, "remove %s", path);
    return e;
}

Err *volumes_container_release(const char *root, const char *pod_uid, const char *container)
{
    Err *e = path_component_check("pod uid", pod_uid);
    if (e || (e = path_component_check("container", container)))
        return e;
    SCOPED(mem_free) char *binds = mem_fmt("%s/pods/%s/subpaths/%s", root, pod_uid, container);
    SCOPED(mem_free) char *logs = mem_fmt("%s/pods/%s/containers/%s", root, pod_uid, container);
    e = drop_old(binds, "", 1, drop_binds);
    return e ? e : drop_old(logs, "-termination", 3, fs_remove_tree);
}
