/* image_import_main.c - reprise-import, which `reprise image import` becomes, and so the helper that pulls run to import what they fetched. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/image_open.h"
#include "os/fs.h"

typedef struct {
    bool on; /* stderr is a terminal */
    bool shown;
    int64_t next_ns; /* of CLOCK_MONOTONIC: not more than ten lines a second */
} Progress;

static void show_progress(void *arg, const char *what, int64_t done, int64_t total)
{
    Progress *p = arg;
    int64_t now = os_monotonic_ns();
    if (!p->on || now < p->next_ns)
        return;
    p->next_ns = now + 100 * NS_PER_MS;
    p->shown = true;
    if (total > 0)
        fprintf(stderr, "\r\033[K%s: %" PRId64 "%%", what, done >= total ? 100 : done * 100 / total);
    else
        fprintf(stderr, "\r\033[K%s: %" PRId64 " MB", what, done / 1000000);
}

static void clear_progress(Progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

static void print_imported(const Image *img, bool quiet)
{
    if (quiet)
        puts(img->id);
    else
        printf("imported %s (%.19s)\n", img->refs.v[0], img->id);
}

static Err *import_one(ImageStore *s, const char *path, const char *name, bool quiet)
{
    Progress p = {.on = !quiet && isatty(STDERR_FILENO)};
    Image **v = NULL;
    size_t n = 0;
    Err *e = image_import_all(s, path, name, p.on ? show_progress : NULL, &p, &v, &n);
    clear_progress(&p);
    if (e)
        return e;
    for (size_t i = 0; i < n; i++)
        print_imported(v[i], quiet);
    image_list_free(v, n);
    return NULL;
}

int main(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    (void)signal(SIGPIPE, SIG_IGN); /* as reprise does */
    int code = cli_parse("image import", argc, argv, &a);
    if (code >= 0)
        return code;
    const char *name = cli_opt(&a, "name");
    if (name && a.n > 1)
        return cli_usage(&a, "--name can name one PATH only");
    SCOPED(image_store_close) ImageStore *s = NULL;
    Err *e = image_open(&a, cli_opt(&a, "store"), &s);
    for (size_t i = 0; i < a.n && !e; i++)
        e = import_one(s, a.operands[i], name, cli_flag(&a, "quiet"));
    code = e ? cli_fail(e) : EXIT_OK;
    return (fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK ? EXIT_FAILED : code;
}
