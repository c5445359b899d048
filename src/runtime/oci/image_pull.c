/* Pulls: skopeo fetches into a work directory of the store, our own program imports what it fetched. Both are helper
 * processes, for neither the network nor unpacking may stop the loop. skopeo's "dir" form is used because it keeps the
 * manifest's bytes and so its digest; its "oci" form rewrites Docker manifests. */
#include <stdio.h>

#include "base/clock.h"
#include "loop/process.h"
#include "os/spawn.h"
#include "runtime/oci/image_priv.h"
#include "wire/shimwire.h"

#define PULL_TIMEOUT_NS (INT64_C(3600) * NS_PER_S) /* a connection that hangs must end some time */
#define PULL_MAX_OUTPUT ((size_t)64 << 10)

struct Pull {
    ImageStore *s;
    Pull *next, **self; /* in the store's list; self = NULL while it is not in it */
    Process *process;   /* the helper that runs */
    uv_loop_t *loop;
    char *ref;   /* normalised */
    char *given; /* as the caller said it, for messages */
    char *tmp;
    int tmp_lock;
    char *skopeo;
    ImageAuthList auths; /* candidates; */
    size_t tried;        /* the one that is tried now */
    StrVec failed;       /* what those before it came to */
    void (*done)(void *arg, const char *id, Err *err);
    void *arg;
};

static void pull_free(Pull *p)
{
    if (!p)
        return;
    if (p->self) {
        *p->self = p->next;
        if (p->next)
            p->next->self = p->self;
    }
    if (p->tmp) /* a handful of files; what cannot be removed is swept at the next open */
        err_free(fs_remove_tree(p->tmp));
    fd_close(p->tmp_lock);
    image_auths_done(&p->auths);
    strvec_done(&p->failed);
    free(p->skopeo);
    free(p->tmp);
    free(p->ref);
    free(p->given);
    free(p);
}
SCOPED_FN(pull_free, Pull *, NULL)

/* Takes p and e. */
static void pull_end(Pull *p, const char *id, Err *e)
{
    if (e)
        e = err_reason(err_wrap(e, "failed to pull image \"%s\"", p->given), "ErrImagePull");
    p->done(p->arg, id, e);
    pull_free(p);
}

void image_pulls_abandon(ImageStore *s)
{
    while (s->pulls) {
        process_abandon(s->pulls->process);
        pull_end(s->pulls, NULL, err_new(ERR_UNAVAILABLE, 0, "interrupted"));
    }
}

/* --- what helpers say -------------------------------------------------------------------------------------------- */

/* The text of skopeo's last `level=fatal msg="..."` (logrus), unquoted; else the last line. */
static char *skopeo_message(const char *text)
{
    static const char mark[] = "level=fatal msg=\"";
    const char *at = NULL;
    for (const char *p = text; (p = strstr(p, mark)); p++)
        at = p + sizeof mark - 1;
    Str s = {0};
    for (; at && *at && *at != '"' && *at != '\n'; at++) {
        bool escaped = *at == '\\' && at[1];
        at += escaped;
        str_add_c(&s, escaped && strchr("ntr", *at) ? ' ' : *at); /* what is said becomes part of a line */
    }
    if (s.n)
        return str_take(&s);
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    size_t start = n;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    str_add_n(&s, text + start, n - start);
    return str_take(&s);
}

static Err *helper_failed(const char *what, const ProcessResult *res, const char *message)
{
    if (res->timed_out)
        return err_new(ERR_TIMEOUT, 0, "%s did not end within an hour", what);
    if (!res->exited)
        return err_new(ERR_UNAVAILABLE, 0, "%s was killed by signal %d", what, res->code);
    return err_new(ERR_UNAVAILABLE, 0, "%s", *message ? message : what);
}

/* --- second step: import ----------------------------------------------------------------------------------------- */

static void on_imported(void *arg, ProcessResult *res)
{
    Pull *p = arg;
    if (!res->exited || res->code != 0) {
        const char *text = str_or(res->err.p, "");
        SCOPED(mem_free) char *message = skopeo_message(str_starts(text, "reprise: ") ? text + 9 : text);
        pull_end(p, NULL, helper_failed("reprise image import", res, message));
        return;
    }
    SCOPED(mem_free) char *id = mem_dup_strn(str_or(res->out.p, ""), strcspn(str_or(res->out.p, ""), "\n"));
    Err *e = digest_check(id);
    pull_end(p, e ? NULL : id, e ? err_wrap(e, "reprise image import did not say the image's id") : NULL);
}

static void start_import(Pull *p)
{
    SCOPED(mem_free) char *store = mem_fmt("--store=%s", p->s->dir);
    SCOPED(mem_free) char *name = mem_fmt("--name=%s", p->ref);
    SCOPED(mem_free) char *dir = mem_fmt("%s/dir", p->tmp);
    const char *const argv[] = {p->s->helper, "image", "import", "--quiet", store, name, dir, NULL};
    ProcessSpec spec = {.argv = argv, .max_output = PULL_MAX_OUTPUT, .timeout_ns = PULL_TIMEOUT_NS};
    Err *e = process_start(p->loop, &spec, on_imported, p, &p->process);
    if (e)
        pull_end(p, NULL, err_wrap(e, "import what was fetched"));
}

/* --- credentials ------------------------------------------------------------------------------------------------- */

#define AUTH_FILE "auth.json" /* in the work directory, which only root may enter and a crash leaves to the next sweep */

/* containers-auth.json(5) for one registry. An identity token stands beside a user name, which the registry does not look at. */
static Err *auth_text(const ImageAuth *a, const char *domain, Str *ret)
{
    if (!str_empty(a->registry_token))
        return err_new(ERR_UNSUPPORTED, 0, "skopeo takes registry tokens from its command line alone, where others can read them");
    SCOPED(mem_free) char *pair = !str_empty(a->username) || !str_empty(a->password)
                                      ? mem_fmt("%s:%s", str_or(a->username, ""), str_or(a->password, ""))
                                      : mem_dup_str("<token>:");
    SCOPED(mem_free) char *encoded = str_empty(a->auth) ? shim_base64(pair, strlen(pair)) : mem_dup_str(a->auth);
    SCOPED(json_unref) json_t *j = json_pack("{s:{s:{s:s}}}", "auths", domain, "auth", encoded);
    if (!j)
        return err_new(ERR_INVALID, 0, "credentials that are not text");
    if (!str_empty(a->identity_token))
        (void)json_object_set_new(json_object_get(json_object_get(j, "auths"), domain), "identitytoken",
                                  json_string(a->identity_token));
    SCOPED(mem_free) char *text = json_text(j, false);
    str_add(ret, text);
    return NULL;
}

static const ImageAuth *auth_now(const Pull *p)
{
    return p->tried < p->auths.n && !image_auth_empty(&p->auths.v[p->tried]) ? &p->auths.v[p->tried] : NULL;
}

/* Never on a command line or in an environment, which others can read. */
static Err *auth_file_make(const Pull *p, const char *domain)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", p->tmp, AUTH_FILE);
    Err *e = auth_text(auth_now(p), domain, &text);
    if (!e)
        e = fs_write_atomic(path, text.p, text.n, 0600, false);
    return e ? err_wrap(e, "hand the credentials to skopeo") : NULL;
}

static void auth_file_remove(const Pull *p)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", p->tmp, AUTH_FILE);
    err_free(fs_remove_tree(path)); /* or with the work directory */
}

/* skopeo does not pull at all when it cannot read the user's docker config, not even from a registry that asks for nothing. */
static bool login_is_broken(void)
{
    const char *home = getenv("HOME");
    SCOPED(mem_free) char *path = mem_fmt("%s/.docker/config.json", str_or(home, "/root"));
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = fs_read(path, IMAGE_MAX_JSON, &text);
    bool absent = e && e->kind == ERR_NOT_FOUND;
    if (!e)
        e = json_parse(str_or(text.p, ""), text.n, &j);
    bool broken = e != NULL && !absent;
    err_free(e);
    return broken;
}

/* --- first step: skopeo ------------------------------------------------------------------------------------------ */

static Err *start_fetch(Pull *p);

/* Goes on with the next candidate after <e> (taken), as the kubelet does whatever the failure was (kuberuntime_image.go,
 * PullImage). NULL: it is under way; else the error of them all. */
static Err *try_next(Pull *p, Err *e)
{
    if (p->auths.n < 2)
        return e;
    while (e) {
        strvec_add_take(&p->failed, err_text(e));
        err_free(e);
        if (++p->tried >= p->auths.n) {
            SCOPED(mem_free) char *all = image_pull_errors(&p->failed);
            return err_new(ERR_UNAVAILABLE, 0, "%s", all);
        }
        e = start_fetch(p);
    }
    return NULL;
}

static void on_fetched(void *arg, ProcessResult *res)
{
    Pull *p = arg;
    auth_file_remove(p);
    if (res->exited && res->code == 0) {
        start_import(p);
        return;
    }
    SCOPED(mem_free) char *message = skopeo_message(str_or(res->err.p, ""));
    Err *e = try_next(p, helper_failed("skopeo copy", res, message));
    if (e)
        pull_end(p, NULL, e);
}

static bool is_loopback(const char *host, size_t n)
{
    return (n == 9 && strncmp(host, "localhost", n) == 0) || (n > 4 && strncmp(host, "127.", 4) == 0) ||
           (n == 5 && strncmp(host, "[::1]", n) == 0);
}

/* Docker's rule: loopback registries, and those that the operator names, may do without TLS. */
static bool is_insecure(const char *domain)
{
    const char *end = *domain == '[' ? strchr(domain, ']') : NULL;
    size_t n_host = end ? (size_t)(end + 1 - domain) : strcspn(domain, ":");
    if (is_loopback(domain, n_host))
        return true;
    const char *list = str_or(getenv("REPRISE_INSECURE_REGISTRIES"), "");
    while (*list) {
        size_t n = strcspn(list, ",");
        if ((n == strlen(domain) || n == n_host) && n > 0 && strncmp(list, domain, n) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

/* Where the operator has no signature policy, any image is taken, as with Docker; skopeo itself would
 * refuse to start. */
static bool has_policy(void)
{
    const char *home = getenv("HOME");
    SCOPED(mem_free) char *own = mem_fmt("%s/.config/containers/policy.json", str_or(home, ""));
    return fs_exists("/etc/containers/policy.json") || (home && fs_exists(own));
}

static Err *start_fetch(Pull *p)
{
    SCOPED(image_ref_done) ImageRef r = {0};
    Err *e = image_ref_parse(p->ref, &r);
    if (e)
        return e;
    SCOPED(mem_free) char *from = mem_fmt("docker://%s", p->ref);
    SCOPED(mem_free) char *into = mem_fmt("%s/dir", p->tmp);
    SCOPED(strvec_done) StrVec argv = {0};
    e = fs_remove_tree(into); /* what another try left */
    if (!e && auth_now(p))
        e = auth_file_make(p, r.domain);
    if (e)
        return e;
    strvec_add(&argv, p->skopeo);
    if (!has_policy())
        strvec_add(&argv, "--insecure-policy");
    strvec_add(&argv, "--override-os=linux");
    strvec_add(&argv, "copy");
    strvec_add(&argv, "--quiet");
    if (is_insecure(r.domain))
        strvec_add(&argv, "--src-tls-verify=false");
    if (auth_now(p))
        strvec_add(&argv, "--authfile=" AUTH_FILE);
    else if (login_is_broken())
        strvec_add(&argv, "--src-no-creds");
    strvec_add(&argv, from);
    strvec_add(&argv, "dir:dir"); /* relative: a ':' in the store's path would be taken for skopeo's own */
    ProcessSpec spec = {.argv = (const char *const *)argv.v,
                        .cwd = p->tmp,
                        .max_output = PULL_MAX_OUTPUT,
                        .timeout_ns = PULL_TIMEOUT_NS};
    e = process_start(p->loop, &spec, on_fetched, p, &p->process);
    if (e)
        auth_file_remove(p);
    return e;
}

Err *image_pull(ImageStore *s, uv_loop_t *loop, const char *ref, const ImageAuthList *auths,
                void (*done)(void *arg, const char *id, Err *err), void *arg)
{
    SCOPED(pull_free) Pull *p = NEW(Pull);
    p->s = s;
    p->loop = loop;
    p->done = done;
    p->arg = arg;
    p->tmp_lock = -EBADF;
    p->given = mem_dup_str(ref);
    Err *e = image_ref_normalize(ref, &p->ref);
    if (e)
        return e;
    for (size_t i = 0; auths && i < auths->n; i++)
        image_auths_add(&p->auths, &auths->v[i]);
    e = spawn_find("skopeo", &p->skopeo);
    if (e) {
        err_free(e);
        return err_reason(err_new(ERR_UNSUPPORTED, 0,
                                  "failed to pull image \"%s\": skopeo is not installed; `apt-get install skopeo`, or "
                                  "bring the image with `reprise image import`",
                                  ref),
                          "ErrImagePull");
    }
    e = store_tmp(s, &p->tmp, &p->tmp_lock);
    if (!e) {
        e = start_fetch(p);
        e = e ? try_next(p, e) : NULL;
    }
    if (e)
        return err_reason(err_wrap(e, "failed to pull image \"%s\"", ref), "ErrImagePull");
    p->self = &s->pulls;
    p->next = s->pulls;
    if (p->next)
        p->next->self = &p->next;
    s->pulls = p;
    p = NULL; /* the callbacks' now */
    return NULL;
}
