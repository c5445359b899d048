/* config_key.h - what a container was made from, as one short text: two configurations with the same key make the same
 * container. For containers that are prepared ahead: what has changed meanwhile shows as another key. */
#ifndef REPRISE_NODE_CONFIG_KEY_H
#define REPRISE_NODE_CONFIG_KEY_H

#include "runtime/runtime.h"

/* SHA-256, in hex, of all members of <c>, of <sandbox_id>, and of what its mounts and devices are at this moment on the host (device
 * and inode, so that a directory that was replaced counts as changed). Reads file metadata only. Caller frees. */
MUST_USE char *container_config_key(const ContainerConfig *c, const char *sandbox_id);

#endif
