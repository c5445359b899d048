/* Volumes that are a directory: emptyDir, hostPath, persistentVolumeClaim. */
#include "node/volumes_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/quantity.h"
#include "node/allocatable.h"
#include "node/resources.h"
#include "os/fault.h"
#include "os/fs.h"
#include "os/mount.h"

#define DIR_MODE 0777 /* empty_dir.go: defaultPerm; nothing else is known of who will write there */

static Err *make_dir(const char *path, mode_t mode)
{
    SCOPED(mem_free) char *parent = mem_dup_strn(path, (size_t)(strrchr(path, '/') - path));
    Err *e = fs_mkdirs(parent, 0750);
    if (e)
        return e;
    if ((fault_hit("mkdir") || mkdir(path, mode) < 0) && errno != EEXIST)
        return err_new(ERR_SYS, errno, "create directory %s", path);
    struct stat st;
    if (lstat(path, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_new(ERR_SYS, ENOTDIR, "create directory %s", path);
    if ((st.st_mode & 0777) != (mode & 0777) && chmod(path, mode) < 0) /* the umask */
        return err_new(ERR_SYS, errno, "chmod %s", path);
    return NULL;
}

/* --- emptyDir --------------------------------------------------------------------------------------------------- */

/* empty_dir.go, calculateEmptyDirMemorySize: the least of what the node has, the Pod may use, and the volume asks for.
 */
static int64_t memory_size(const VolumesContext *ctx, const char *size_limit)
{
    int64_t size = node_memory_bytes(), wish;
    SandboxConfig pod = {0};
    resources_pod(ctx->pod, &pod);
    if (pod.memory_limit_bytes > 0 && pod.memory_limit_bytes <= size)
        size = pod.memory_limit_bytes;
    if (size_limit && quantity_value(size_limit, &wish) && wish > 0 && wish <= size)
        size = wish;
    return size;
}

typedef struct {
    const char *wanted; /* "2Mi"; NULL = the one that is requested */
    const char *found;  /* borrowed from the Pod */
    bool mixed;
} PageSize;

static void page_size_look(PageSize *p, const ResourceRequirements *r)
{
    for (size_t i = 0; r && i < r->requests.n; i++) {
        const char *name = r->requests.v[i].key;
        if (!str_starts(name, "hugepages-"))
            continue;
        const char *size = name + strlen("hugepages-");
        int64_t bytes;
        if (!quantity_value(size, &bytes) || (p->wanted && quantity_cmp(size, p->wanted) != 0))
            continue;
        p->mixed |= p->found && quantity_cmp(size, p->found) != 0;
        p->found = size;
    }
}

/* empty_dir.go, getPageSizeMountOption. */
static Err *mount_huge_pages(const VolumeJob *j, const char *medium)
{
    PageSize p = {.wanted = str_starts(medium, "HugePages-") ? medium + strlen("HugePages-") : NULL};
    int64_t bytes;
    if (p.wanted && !quantity_value(p.wanted, &bytes))
        return err_new(ERR_INVALID, 0, "unknown storage medium \"%s\"", medium);
    const PodSpec *s = &j->ctx->pod->spec;
    page_size_look(&p, s->resources);
    LIST_EACH(c, &s->containers)
        page_size_look(&p, c->resources);
    LIST_EACH(c, &s->init_containers)
        page_size_look(&p, c->resources);
    if (p.mixed)
        return err_new(ERR_INVALID, 0, "medium: %s can't be used if container requests multiple huge page sizes",
                       medium);
    if (!p.found)
        return err_new(ERR_INVALID, 0,
                       "medium %s: hugePages storage requested, but there is no resource request for huge pages",
                       medium);
    (void)quantity_value(p.found, &bytes);
    SCOPED(mem_free) char *options = mem_fmt("pagesize=%lld,mode=0777", (long long)bytes);
    return mount_hugetlbfs(j->path, options);
}

Err *volume_dir_make(const VolumeJob *j, const char *medium, const char *size_limit)
{
    bool memory = str_eq(medium, "Memory"), huge = str_eq(medium, "HugePages") || str_starts(medium, "HugePages-");
    if (!memory && !huge && !str_empty(medium))
        return err_new(ERR_INVALID, 0, "unknown storage medium \"%s\"", medium);
    bool mounted = mount_is_point(j->path);
    /* A machine that was booted anew keeps the mark and loses the mount. */
    if (volume_is_ready(j) && fs_exists(j->path) && (mounted || !(memory || huge)))
        return NULL;
    Err *e = mounted ? NULL : make_dir(j->path, DIR_MODE);
    if (!e && memory && !mounted) {
        SCOPED(mem_free) char *options = mem_fmt("size=%lld", (long long)memory_size(j->ctx, size_limit));
        e = mount_tmpfs(j->path, options, false);
    } else if (!e && huge && !mounted) {
        e = mount_huge_pages(j, medium);
    }
    const PodSecurityContext *sec = j->ctx->pod->spec.security_context;
    if (!e && sec && sec->fs_group.set)
        e = volume_set_group(j->path, sec->fs_group.v, false, NULL);
    return e ? e : volume_set_ready(j);
}

Err *empty_dir_setup(const VolumeJob *j)
{
    const EmptyDirVolumeSource *src = j->vol->empty_dir;
    return volume_dir_make(j, str_or(src->medium, ""), src->size_limit);
}

/* --- hostPath --------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *type; /* hostPath.type, and the kubelet's name of what is there */
    mode_t format;    /* S_IFMT bits */
    const char *what; /* in the kubelet's messages */
    bool create;
    const char *is; /* what an existing thing must be */
} HostPathType;
static const HostPathType host_path_types[] = {
    {"DirectoryOrCreate", S_IFDIR, "directory", true, "Directory"},
    {"Directory", S_IFDIR, "directory", false, "Directory"},
    {"FileOrCreate", S_IFREG, "file", true, "File"},
    {"File", S_IFREG, "file", false, "File"},
    {"Socket", S_IFSOCK, "socket file", false, "Socket"},
    {"CharDevice", S_IFCHR, "character device", false, "CharDevice"},
    {"BlockDevice", S_IFBLK, "block device", false, "BlockDevice"},
};

static Err *make_file(const char *path)
{
    SCOPED(fd_close) int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? err_new(ERR_SYS, errno, "open %s", path) : NULL;
}

static const char *kind_of(mode_t mode)
{
    for (size_t i = 0; i < ARRAY_LEN(host_path_types); i++)
        if ((mode & S_IFMT) == host_path_types[i].format)
            return host_path_types[i].is;
    return NULL;
}

static Err *host_path_check(const char *path, const HostPathType *t)
{
    struct stat st;
    bool there = stat(path, &st) == 0;
    if (!there && t->create)
        return t->format == S_IFDIR ? fs_mkdirs(path, 0755) : make_file(path);
    if (!there)
        return err_new(ERR_NOT_FOUND, errno == ENOENT ? 0 : errno, "hostPath %s doesn't exist", path);
    const char *kind = kind_of(st.st_mode);
    if (!kind)
        return err_new(ERR_INVALID, 0,
                       "hostPath type check failed, %s is not a %s, unable to determine its type: only recognise file, "
                       "directory, socket, block device and character device",
                       path, t->what);
    if ((st.st_mode & S_IFMT) != t->format)
        return err_new(ERR_INVALID, 0, "hostPath type check failed: %s is not a %s, it's a %s", path, t->what, kind);
    return NULL;
}

static bool has_backsteps(const char *path)
{
    for (const char *s = path; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (strcspn(s, "/") == 2 && s[0] == '.' && s[1] == '.')
            return true;
    }
    return false;
}

Err *host_path_setup(const VolumeJob *j)
{
    const char *type = str_or(j->vol->host_path->type, "");
    if (has_backsteps(j->path))
        return err_new(ERR_INVALID, 0, "invalid HostPath `%s`: must not contain '..'", j->path);
    if (j->path[0] != '/')
        return err_new(ERR_INVALID, 0, "invalid HostPath `%s`: must be an absolute path", j->path);
    /* The kubelet leaves "" unchecked; the runtime then makes a missing path a directory (containerd, dockershim). */
    if (!*type)
        return fs_exists(j->path) ? NULL : fs_mkdirs(j->path, 0755);
    for (size_t i = 0; i < ARRAY_LEN(host_path_types); i++)
        if (str_eq(type, host_path_types[i].type))
            return host_path_check(j->path, &host_path_types[i]);
    return err_new(ERR_INVALID, 0, "%s is an invalid volume type", type);
}

/* --- persistentVolumeClaim -------------------------------------------------------------------------------------- */

Err *claim_setup(const VolumeJob *j)
{
    const PersistentVolumeClaimVolumeSource *src = j->vol->persistent_volume_claim;
    struct stat st;
    bool there = lstat(j->path, &st) == 0 && S_ISDIR(st.st_mode);
    if (!there && !ctx_has_claim(j->ctx, src->claim_name))
        return err_new(ERR_NOT_FOUND, 0, "persistentvolumeclaim \"%s\" not found", src->claim_name);
    Err *e = there ? NULL : make_dir(j->path, DIR_MODE);
    if (e || volume_is_ready(j))
        return e;
    const PodSecurityContext *sec = j->ctx->pod->spec.security_context;
    if (sec && sec->fs_group.set && !src->read_only.v)
        e = volume_set_group(j->path, sec->fs_group.v, false, sec->fs_group_change_policy);
    return e ? e : volume_set_ready(j);
}
