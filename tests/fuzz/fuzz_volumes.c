/* What a manifest or the machine can put into names and values: $(VAR) expansion, fieldRef paths, item paths of
 * file-backed volumes, subPaths, resolv.conf. The first byte picks the reader, the rest is its text. */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "node/podfiles.h"
#include "node/subpath.h"
#include "node/volumes_priv.h"
#include "os/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* Whole lines "K=V" up to an empty one are the environment, what follows is the text. */
static void fuzz_expand(const char *text)
{
    SCOPED(strvec_done) StrVec env = {0};
    while (*text && *text != '\n') {
        size_t n = strcspn(text, "\n");
        strvec_add_take(&env, mem_dup_strn(text, n));
        text += n + (text[n] == '\n');
    }
    SCOPED(mem_free) char *got = env_expand(text, &env);
    if (!strchr(text, '$'))
        require(str_eq(got, text));
    require(strlen(got) <= ENV_VALUE_MAX + strlen(text));
}

static void fuzz_field(const char *text)
{
    static StrPair pair;
    pair = (StrPair){(char[]){"k"}, (char[]){"v"}};
    Pod p = {.metadata = {.labels = {1, &pair}}};
    VolumesContext ctx = {.root = "/", .pod = &p};
    char *value = NULL;
    SCOPED(err_free) Err *e = field_ref_value(&ctx, text, "10.0.0.1", NULL, &value);
    require(e || value);
    free(value);
}

static char dir[64];
static void remove_dir(void)
{
    err_free(fs_remove_tree(dir));
}

/* Lines are paths of one payload; what the check lets through is written below the directory, or fails cleanly. */
static void fuzz_items(const char *text)
{
    if (!dir[0]) {
        (void)snprintf(dir, sizeof dir, "/tmp/fuzz-volumes-XXXXXX");
        require(mkdtemp(dir) != NULL);
        (void)atexit(remove_dir);
    }
    SCOPED(payload_done) Payload p = {0};
    for (const char *s = text; *s && p.n < 64;) {
        size_t n = strcspn(s, "\n");
        SCOPED(mem_free) char *path = mem_dup_strn(s, n);
        payload_put(&p, path, "x", 1, 0600);
        s += n + (s[n] == '\n');
    }
    SCOPED(mem_free) char *volume = mem_fmt("%s/v", dir), *beside = mem_fmt("%s/beside", dir);
    SCOPED(err_free) Err *e = fs_mkdirs(volume, 0700);
    require(!e);
    SCOPED(err_free) Err *w = atomic_write(volume, &p, NULL, NULL);
    if (!w) {
        LIST_EACH(f, &p) {
            char real[PATH_MAX], top[PATH_MAX];
            SCOPED(mem_free) char *path = mem_fmt("%s/%s", volume, f->path);
            require(realpath(path, real) && realpath(volume, top) && str_starts(real, top));
        }
    }
    require(access(beside, F_OK) != 0);
    err_free(fs_remove_tree(volume));
}

static void fuzz_sub_path(const char *text)
{
    SCOPED(err_free) Err *e = subpath_check(text);
    if (e || strlen(text) > 200)
        return;
    require(text[0] != '/' && !strstr(text, "/../") && !str_eq(text, ".."));
}

static void fuzz_resolv(const char *text)
{
    Pod p = {.metadata = {.name = (char[]){"p"}}};
    char *out = NULL;
    SCOPED(err_free) Err *e = podfiles_resolv(&p, text, &out);
    require(e || out);
    if (!e && !strstr(text, "..")) { /* what was written is read as the same again; of "a.." a dot is taken each time */
        char *again = NULL;
        SCOPED(err_free) Err *e2 = podfiles_resolv(&p, out, &again);
        require(!e2 && str_eq(out, again));
        free(again);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct { char key; void (*read)(const char *); } readers[] = {
        {'e', fuzz_expand}, {'f', fuzz_field}, {'i', fuzz_items}, {'r', fuzz_resolv}, {'s', fuzz_sub_path}};
    if (size == 0)
        return 0;
    SCOPED(mem_free) char *text = mem_dup_strn((const char *)data + 1, strnlen((const char *)data + 1, size - 1));
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        if ((char)data[0] == readers[i].key)
            readers[i].read(text);
    return 0;
}
