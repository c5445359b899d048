/* A container attempt's root: an overlay of the image's layers under a fresh writable layer. "volatile" spares the syncs
 * (1.4 ms at unmount on ext4, ecosystem.md 4): nothing of it is ever used again. */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/mount.h"
#include "shim/shim.h"

#define MAX_LAYERS 500 /* OVL_MAX_STACK */
#define SMALL_LAYER 100 /* files that are removed at once: 1 ms; a process for it takes as long */
#define OPTIONS_MAX 4000 /* mount(2) takes one page */

static Err *dirs_make(Shim *s, const char *id)
{
    static const char *const names[] = {"upper", "work", "rootfs"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        SCOPED(mem_free) char *path = ctr_layer_path(s, id, names[i]);
        Err *e = fs_mkdirs(path, 0755);
        if (e)
            return e;
    }
    /* The folders above hold other people's files: nobody but root may look in. */
    SCOPED(mem_free) char *top = ctr_layer_path(s, id, "");
    return chmod(top, 0700) < 0 ? err_new(ERR_SYS, errno, "protect %s", top) : NULL;
}

/* Names for many layers: links 0, 1, 2 ... in a folder that is the working directory while mount(2) looks them up. */
static Err *lower_short(Shim *s, const char *id, const json_t *lower, Str *out, char **ret_cwd)
{
    SCOPED(mem_free) char *dir = ctr_layer_path(s, id, "l");
    Err *e = fs_mkdirs(dir, 0700);
    for (size_t i = json_array_size(lower); !e && i-- > 0;) {
        SCOPED(mem_free) char *link = mem_fmt("%s/%zu", dir, i);
        if (symlink(json_string_value(json_array_get(lower, i)), link) < 0 && errno != EEXIST)
            e = err_new(ERR_SYS, errno, "link %s", link);
        str_fmt(out, "%s%zu", out->n ? ":" : "", i);
    }
    if (!e)
        *ret_cwd = MOVE(dir, NULL);
    return e;
}

static Err *lower_text(Shim *s, const char *id, const json_t *lower, Str *out, char **ret_cwd)
{
    size_t n = json_array_size(lower);
    if (n > MAX_LAYERS)
        return err_new(ERR_LIMIT, 0, "image of %zu layers: overlayfs stacks at most %d", n, MAX_LAYERS);
    for (size_t i = n; i-- > 0;) {
        const char *dir = json_string_value(json_array_get(lower, i));
        if (!dir || dir[0] != '/' || strpbrk(dir, ":,\\"))
            return err_new(ERR_INVALID, 0, "layer directory \"%s\": must be absolute, without ':' ',' and '\\'", str_or(dir, ""));
        str_fmt(out, "%s%s", out->n ? ":" : "", dir);
    }
    if (n == 0) { /* an image without layers is an empty root */
        SCOPED(mem_free) char *empty = ctr_layer_path(s, id, "l");
        Err *e = fs_mkdirs(empty, 0755);
        str_add(out, empty);
        return e;
    }
    if (out->n < OPTIONS_MAX - 1024)
        return NULL;
    str_clear(out);
    return lower_short(s, id, lower, out, ret_cwd);
}

static int overlay_mount(const char *cwd, const char *at, const char *options)
{
    if (fault_hit("mount") || (cwd && chdir(cwd) < 0))
        return -1;
    int rc = mount("overlay", at, "overlay", 0, options);
    int saved = errno;
    if (cwd && chdir("/") < 0)
        abort(); /* "/" cannot fail */
    errno = saved;
    return rc;
}

Err *rootfs_mount(Shim *s, const char *id, const json_t *lower, char **ret_rootfs)
{
    SCOPED(str_done) Str low = {0};
    SCOPED(mem_free) char *cwd = NULL;
    Err *e = dirs_make(s, id);
    if (!e)
        e = lower_text(s, id, lower, &low, &cwd);
    if (e)
        return e;
    SCOPED(mem_free) char *upper = ctr_layer_path(s, id, "upper");
    SCOPED(mem_free) char *work = ctr_layer_path(s, id, "work");
    char *rootfs = ctr_layer_path(s, id, "rootfs");
    SCOPED(mem_free) char *options = mem_fmt("lowerdir=%s,upperdir=%s,workdir=%s,volatile", low.p, upper, work);
    int rc = overlay_mount(cwd, rootfs, options);
    if (rc < 0 && errno == EINVAL) { /* before Linux 5.10 */
        options[strlen(options) - strlen(",volatile")] = '\0';
        rc = overlay_mount(cwd, rootfs, options);
    }
    if (rc < 0) {
        e = err_new(ERR_SYS, errno, "mount the overlay root %s (is its file system fit to be an overlay's upper layer?)", rootfs);
        mem_free(rootfs);
        return e;
    }
    *ret_rootfs = rootfs;
    return NULL;
}

static void on_deleted(void *arg, int status, const char *text)
{
    if (status != 0)
        shim_log("delete a writable layer: %s", text);
    shim_maybe_end(arg); /* it may have been the last thing that the shim was there for */
}

Err *rootfs_remove(Shim *s, const char *id)
{
    SCOPED(mem_free) char *top = ctr_layer_path(s, id, "");
    SCOPED(mem_free) char *rootfs = ctr_layer_path(s, id, "rootfs");
    bool more;
    if (!fs_exists(top))
        return NULL;
    Err *e = mount_is_point(rootfs) ? mount_detach(rootfs) : NULL;
    if (e)
        return e;
    /* Most have little more than the places that were mounted on. */
    e = fs_remove_small(top, SMALL_LAYER, &more);
    if (e || !more)
        return e;
    SCOPED(mem_free) char *away = mem_fmt("%s/deleted.%.16s", s->root_dir, id);
    if (rename(top, away) < 0)
        return err_new(ERR_SYS, errno, "rename %s", top);
    const char *argv[] = {"/proc/self/exe", "--delete", away, NULL};
    return cmd_run(s, &(CmdSpec){.argv = argv}, on_deleted, s, NULL);
}
