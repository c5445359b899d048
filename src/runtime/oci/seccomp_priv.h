/* seccomp_priv.h - between seccomp.c (the default) and seccomp_profile.c (files). */
#ifndef REPRISE_RUNTIME_OCI_SECCOMP_PRIV_H
#define REPRISE_RUNTIME_OCI_SECCOMP_PRIV_H

#include "runtime/oci/spec_priv.h"

bool kernel_at_least(long major, long minor);
const char *seccomp_arch(void); /* Go's name: "amd64", "arm64", as docker profiles use it */

#endif
