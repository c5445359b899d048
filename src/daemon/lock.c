#include "daemon/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"

Err *daemon_lock(const char *root, int *ret)
{
    Err *e = fs_mkdirs(root, 0755);
    if (e)
        return e;
    SCOPED(mem_free) char *path = mem_fmt("%s/node.lock", root);
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_new(ERR_SYS, errno, "lock %s", path);
        char pid[24] = "";
        ssize_t n = read(fd, pid, sizeof pid - 1);
        pid[n > 0 ? n : 0] = '\0';
        return err_new(ERR_EXISTS, 0, "another reprise node drives %s: process %s", root, pid[0] ? pid : "(unknown)");
    }
    SCOPED(mem_free) char *me = mem_fmt("%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, me, strlen(me)) < 0)
        return err_new(ERR_SYS, errno, "write %s", path);
    *ret = MOVE(fd, -EBADF);
    return NULL;
}
