#include "agent/trash.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "loop/process.h"
#include "os/fs.h"

static void on_removed(void *arg, ProcessResult *res)
{
    (void)arg; /* the helper has said on stderr what it could not do; it is tried again at the next start */
    (void)res;
}

static Err *start_helper(uv_loop_t *loop, const char *root)
{
    SCOPED(mem_free) char *option = mem_fmt("--root=%s", root);
    const char *const argv[] = {"/proc/self/exe", "remove-deleted", option, NULL};
    ProcessSpec spec = {.argv = argv};
    return process_start(loop, &spec, on_removed, NULL, NULL);
}

Err *trash_remove(uv_loop_t *loop, const char *root, const char *dir)
{
    bool more;
    Err *e = fs_remove_small(dir, TRASH_SMALL, &more);
    if (e || !more)
        return e;
    char random[17];
    os_random_hex(random, 8);
    SCOPED(mem_free) char *deleted = mem_fmt("%s/deleted", root);
    SCOPED(mem_free) char *away = mem_fmt("%s/%s", deleted, random);
    e = fs_mkdirs(deleted, 0700);
    if (e)
        return e;
    if (rename(dir, away) < 0)
        return err_new(ERR_SYS, errno, "rename %s to %s", dir, away);
    return start_helper(loop, root);
}

void trash_resume(uv_loop_t *loop, const char *root)
{
    SCOPED(mem_free) char *deleted = mem_fmt("%s/deleted", root);
    if (rmdir(deleted) < 0 && errno != ENOENT)
        err_free(start_helper(loop, root)); /* what cannot be started now is started by the next Pod that goes */
}

Err *trash_empty(const char *root)
{
    SCOPED(mem_free) char *deleted = mem_fmt("%s/deleted", root);
    Err *first = NULL;
    DIR *d = opendir(deleted);
    if (!d)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "open %s", deleted);
    struct dirent *ent;
    while ((ent = readdir(d))) {
        if (ent->d_name[0] == '.')
            continue;
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", deleted, ent->d_name);
        Err *e = fs_remove_tree(path); /* another helper may be at it, too: what is gone is no error */
        if (e && first)
            err_free(e);
        else if (e)
            first = e;
    }
    (void)closedir(d);
    (void)rmdir(deleted);
    return first;
}
