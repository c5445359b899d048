/* A directory as a layer: a pax tar in name order, so that the same tree gives the same bytes. */
#include "runtime/oci/layer_priv.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fs.h"

typedef struct {
    struct archive *disk, *tar;
    struct archive_entry_linkresolver *links;
    FTS *fts;
} Pack;

static void pack_done(Pack *p)
{
    if (p->fts)
        (void)fts_close(p->fts);
    archive_entry_linkresolver_free(p->links);
    (void)archive_read_free(p->disk);
    (void)archive_write_free(p->tar);
}
static inline void pack_done_at(Pack *p)
{
    pack_done(p);
}
static inline void entry_free_at(struct archive_entry **e)
{
    archive_entry_free(*e);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static Err *tar_failed(const Pack *p, const char *path)
{
    return err_new(ERR_SYS, archive_errno(p->tar) > 0 ? archive_errno(p->tar) : EIO, "pack %s", path);
}

static Err *copy_data(const Pack *p, int fd, const char *path, int64_t size)
{
    char buf[65536];
    while (size > 0) {
        ssize_t n = read(fd, buf, size < (int64_t)sizeof buf ? (size_t)size : sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* shorter than its size: somebody writes to it */
            return n < 0 ? err_new(ERR_SYS, errno, "read %s", path)
                         : err_new(ERR_UNAVAILABLE, 0, "read %s: it became shorter meanwhile", path);
        if (archive_write_data(p->tar, buf, (size_t)n) != n)
            return tar_failed(p, path);
        size -= n;
    }
    return NULL;
}

static Err *pack_entry(const Pack *p, const FTSENT *ent, size_t n_root)
{
    const char *path = ent->fts_path;
    mode_t type = ent->fts_statp->st_mode & S_IFMT;
    if (type == S_IFSOCK)
        return NULL;
    SCOPED(fd_close) int fd = type == S_IFREG ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -EBADF;
    if (type == S_IFREG && fd < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    __attribute__((cleanup(entry_free_at))) struct archive_entry *entry = archive_entry_new();
    const char *inside = path + n_root;
    SCOPED(mem_free) char *name = mem_fmt(".%s", inside);
    archive_entry_copy_sourcepath(entry, path);
    archive_entry_set_pathname(entry, name);
    if (archive_read_disk_entry_from_file(p->disk, entry, fd, ent->fts_statp) < ARCHIVE_WARN)
        return err_new(ERR_SYS, archive_errno(p->disk) > 0 ? archive_errno(p->disk) : EIO, "read attributes of %s",
                       path);
    archive_entry_sparse_clear(entry);
    archive_entry_set_uname(entry, NULL); /* the image's passwd says who that is, not ours */
    archive_entry_set_gname(entry, NULL);
    archive_entry_unset_ctime(entry);
    archive_entry_unset_atime(entry);
    archive_entry_unset_birthtime(entry);
    archive_entry_set_fflags(entry, 0, 0);
    struct archive_entry *spare = NULL, *e = entry;
    archive_entry_linkify(p->links, &e, &spare); /* the tar strategy defers nothing: e is entry, spare stays NULL */
    if (archive_write_header(p->tar, entry) < ARCHIVE_WARN)
        return tar_failed(p, path);
    return type == S_IFREG ? copy_data(p, fd, path, archive_entry_size(entry)) : NULL;
}

Err *layer_pack(const char *dir, int fd)
{
    SCOPED(mem_free) char *root = mem_dup_str(dir);
    for (size_t n = strlen(root); n > 1 && root[n - 1] == '/';)
        root[--n] = '\0';
    size_t n_root = str_eq(root, "/") ? 0 : strlen(root);
    SCOPED(pack_done)
    Pack p = {.disk = archive_read_disk_new(), .tar = archive_write_new(), .links = archive_entry_linkresolver_new()};
    archive_entry_linkresolver_set_strategy(p.links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
    (void)archive_read_disk_set_symlink_physical(p.disk);
    (void)archive_read_disk_set_behavior(p.disk, ARCHIVE_READDISK_NO_ACL | ARCHIVE_READDISK_NO_FFLAGS);
    (void)archive_write_set_format_pax_restricted(p.tar);
    (void)archive_write_set_option(p.tar, "pax", "hdrcharset", "BINARY"); /* names are bytes */
    (void)archive_write_set_bytes_in_last_block(p.tar, 1);
    if (archive_write_open_fd(p.tar, fd) != ARCHIVE_OK)
        return tar_failed(&p, dir);
    char *const paths[] = {root, NULL};
    p.fts = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, by_name);
    if (!p.fts)
        return err_new(ERR_SYS, errno, "read directory %s", dir);
    FTSENT *ent;
    while ((ent = fts_read(p.fts))) {
        if (ent->fts_info == FTS_DP)
            continue;
        if (ent->fts_info == FTS_DNR || ent->fts_info == FTS_ERR || ent->fts_info == FTS_NS)
            return err_new(ERR_SYS, ent->fts_errno, "read %s", ent->fts_path);
        Err *e = pack_entry(&p, ent, n_root);
        if (e)
            return e;
    }
    return archive_write_close(p.tar) != ARCHIVE_OK ? tar_failed(&p, dir) : NULL;
}
