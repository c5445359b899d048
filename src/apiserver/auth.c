/* auth.c - see auth.h. */
#include "apiserver/auth.h"

#define AUTHENTICATED "system:authenticated"

void api_user_done(ApiUser *u)
{
    free(u->name);
    free(u->uid);
    strvec_done(&u->groups);
    *u = (ApiUser){0};
}

ApiRole api_role_of(const char *const *groups)
{
    static const struct { const char *group; ApiRole role; } table[] = {
        {"system:masters", ROLE_ADMIN}, {"reprise:admin", ROLE_ADMIN}, {"reprise:view", ROLE_VIEW}};
    ApiRole role = ROLE_NONE;
    for (; groups && *groups; groups++)
        for (size_t i = 0; i < ARRAY_LEN(table); i++)
            if (str_eq(*groups, table[i].group) && table[i].role > role)
                role = table[i].role;
    return role;
}

void api_user_set(ApiUser *u, const char *name, const char *uid, const char *const *groups)
{
    *u = (ApiUser){.name = mem_dup_str(name), .uid = mem_dup_str(str_or(uid, "")), .role = api_role_of(groups)};
    for (; groups && *groups; groups++)
        if (!strvec_has(&u->groups, *groups))
            strvec_add(&u->groups, *groups);
    if (!strvec_has(&u->groups, AUTHENTICATED))
        strvec_add(&u->groups, AUTHENTICATED);
}

bool api_user_of_identity(const HttpIdentity *id, ApiUser *ret)
{
    static const char *const admin[] = {"reprise:admin", NULL};
    if (id->kind == HTTP_PEER) { /* the socket's mode has said who may connect */
        SCOPED(mem_free) char *uid = mem_fmt("%u", id->uid);
        SCOPED(mem_free) char *name = mem_fmt("uid:%u", id->uid);
        api_user_set(ret, name, uid, admin);
        return true;
    }
    if (id->kind != HTTP_CERT || str_empty(id->user))
        return false;
    api_user_set(ret, id->user, NULL, id->groups);
    return true;
}

ApiAction api_action_of(const KubeRequest *r)
{
    if (r->path != PATH_RESOURCE)
        return (ApiAction){.verb = "get", .path = r->text};
    return (ApiAction){.verb = kube_verb_name(r->verb), .group = r->kind->group, .resource = r->kind->resource,
                       .sub = r->sub ? r->sub->name : NULL, .namespace_ = r->namespace_, .name = r->name};
}

bool api_allowed(ApiRole role, const ApiAction *a)
{
    static const char *const reads[] = {"get", "list", "watch"};
    static const char *const inside[] = {"exec", "attach", "portforward"}; /* a GET that upgrades is no reading */
    bool read = false;
    if (role != ROLE_VIEW)
        return role == ROLE_ADMIN;
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        read = read || str_eq(a->verb, reads[i]);
    for (size_t i = 0; i < ARRAY_LEN(inside); i++)
        read = read && !str_eq(a->sub, inside[i]);
    return read && !(str_eq(a->resource, "secrets") && str_eq(a->group, ""));
}

json_t *api_authorize(const ApiUser *u, const ApiAction *a)
{
    if (api_allowed(u->role, a))
        return NULL;
    return kube_forbidden_to((KubeRef){a->group, a->resource, a->name}, u->name, a->verb, a->sub, a->namespace_, a->path, NULL);
}
