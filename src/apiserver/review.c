/* review.c - `kubectl auth whoami` and `kubectl auth can-i`: SelfSubjectReview and SelfSubjectAccessReview, which are questions and not
 * resources; nothing of them is kept. Anybody who is known may ask. */
#include "apiserver/write.h"
#include "kube/body.h"

static json_t *user_info(const ApiUser *u)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < u->groups.n; i++)
        json_array_append_new(groups, json_string(u->groups.v[i]));
    json_t *info = json_pack("{s:s, s:o}", "username", u->name, "groups", groups);
    if (!str_empty(u->uid))
        json_object_set_new(info, "uid", json_string(u->uid));
    return info;
}

static json_t *who_am_i(ApiCall *c, json_t *body)
{
    json_object_set_new(body, "status", json_pack("{s:o}", "userInfo", user_info(&c->user)));
    return body;
}

/* "*" asks for everything, and an empty verb for nothing that there is. */
static json_t *can_i(ApiCall *c, json_t *body)
{
    const json_t *spec = json_object_get(body, "spec"), *r = json_object_get(spec, "resourceAttributes");
    const json_t *n = json_object_get(spec, "nonResourceAttributes");
    ApiAction a = {.verb = str_or(json_str(r ? r : n, "verb"), ""), .group = str_or(json_str(r, "group"), ""),
                   .resource = json_str(r, "resource"), .sub = json_str(r, "subresource"), .namespace_ = json_str(r, "namespace"), .path = json_str(n, "path")};
    bool all = str_eq(a.verb, "*") || str_eq(a.resource, "*") || str_eq(a.group, "*");
    bool allowed = *a.verb && (all ? c->user.role == ROLE_ADMIN : api_allowed(c->user.role, &a));
    json_object_set_new(body, "status", json_pack("{s:b}", "allowed", allowed));
    return body;
}

bool api_review(ApiCall *c)
{
    static const struct { const char *path, *group, *kind; json_t *(*answer)(ApiCall *c, json_t *body); } reviews[] = {
        {"/apis/authentication.k8s.io/v1/selfsubjectreviews", "authentication.k8s.io", "SelfSubjectReview", who_am_i},
        {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "authorization.k8s.io", "SelfSubjectAccessReview", can_i},
    };
    for (size_t i = 0; i < ARRAY_LEN(reviews); i++) {
        if (!str_eq(c->kr.text, reviews[i].path) || !str_eq(http_method(c->req), "POST"))
            continue;
        SCOPED(report_done) Report ignored = {0};
        json_t *body = NULL, *bad = write_body(c, &body, &ignored);
        if (!bad)
            bad = kube_body_kind(body, reviews[i].group, "v1", reviews[i].kind);
        if (bad) {
            json_decref(body);
            api_reply_status(c, bad);
        } else {
            if (!json_object_get(body, "metadata"))
                json_object_set_new(body, "metadata", json_object());
            api_reply_json(c, 201, reviews[i].answer(c, body));
        }
        return true;
    }
    return false;
}
