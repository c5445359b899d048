#include "node/volumes_priv.h"

#include <fcntl.h>

#include "os/fault.h"
#include "os/walk.h"

/* pkg/volume/volume_linux.go: rwMask, roMask, execMask and the setgid bit. */
#define MODE_RW 0660u
#define MODE_RO 0440u
#define MODE_DIR (0110u | S_ISGID)

typedef struct {
    gid_t gid;
    mode_t mask;
} GroupChange;

static mode_t wanted_mode(const GroupChange *c, const struct stat *st)
{
    return (st->st_mode & 07777u) | c->mask | (S_ISDIR(st->st_mode) ? MODE_DIR : 0);
}

/* By descriptor: a container with the same claim may swap names for symlinks while we walk. */
static Err *change_one(void *arg, int fd, const struct stat *st)
{
    const GroupChange *c = arg;
    if (fault_hit("chown") || fchownat(fd, "", (uid_t)-1, c->gid, AT_EMPTY_PATH) < 0)
        return err_new(ERR_SYS, errno, "chown to group %u", c->gid);
    if (S_ISLNK(st->st_mode))
        return NULL;
    /* After the chown, which clears the setgid bit of files. */
    if (fd_chmod(fd, wanted_mode(c, st)) < 0)
        return err_new(ERR_SYS, errno, "chmod");
    return NULL;
}

static bool root_matches(const char *path, const GroupChange *c)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_gid == c->gid && wanted_mode(c, &st) == (st.st_mode & 07777u);
}

Err *volume_set_group(const char *path, int64_t gid, bool read_only, const char *policy)
{
    GroupChange c = {.gid = (gid_t)gid, .mask = read_only ? MODE_RO : MODE_RW};
    if (str_eq(policy, "OnRootMismatch") && root_matches(path, &c))
        return NULL;
    Err *e = fs_walk(path, change_one, &c);
    return e ? err_wrap(e, "apply fsGroup %lld to %s", (long long)gid, path) : NULL;
}
