/* status.c - an Err of a patch as the answer that a client gets. */
#include "patch/patch_priv.h"

static const struct {
    const char *reason;
    int code;
} codes[] = {
    {"BadRequest", 400}, {"NotFound", 404}, {"Conflict", 409}, {"RequestEntityTooLarge", 413}, {"Invalid", 422},
};

int patch_err_code(const Err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (str_eq(codes[i].reason, e->reason))
            return codes[i].code;
    return 500;
}

json_t *patch_err_status(const Err *e, const json_t *causes)
{
    SCOPED(mem_free) char *text = err_text(e);
    json_t *s = json_pack("{s:s, s:s, s:{}, s:s, s:s}", "kind", "Status", "apiVersion", "v1", "metadata", "status", "Failure",
                          "message", text);
    if (!s) /* the words quote bytes that are no UTF-8 */
        s = json_pack("{s:s, s:s, s:{}, s:s}", "kind", "Status", "apiVersion", "v1", "metadata", "status", "Failure");
    if (e->reason[0])
        (void)json_object_set_new(s, "reason", json_string(e->reason));
    if (causes)
        (void)json_object_set_new(s, "details", json_pack("{s:O}", "causes", causes));
    (void)json_object_set_new(s, "code", json_integer(patch_err_code(e)));
    return s;
}
