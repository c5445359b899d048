/* Credentials as values: what the agent gathers, and every runtime tries in turn. */
#include "runtime/image_auth.h"

#include "api/codec.h"

#define N_STRINGS 6

/* One list of the members, so that none is forgotten in a copy or a clean-up. */
static void strings_of(ImageAuth *a, char **ret[N_STRINGS])
{
    char **const all[N_STRINGS] = {&a->username,       &a->password,       &a->auth,
                                   &a->server_address, &a->identity_token, &a->registry_token};
    _Static_assert(sizeof(ImageAuth) == N_STRINGS * sizeof(char *), "a member is not in the list");
    memcpy(ret, all, sizeof all);
}

bool image_auth_empty(const ImageAuth *a)
{
    return str_empty(a->username) && str_empty(a->password) && str_empty(a->auth) && str_empty(a->identity_token) &&
           str_empty(a->registry_token);
}

void image_auths_add(ImageAuthList *l, const ImageAuth *a)
{
    ImageAuth copy = *a, *to = LIST_ADD(l);
    char **from[N_STRINGS], **into[N_STRINGS];
    strings_of(&copy, from);
    strings_of(to, into);
    for (size_t i = 0; i < N_STRINGS; i++)
        *into[i] = mem_dup_str(*from[i]);
}

void image_auth_done(ImageAuth *a)
{
    char **strings[N_STRINGS];
    strings_of(a, strings);
    for (size_t i = 0; i < N_STRINGS; i++)
        mem_set_str(strings[i], NULL);
}

void image_auths_done(ImageAuthList *l)
{
    LIST_EACH(a, l)
        image_auth_done(a);
    free(l->v);
    *l = (ImageAuthList){0};
}

char *image_pull_errors(const StrVec *texts)
{
    SCOPED(strvec_done) StrVec seen = {0};
    Str s = {0};
    for (size_t i = 0; i < texts->n; i++) {
        if (strvec_has(&seen, texts->v[i]))
            continue;
        str_add(&s, seen.n ? ", " : "");
        str_add(&s, texts->v[i]);
        strvec_add(&seen, texts->v[i]);
    }
    if (seen.n < 2)
        return str_take(&s);
    SCOPED(mem_free) char *inner = str_take(&s);
    return mem_fmt("[%s]", inner);
}
