/* Layers: any bytes as a tar, packed or not, are unpacked into a directory of a memory file system. Whatever they say,
 * what lies beside that directory stays as it was. The first byte: even = as a layer, odd = as an image archive. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fs.h"
#include "runtime/oci/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[] = "/dev/shm/reprise-fuzz-XXXXXX";
static char root[64], beside[64];

static void remove_base(void)
{
    err_free(fs_remove_tree(base));
}

static void prepare(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    if (!mkdtemp(base))
        abort();
    (void)atexit(remove_base);
    (void)snprintf(root, sizeof root, "%s/root", base);
    (void)snprintf(beside, sizeof beside, "%s/beside", base);
    SCOPED(err_free) Err *e = fs_write_atomic(beside, "untouched", 9, 0644, false);
    if (e)
        abort();
}

/* base/ holds root/ and beside, and beside is as it was. */
static void check_beside(void)
{
    struct stat st;
    SCOPED(str_done) Str text = {0};
    SCOPED(err_free) Err *e = fs_read(beside, 100, &text);
    if (e || !str_eq(text.p, "untouched") || lstat(beside, &st) < 0 || st.st_nlink != 1 || (st.st_mode & 07777) != 0644)
        abort();
    DIR *d = opendir(base);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    if (n != 4) /* with "." and ".." */
        abort();
    (void)closedir(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    prepare();
    if (mkdir(root, 0755) < 0)
        abort();
    SCOPED(fd_close) int fd = memfd_create("layer", MFD_CLOEXEC);
    SCOPED(fd_close) int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || dir < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    LayerOptions o = {.name = "layer", .max_bytes = (int64_t)16 << 20};
    SCOPED(layer_scan_done) LayerScan scan = {0};
    SCOPED(err_free) Err *e = layer_scan(fd, &o, NULL, NULL, &scan);
    if (!e)
        e = layer_unpack(fd, &o, &scan, dir, data[0] & 1 ? LAYER_FILES_ONLY : 0);
    check_beside();
    Err *removed = fs_remove_tree(root);
    if (removed)
        abort();
    return 0;
}
