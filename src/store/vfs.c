/* vfs.c - SQLite's calls with our fault points: the system's own VFS, with the methods of its files that write put behind ours.
 * SQLite keeps the errno of a failed call for some of them only, and says "disk I/O error" for what has a name. */
#include <sqlite3.h>

#include "os/fault.h"
#include "store/store_priv.h"

int objvfs_errno, objvfs_broken;

/* The system's VFS has a table of methods for databases and one for journals; ours are copies with a way back. */
typedef struct {
    sqlite3_io_methods ours; /* first: a file's pMethods points at it */
    const sqlite3_io_methods *system;
} Methods;
static struct {
    sqlite3_vfs vfs;
    int (*open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
    Methods table[4];
} v;

static const sqlite3_io_methods *system_of(const sqlite3_file *f)
{
    return ((const Methods *)(const void *)f->pMethods)->system;
}

static int fails(const char *call)
{
    if (objvfs_broken)
        return objvfs_errno = objvfs_broken;
    return fault_hit(call) ? (objvfs_errno = errno) : 0;
}

static int noted(int rc)
{
    if (rc != SQLITE_OK && errno)
        objvfs_errno = errno;
    return rc;
}

static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    int e = fails("write");
    if (e)
        return e == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    errno = 0;
    return noted(system_of(f)->xWrite(f, bytes, n, at));
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (fails("write"))
        return SQLITE_IOERR_TRUNCATE;
    errno = 0;
    return noted(system_of(f)->xTruncate(f, size));
}

static int on_sync(sqlite3_file *f, int flags)
{
    if (fails("fsync"))
        return SQLITE_IOERR_FSYNC;
    errno = 0;
    return noted(system_of(f)->xSync(f, flags));
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    if (fault_hit("open")) {
        f->pMethods = NULL;
        objvfs_errno = errno;
        return SQLITE_CANTOPEN;
    }
    errno = 0;
    int rc = noted(v.open(vfs, name, f, flags, ret_flags));
    if (rc != SQLITE_OK || !f->pMethods)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(v.table); i++) {
        Methods *m = &v.table[i];
        if (!m->system) {
            *m = (Methods){*f->pMethods, f->pMethods};
            m->ours.xWrite = on_write;
            m->ours.xTruncate = on_truncate;
            m->ours.xSync = on_sync;
        }
        if (m->system == f->pMethods) {
            f->pMethods = &m->ours;
            break;
        }
    }
    return rc;
}

const char *objvfs_name(void)
{
    if (v.open)
        return v.vfs.zName;
    const sqlite3_vfs *system = sqlite3_vfs_find("unix");
    if (!system)
        return NULL; /* SQLite's own choice, without fault points */
    v.vfs = *system;
    v.vfs.pNext = NULL;
    v.vfs.zName = "reprise";
    v.open = system->xOpen;
    v.vfs.xOpen = on_open;
    (void)sqlite3_vfs_register(&v.vfs, 0);
    return v.vfs.zName;
}
