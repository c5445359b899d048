/* An image's user, /etc/passwd and /etc/group, separated by NUL bytes. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char root[64], paths[3][96]; /* etc, passwd, group */

static void remove_root(void)
{
    (void)unlink(paths[1]);
    (void)unlink(paths[2]);
    (void)rmdir(paths[0]);
    (void)rmdir(root);
}

static void set_up(void)
{
    memcpy(root, "/tmp/fuzz-passwd-XXXXXX", sizeof "/tmp/fuzz-passwd-XXXXXX");
    if (!mkdtemp(root))
        abort();
    snprintf(paths[0], sizeof paths[0], "%s/etc", root);
    snprintf(paths[1], sizeof paths[1], "%s/etc/passwd", root);
    snprintf(paths[2], sizeof paths[2], "%s/etc/group", root);
    if (mkdir(paths[0], 0700) < 0)
        abort();
    (void)atexit(remove_root);
}

static void put(const char *path, const char *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!root[0])
        set_up();
    char *text = mem_dup_strn("", 0);
    text = mem_grow(text, n + 1, 1);
    memcpy(text, data, n);
    text[n] = '\0';
    size_t user_n = strlen(text), at = user_n < n ? user_n + 1 : n, passwd_n = strlen(text + at), group_at = at + passwd_n;
    put(paths[1], text + at, passwd_n);
    put(paths[2], text + group_at, n - group_at); /* may itself hold NULs */
    int64_t uid = -1, gid = -1;
    IntList groups = {0};
    Err *e = oci_user_lookup(root, text, &uid, &gid, &groups);
    if (!e && (uid < 0 || uid > INT32_MAX || gid < 0 || gid > INT32_MAX))
        abort();
    free(groups.v);
    err_free(e);
    int64_t image_uid;
    char *name;
    oci_image_user(text, &image_uid, &name);
    if ((image_uid < 0) != (name != NULL))
        abort();
    free(name);
    free(text);
    return 0;
}
