/* discovery.h - what there is: /version, /api, /apis, their resources, aggregated discovery, and OpenAPI of it all. Each function
 * returns a new json_t that never changes while the program runs; a server makes each once and keeps the bytes. */
#ifndef REPRISE_KUBE_DISCOVERY_H
#define REPRISE_KUBE_DISCOVERY_H

#include "kube/kinds.h"
#include "wire/json.h"

/* The API level that clients are told: kubectl warns when it differs from its own by more than one minor version. */
#define KUBE_MAJOR "1"
#define KUBE_MINOR "35"

/* <git_commit>, <build_date>: "" when not known. gitVersion is v1.35.0+reprise-<version of this program>. */
MUST_USE json_t *kube_version_info(const char *git_commit, const char *build_date);

/* APIVersions; <address> is "host:port" that the client reached, NULL over the socket. */
MUST_USE json_t *kube_api_versions(const char *address);
MUST_USE json_t *kube_api_groups(void);                    /* /apis: APIGroupList */
MUST_USE json_t *kube_api_group(const char *group);        /* /apis/<group>; NULL: not served */
MUST_USE json_t *kube_api_resources(const char *group);    /* /api/v1 (""), /apis/<group>/v1: APIResourceList; NULL: not served */
/* APIGroupDiscoveryList of /api (core) or /apis, in exactly the version that was asked for: a client that asks v2beta1 alone cannot
 * read v2 and would see no resource at all. */
MUST_USE json_t *kube_discovery_list(bool core, bool v2beta1);

MUST_USE json_t *kube_openapi_v3_index(void);              /* /openapi/v3 */
MUST_USE json_t *kube_openapi_v3(const char *name);        /* "api/v1", "apis/events.k8s.io/v1"; NULL: not served */
MUST_USE json_t *kube_openapi_v2(void);
/* The smallest OpenAPI v2 document in protobuf: kubectl up to 1.28 wants one before it creates anything, and then leaves validation to
 * the server. */
const uint8_t *kube_openapi_v2_protobuf(size_t *ret_n);

#endif
