#include "cli/image_open.h"

/* The option's default gives way to the environment, an option that was given does not differ from it by accident. */
const char *image_root(const CliArgs *a)
{
    const char *root = cli_opt(a, "root"), *env = getenv("REPRISE_ROOT");
    return !str_empty(env) && str_eq(root, "/var/lib/reprise") ? env : root;
}

Err *image_open(const CliArgs *a, const char *dir, ImageStore **ret)
{
    if (dir)
        return image_store_open(dir, ret);
    SCOPED(mem_free) char *images = mem_fmt("%s/images", image_root(a));
    return image_store_open(images, ret);
}
