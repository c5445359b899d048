/* Overlay mounts of image layers. mount(2) takes one page of options, and fsconfig(2) before Linux 6.5 only 256 bytes a
 * value: 127 layers fit when each is named by its descriptor in /proc/self/fd. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "os/fault.h"
#include "runtime/oci/image_priv.h"

typedef struct {
    size_t n;
    int v[IMAGE_MAX_LAYERS + 2];
} Fds;

static inline void fds_done_at(Fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        fd_close(f->v[i]);
}

static Err *add_dir(Fds *f, const char *path)
{
    int fd = fault_hit("open") ? -1 : open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open layer %s", path);
    f->v[f->n++] = fd;
    return NULL;
}

Err *image_overlay_mount(const StrVec *layer_dirs, const char *upper, const char *work, const char *target,
                         bool is_volatile)
{
    if (layer_dirs->n == 0 || layer_dirs->n > IMAGE_MAX_LAYERS)
        return err_new(ERR_LIMIT, 0, "mount %s: %zu layers; 1 to %d can be stacked", target, layer_dirs->n,
                       IMAGE_MAX_LAYERS);
    SCOPED(fds_done) Fds f = {0};
    SCOPED(str_done) Str options = {0};
    str_add(&options,
            "index=off,redirect_dir=off,metacopy=off,"); /* whatever the module's defaults are: layers stay plain */
    for (size_t i = layer_dirs->n; i-- > 0;) {
        Err *e = add_dir(&f, layer_dirs->v[i]);
        if (e)
            return e;
        str_fmt(&options, "%s/proc/self/fd/%d", i + 1 == layer_dirs->n ? "lowerdir=" : ":", f.v[f.n - 1]);
    }
    Err *e = add_dir(&f, upper);
    if (!e)
        e = add_dir(&f, work);
    if (e)
        return e;
    str_fmt(&options, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s", f.v[f.n - 2], f.v[f.n - 1],
            is_volatile ? ",volatile" : "");
    if (options.n >= (size_t)sysconf(_SC_PAGESIZE))
        return err_new(ERR_LIMIT, 0, "mount %s: %zu layers make the mount's options too long", target, layer_dirs->n);
    if (fault_hit("mount") || mount("overlay", target, "overlay", 0, options.p) < 0) {
        if (errno == EINVAL)
            return err_new(ERR_UNSUPPORTED, EINVAL,
                           "mount overlay at %s: the file system of %s cannot carry one (an overlay itself, "
                           "NFS, no extended attributes): put the state directory elsewhere with --root",
                           target, upper);
        if (errno == ENODEV)
            return err_new(ERR_UNSUPPORTED, ENODEV,
                           "mount overlay at %s: the kernel has no overlayfs (modprobe overlay)", target);
        return err_new(ERR_SYS, errno, "mount overlay at %s", target);
    }
    return NULL;
}
