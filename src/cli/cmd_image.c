/* cmd_image.c - `reprise image`: the image store by hand. `import` is a program of its own (image_import_main.c), which pulls run, too. */
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/image_open.h"
#include "node/pull_auth.h"
#include "os/fs.h"
#include "os/spawn.h"
#include "runtime/oci/image.h"
#include "wire/yaml.h"

int cmd_image(int argc, char **argv);

/* Becomes that program: libarchive and what comes with it (OpenSSL, ICU, the C++ library) are 3 MB that the daemon would hold for nothing. */
static int run_import(char **argv)
{
    static const char *const beside[] = {"reprise-import", "../libexec/reprise/reprise-import"};
    SCOPED(mem_free) char *program = spawn_beside_self(beside, ARRAY_LEN(beside));
    if (!program)
        return cli_fail(err_new(ERR_UNSUPPORTED, 0, "reprise-import is neither beside this program nor in ../libexec/reprise: install it again"));
    (void)execv(program, argv);
    return cli_fail(err_new(ERR_SYS, errno, "execute %s", program));
}

static int print_json(const json_t *j, const char *format)
{
    SCOPED(mem_free) char *text = str_eq(format, "yaml") ? yaml_text(j) : json_text(j, true);
    size_t n = strlen(text);
    printf("%s%s", text, n && text[n - 1] == '\n' ? "" : "\n");
    return EXIT_OK;
}

/* --- pull -------------------------------------------------------------------------------------------------------- */

typedef struct {
    uv_loop_t loop;
    uv_signal_t signals[2];
    bool done, interrupted;
    int code;
} PullRun;

static void on_pulled(void *arg, const char *id, Err *err)
{
    PullRun *r = arg;
    r->done = true;
    if (err && r->interrupted)
        err_free(err);
    else if (err)
        r->code = cli_fail(err);
    else
        puts(id);
    uv_stop(&r->loop);
}

static void on_signal(uv_signal_t *h, int signum)
{
    (void)signum;
    PullRun *r = h->data;
    r->interrupted = true;
    uv_stop(&r->loop);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* With the node's own credentials: there is no Pod that would bring any. */
static Err *start_pull(ImageStore *s, PullRun *r, const char *root, const char *ref)
{
    SCOPED(pull_auth_done) PullAuth auth = {0};
    DockerConfigPlaces places = docker_config_places(root);
    Err *e = pull_auth_find(NULL, NULL, &places, ref, &auth);
    for (size_t i = 0; i < auth.warnings.n; i++)
        fprintf(stderr, "reprise: %s\n", auth.warnings.v[i]);
    return e ? e : image_pull(s, &r->loop, ref, &auth.auths, on_pulled, r);
}

static int run_pull(const CliArgs *a)
{
    static const int signals[] = {SIGINT, SIGTERM};
    ImageStore *s = NULL;
    Err *e = image_open(a, NULL, &s);
    if (e)
        return cli_fail(e);
    PullRun r = {.code = EXIT_OK};
    if (uv_loop_init(&r.loop) < 0)
        abort(); /* no memory or no descriptors at the very start */
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        (void)uv_signal_init(&r.loop, &r.signals[i]);
        r.signals[i].data = &r;
        (void)uv_signal_start(&r.signals[i], on_signal, signals[i]);
    }
    for (size_t i = 0; i < a->n && r.code == EXIT_OK && !r.interrupted; i++) {
        r.done = false;
        e = start_pull(s, &r, image_root(a), a->operands[i]);
        if (e)
            r.code = cli_fail(e);
        while (!e && !r.done && !r.interrupted)
            (void)uv_run(&r.loop, UV_RUN_DEFAULT);
    }
    image_store_close(s); /* ends what is under way */
    uv_walk(&r.loop, close_handle, NULL);
    while (uv_run(&r.loop, UV_RUN_DEFAULT) != 0)
        continue;
    (void)uv_loop_close(&r.loop);
    return r.interrupted ? EXIT_INTERRUPTED : r.code;
}

/* --- ls ---------------------------------------------------------------------------------------------------------- */

/* As docker's units.HumanSizeWithPrecision(size, 3). */
static char *size_text(int64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1000 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1000;
    return mem_fmt("%.3g%s", v, units[u]);
}

static char *age_text(int64_t created_ns, int64_t now_ns)
{
    static const struct {
        int64_t s;
        const char *word;
    } units[] = {{31536000, "year"}, {2592000, "month"}, {604800, "week"}, {86400, "day"},
                 {3600, "hour"},     {60, "minute"},     {1, "second"}};
    if (created_ns == NS_NONE)
        return mem_dup_str("N/A");
    int64_t age_s = (now_ns - created_ns) / NS_PER_S;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        int64_t n = age_s / units[i].s;
        if (n >= 1)
            return mem_fmt("%" PRId64 " %s%s ago", n, units[i].word, n == 1 ? "" : "s");
    }
    return mem_dup_str("just now");
}

/* "docker.io/library/busybox:1" -> repository, tag; a reference by digest has no tag. */
static void split_ref(const char *ref, char **repository, char **tag)
{
    size_t n = strcspn(ref, "@");
    const char *slash = strrchr(ref, '/'), *colon = strrchr(ref, ':');
    bool has_tag = ref[n] == '\0' && colon && (!slash || colon > slash);
    *repository = mem_dup_strn(ref, has_tag ? (size_t)(colon - ref) : n);
    *tag = mem_dup_str(has_tag ? colon + 1 : "<none>");
}

static void add_row(CliTable *t, const Image *img, const char *ref, bool wide, int64_t now_ns)
{
    SCOPED(mem_free) char *repository = NULL;
    SCOPED(mem_free) char *tag = NULL;
    if (ref) {
        split_ref(ref, &repository, &tag);
    } else {
        repository = mem_dup_str("<none>");
        tag = mem_dup_str("<none>");
    }
    SCOPED(mem_free) char *id = mem_dup_strn(img->id + 7, wide ? 64 : 12);
    SCOPED(mem_free) char *created = age_text(img->created_ns, now_ns);
    SCOPED(mem_free) char *size = size_text(img->size_bytes);
    const char *const cells[] = {
        repository, tag, id, created, size, str_or(img->architecture, "?"), str_or(img->digest, "<none>")};
    cli_table_row(t, cells);
}

static void print_table(Image *const *v, size_t n, bool wide)
{
    static const char *const head[] = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "ARCHITECTURE", "DIGEST"};
    SCOPED(cli_table_done) CliTable t = {.n_cols = wide ? 7 : 5};
    cli_table_row(&t, head);
    int64_t now = os_now_ns();
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < v[i]->refs.n; k++)
            add_row(&t, v[i], v[i]->refs.v[k], wide, now);
        if (v[i]->refs.n == 0)
            add_row(&t, v[i], NULL, wide, now);
    }
    cli_table_print(stdout, &t);
}

static json_t *strings_json(const StrVec *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        (void)json_array_append_new(a, json_string(v->v[i]));
    return a;
}

static json_t *image_json(const Image *img)
{
    char created[CLOCK_TEXT_MAX];
    json_t *o = json_object();
    (void)json_object_set_new(o, "id", json_string(img->id));
    (void)json_object_set_new(o, "refs", strings_json(&img->refs));
    (void)json_object_set_new(o, "digests", strings_json(&img->digests));
    (void)json_object_set_new(o, "size", json_integer(img->size_bytes));
    if (img->created_ns != NS_NONE)
        (void)json_object_set_new(o, "created", json_string(clock_format(img->created_ns, 0, created)));
    if (img->architecture)
        (void)json_object_set_new(o, "architecture", json_string(img->architecture));
    return o;
}

static int print_list(Image *const *v, size_t n, const char *format)
{
    SCOPED(json_unref) json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, image_json(v[i]));
    return print_json(list, format);
}

static int run_ls(const CliArgs *a)
{
    SCOPED(image_store_close) ImageStore *s = NULL;
    Image **v = NULL;
    size_t n = 0;
    const char *format = cli_opt(a, "output");
    Err *e = image_open(a, NULL, &s);
    if (!e)
        e = image_list(s, &v, &n);
    if (e)
        return cli_fail(e);
    if (cli_flag(a, "quiet"))
        for (size_t i = 0; i < n; i++)
            puts(v[i]->id);
    else if (str_eq(format, "json") || str_eq(format, "yaml"))
        (void)print_list(v, n, format);
    else
        print_table(v, n, str_eq(format, "wide"));
    image_list_free(v, n);
    return EXIT_OK;
}

/* --- rm, prune, inspect ------------------------------------------------------------------------------------------- */

static int run_rm(const CliArgs *a)
{
    SCOPED(image_store_close) ImageStore *s = NULL;
    Err *e = image_open(a, NULL, &s);
    if (e)
        return cli_fail(e);
    int code = EXIT_OK;
    for (size_t i = 0; i < a->n; i++) { /* one that cannot be removed does not keep the others */
        SCOPED(strvec_done) StrVec removed = {0};
        e = image_remove_opts(s, a->operands[i], cli_flag(a, "force"), &removed);
        for (size_t k = 0; k < removed.n && !e; k++)
            puts(removed.v[k]);
        if (e)
            code = cli_fail(e);
    }
    return code;
}

static int run_prune(const CliArgs *a)
{
    SCOPED(image_store_close) ImageStore *s = NULL;
    int64_t bytes = 0;
    Err *e = image_open(a, NULL, &s);
    if (!e)
        e = image_prune(s, cli_flag(a, "all"), &bytes);
    if (e)
        return cli_fail(e);
    SCOPED(mem_free) char *size = size_text(bytes);
    printf("freed %s\n", size);
    return EXIT_OK;
}

static int run_inspect(const CliArgs *a)
{
    SCOPED(image_store_close) ImageStore *s = NULL;
    Err *e = image_open(a, NULL, &s);
    SCOPED(json_unref) json_t *list = json_array();
    for (size_t i = 0; i < a->n && !e; i++) {
        json_t *o = NULL;
        e = image_inspect(s, a->operands[i], &o);
        if (!e)
            (void)json_array_append_new(list, o);
    }
    return e ? cli_fail(e) : print_json(list, cli_opt(a, "output"));
}

int cmd_image(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const CliArgs *a);
    } subs[] = {{"image pull", run_pull}, {"image ls", run_ls}, {"image rm", run_rm}, {"image prune", run_prune}, {"image inspect", run_inspect}};
    int code = EXIT_USAGE;
    const CliCommand *sub = cli_sub(argc, argv, &code);
    if (!sub)
        return code;
    if (str_eq(sub->name, "image import"))
        return run_import(argv + 1);
    SCOPED(cli_args_done) CliArgs a = {0};
    code = cli_parse(sub->name, argc - 1, argv + 1, &a);
    if (code >= 0)
        return code;
    for (size_t i = 0; i < ARRAY_LEN(subs); i++)
        if (str_eq(subs[i].name, sub->name))
            return subs[i].run(&a);
    return EXIT_USAGE;
}
