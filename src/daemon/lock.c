#include "daemon/lock.h"

#include "os/fs.h"

Err *daemon_lock(const char *root, int *ret)
{
    Err *e = fs_mkdirs(root, 0755);
    if (e)
        return e;
    SCOPED(mem_free) char *path = mem_fmt("%s/node.lock", root);
    char holder[FS_LOCK_HOLDER];
    e = fs_lock(path, ret, holder);
    if (!e || e->kind != ERR_EXISTS)
        return e;
    err_free(e);
    return err_new(ERR_EXISTS, 0, "another reprise node drives %s: process %s", root, holder);
}
