#include "node/volumes_priv.h"

#include "os/walk.h"

/* Disk use as du counts it: blocks, and a file with several names once. */
typedef struct {
    int64_t bytes, inodes;
    uint64_t *slot; /* inode numbers of files with several names; 0 = free */
    size_t n, n_slot;
} Usage;

static bool seen_insert(uint64_t *slot, size_t n_slot, uint64_t ino)
{
    for (size_t i = (size_t)(ino * UINT64_C(0x9E3779B97F4A7C15)) & (n_slot - 1);; i = (i + 1) & (n_slot - 1)) {
        if (slot[i] == ino)
            return false;
        if (slot[i] == 0) {
            slot[i] = ino;
            return true;
        }
    }
}

/* true: not seen before. */
static bool usage_first_name(Usage *u, uint64_t ino)
{
    if (2 * (u->n + 1) > u->n_slot) {
        size_t n_slot = u->n_slot ? 2 * u->n_slot : 64;
        uint64_t *slot = mem_alloc_n(n_slot, sizeof *slot);
        for (size_t i = 0; i < u->n_slot; i++)
            if (u->slot[i])
                (void)seen_insert(slot, n_slot, u->slot[i]);
        free(u->slot);
        u->slot = slot;
        u->n_slot = n_slot;
    }
    bool fresh = seen_insert(u->slot, u->n_slot, ino);
    u->n += fresh;
    return fresh;
}

static Err *usage_visit(void *arg, int fd, const struct stat *st)
{
    (void)fd;
    Usage *u = arg;
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2 || usage_first_name(u, st->st_ino)) {
        u->bytes += (int64_t)st->st_blocks * 512; /* stat(2): always units of 512 */
        u->inodes++;
    }
    return NULL;
}

Err *disk_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes)
{
    Usage u = {0};
    Err *e = fs_walk(path, usage_visit, &u);
    free(u.slot);
    if (!e) {
        *ret_bytes = u.bytes;
        *ret_inodes = u.inodes;
    }
    return e;
}
