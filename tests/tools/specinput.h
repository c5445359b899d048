/* specinput.h - an OciSpecInput from one JSON document, for the golden files, the fuzzer and the tool that makes real
 * containers' config.json:
 *   {"pod": {a Pod manifest}, "container": "name (default: the first)",
 *    "image": {"entrypoint", "cmd", "env", "user", "workingDir", "volumes"},
 *    "config": {"mounts": [{containerPath, hostPath, readOnly, recursiveReadOnly, propagation}],
 *               "devices": [{hostPath, containerPath, permissions}], "cdiDevices": [], "annotations": {}},
 *    "host": {"caps": ["ALL" or names; absent = probed], "cgroupV2", "swapLimit", "hugetlb", ...},
 *    "input": {"rootfs", "cgroupsPath", "nsNet", "nsIpc", "nsUts", "nsPid", "pidPrivate", "hostname", ...}}
 * Members not given are absent, false or 0. Any JSON is safe: what has the wrong type counts as absent. */
#ifndef REPRISE_TESTS_SPECINPUT_H
#define REPRISE_TESTS_SPECINPUT_H

#include "api/codec.h"
#include "runtime/oci/spec.h"

typedef struct {
    Pod *pod;
    const Container *container;
    Image image;
    OciHost host;
    ContainerConfig config;
    OciSpecInput in;
} SpecInput;
/* <doc> is borrowed for as long as *ret lives. An Err when the Pod does not decode or has no such container. */
MUST_USE Err *spec_input_load(const json_t *doc, SpecInput *ret);
void spec_input_done(SpecInput *s);

#endif
