/* remotestatus.c - how a remote command's end is said: a metav1.Status since v4, a text before (client-go's tools/remotecommand
 * errordecoder, v4.go; the kubelet's remotecommand/httpstream.go). */
#include "stream/remotecommand.h"
#include "wire/json.h"

static RemoteStatus failed(char *text, char **ret_text)
{
    *ret_text = text;
    return (RemoteStatus){REMOTE_FAILED, 0, text};
}

/* The exit code among the causes: ParseUint(message, 10, 8). */
static RemoteStatus exit_code(const json_t *status, char **ret_text)
{
    const json_t *details = json_object_get(status, "details"), *cause;
    size_t i;
    if (!json_is_object(details))
        return failed(mem_dup_str("error stream protocol error: details must be set"), ret_text);
    json_array_foreach (json_object_get(details, "causes"), i, cause) {
        int64_t code;
        const char *text = str_or(json_str(cause, "message"), "");
        if (!str_eq(json_str(cause, "reason"), "ExitCode"))
            continue;
        if (!str_to_i64(text, &code) || code < 0 || code > 255)
            return failed(mem_fmt("error stream protocol error: invalid exit code value \"%s\"", text), ret_text);
        *ret_text = mem_fmt("command terminated with exit code %d", (int)code);
        return (RemoteStatus){REMOTE_EXIT_CODE, (int)code, *ret_text};
    }
    return failed(mem_dup_str("error stream protocol error: no ExitCode cause given"), ret_text);
}

RemoteStatus remote_status_read(unsigned version, const char *text, size_t n, char **ret_text)
{
    SCOPED(json_unref) json_t *status = NULL;
    *ret_text = NULL;
    if (n == 0)
        return (RemoteStatus){REMOTE_SUCCESS, 0, ""};
    if (version < 4)
        return failed(mem_fmt("error executing remote command: %.*s", (int)n, text), ret_text);
    SCOPED(err_free) Err *e = json_parse(text, n, &status);
    if (e)
        return failed(mem_fmt("error stream protocol error: \"%.*s\" is no Status", (int)n, text), ret_text);
    const char *how = str_or(json_str(status, "status"), "");
    if (str_eq(how, "Success"))
        return (RemoteStatus){REMOTE_SUCCESS, 0, ""};
    if (!str_eq(how, "Failure"))
        return failed(mem_dup_str("error stream protocol error: unknown error"), ret_text);
    if (str_eq(json_str(status, "reason"), "NonZeroExitCode"))
        return exit_code(status, ret_text);
    return failed(mem_dup_str(str_or(json_str(status, "message"), "unknown error")), ret_text);
}

char *remote_status_text(unsigned version, const RemoteStatus *s)
{
    SCOPED(json_unref) json_t *o = NULL;
    if (version < 4)
        return mem_dup_str(s->end == REMOTE_SUCCESS ? "" : s->message);
    if (s->end == REMOTE_SUCCESS) {
        o = json_pack("{s:{},s:s}", "metadata", "status", "Success");
    } else if (s->end == REMOTE_EXIT_CODE) {
        SCOPED(mem_free) char *code = mem_fmt("%d", s->code);
        SCOPED(mem_free) char *message = mem_fmt("command terminated with non-zero exit code: exit status %d", s->code);
        o = json_pack("{s:{},s:s,s:s,s:s,s:{s:[{s:s,s:s}]}}", "metadata", "status", "Failure", "message", message, "reason",
                      "NonZeroExitCode", "details", "causes", "reason", "ExitCode", "message", code);
    } else { /* apimachinery's NewInternalError */
        SCOPED(mem_free) char *message = mem_fmt("Internal error occurred: %s", s->message);
        o = json_pack("{s:{},s:s,s:s,s:s,s:{s:[{s:s}]},s:i}", "metadata", "status", "Failure", "message", message, "reason",
                      "InternalError", "details", "causes", "message", s->message, "code", 500);
    }
    return o ? json_text(o, false) : mem_dup_str("{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"InternalError\"}");
}
