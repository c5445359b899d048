/* image_open.h - the image store that the options of `reprise image` name. */
#ifndef REPRISE_CLI_IMAGE_OPEN_H
#define REPRISE_CLI_IMAGE_OPEN_H

#include "cli/cli.h"
#include "runtime/oci/image.h"

/* --root, which gives way to $REPRISE_ROOT. Borrowed. */
const char *image_root(const CliArgs *a);
/* <dir>, or when that is NULL the one below that root. */
MUST_USE Err *image_open(const CliArgs *a, const char *dir, ImageStore **ret);

#endif
