#include "client/logs.h"

#include "client/fields.h"

#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

static void add_names(const json_t *pod, const char *list, StrVec *names)
{
    const json_t *l = at(pod, list);
    for (size_t i = 0; i < json_array_size(l); i++)
        strvec_add(names, at_str(json_array_get(l, i), "name"));
}

/* "main, debug (ephem), setup (init)": podcmd.AllContainerNames(). */
static char *all_names(const json_t *pod)
{
    static const char *const lists[][2] = {
        {"spec.containers", ""}, {"spec.ephemeralContainers", " (ephem)"}, {"spec.initContainers", " (init)"}};
    Str s = {0};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        SCOPED(strvec_done) StrVec names = {0};
        add_names(pod, lists[i][0], &names);
        for (size_t k = 0; k < names.n; k++)
            str_fmt(&s, "%s%s%s", s.n ? ", " : "", names.v[k], lists[i][1]);
    }
    return str_take(&s);
}

Err *logs_containers(const json_t *pod, const char *container, bool all, Str *note, StrVec *ret)
{
    SCOPED(strvec_done) StrVec every = {0};
    SCOPED(mem_free) char *names = all_names(pod);
    const char *pod_name = at_str(pod, "metadata.name"),
               *by_default = json_str(at(pod, "metadata.annotations"), DEFAULT_CONTAINER);
    add_names(pod, "spec.initContainers", &every);
    add_names(pod, "spec.containers", &every);
    add_names(pod, "spec.ephemeralContainers", &every);
    if (all) {
        *ret = MOVE(every, (StrVec){0});
        return NULL;
    }
    if (!container && !str_empty(by_default)) {
        if (strvec_has(&every, by_default))
            container = by_default;
        else
            str_fmt(note, "Default container name \"%s\" not found in pod %s\n", by_default, pod_name);
    }
    if (!container) {
        container = at_str(json_array_get(at(pod, "spec.containers"), 0), "name");
        if (every.n > 1)
            str_fmt(note, "Defaulted container \"%s\" out of: %s\n", container, names);
    }
    if (!strvec_has(&every, container))
        return err_new(ERR_INVALID, 0, "container %s is not valid for pod %s out of: %s", container, pod_name, names);
    strvec_add(ret, container);
    return NULL;
}

void log_lines_add(LogLines *l, const char *p, size_t n, Str *out)
{
    if (!l->prefix && !l->whole) {
        str_add_n(out, p, n);
        return;
    }
    while (n) {
        const char *end = memchr(p, '\n', n);
        size_t k = end ? (size_t)(end - p) + 1 : n;
        str_add_n(&l->rest, p, k);
        p += k;
        n -= k;
        if (end)
            log_lines_end(l, out);
    }
}

void log_lines_end(LogLines *l, Str *out)
{
    if (!l->rest.n)
        return;
    str_add(out, str_or(l->prefix, ""));
    str_add_n(out, l->rest.p, l->rest.n);
    str_clear(&l->rest);
}
