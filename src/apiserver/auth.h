/* auth.h - who asks, and what he may do: pure functions from an identity to a user, and from a user to a verdict. */
#ifndef REPRISE_APISERVER_AUTH_H
#define REPRISE_APISERVER_AUTH_H

#include "http/http.h"
#include "kube/request.h"

typedef enum { ROLE_NONE, ROLE_VIEW, ROLE_ADMIN } ApiRole;
typedef struct {
    char *name, *uid; /* owned; uid "" when not known */
    StrVec groups;    /* "system:authenticated" among them */
    ApiRole role;
} ApiUser;
void api_user_done(ApiUser *u);
static inline UNUSED void api_user_done_at(ApiUser *u) { api_user_done(u); }

/* A user of that name and those groups (borrowed, ended by NULL); the role is what the groups give. */
void api_user_set(ApiUser *u, const char *name, const char *uid, const char *const *groups);
/* A peer of a unix socket, or a certificate's owner. false: nobody that is known. */
bool api_user_of_identity(const HttpIdentity *id, ApiUser *ret);
/* The role of a set of groups. */
ApiRole api_role_of(const char *const *groups);

/* What a request is for, as RBAC sees it. resource NULL: a path that is no resource's. */
typedef struct { const char *verb, *group, *resource, *sub, *namespace_, *name, *path; } ApiAction;
ApiAction api_action_of(const KubeRequest *r);
/* May somebody of <role> do this? "view" reads everything but Secrets, and logs; to look into a container is to change it. */
bool api_allowed(ApiRole role, const ApiAction *a);
/* NULL, or the 403 in Kubernetes' words. */
json_t *api_authorize(const ApiUser *u, const ApiAction *a);

#endif
