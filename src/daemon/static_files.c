#include "daemon/static_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include "daemon/static_pod.h"
#include "os/fs.h"

#define MANIFEST_MAX ((size_t)4 << 20) /* as objects_parse() */

static void file_done(StaticFile *f)
{
    free(f->path);
    objects_done(&f->objects);
    strvec_done(&f->problems);
}

void static_files_init(StaticFiles *s, const char *dir, const char *node_name, const FeatureGates *gates)
{
    *s = (StaticFiles){.dir = mem_dup_str(dir), .node_name = mem_dup_str(node_name), .gates = *gates};
    size_t n = strlen(s->dir);
    while (n > 1 && s->dir[n - 1] == '/')
        s->dir[--n] = '\0';
}

void static_files_done(StaticFiles *s)
{
    LIST_EACH(f, &s->files)
        file_done(f);
    free(s->files.v);
    free(s->dir);
    free(s->node_name);
    free(s->problem);
    *s = (StaticFiles){0};
}

static void tell(const StaticFiles *s, const char *file, const char *text)
{
    if (s->report)
        s->report(s->arg, file, text);
}

/* Only what was not said of the file before is said now. */
static void set_problems(const StaticFiles *s, StaticFile *f, StrVec *problems)
{
    for (size_t i = 0; i < problems->n; i++)
        if (!strvec_has(&f->problems, problems->v[i]))
            tell(s, f->path, problems->v[i]);
    if (f->problems.n && !problems->n)
        tell(s, f->path, NULL);
    strvec_done(&f->problems);
    f->problems = MOVE(*problems, (StrVec){0});
}

static void add_reports(const DocReports *reports, StrVec *problems)
{
    LIST_EACH(d, &reports->docs)
        LIST_EACH(c, &d->report.errors) {
            SCOPED(str_done) Str s = {0};
            str_fmt(&s, "%s \"%s\": ", str_empty(d->kind) ? "document" : d->kind, str_or(d->name, ""));
            if (c->kind != CAUSE_UNKNOWN_FIELD && !str_empty(c->path))
                str_fmt(&s, "%s: ", c->path);
            str_add(&s, c->message);
            strvec_add(problems, s.p);
        }
}

static void make_static(const StaticFiles *s, const StaticFile *f, Objects *o, StrVec *problems)
{
    LIST_EACH(p, &o->pods) {
        if (str_empty((*p)->metadata.name)) {
            strvec_fmt(problems, "Pod \"%s\": metadata.name: Required value: a static Pod needs a name of its own",
                       str_or((*p)->metadata.generate_name, ""));
            return;
        }
        static_pod_make(*p, f->path, s->node_name, os_now_ns());
        if (strlen((*p)->metadata.name) > 253)
            strvec_fmt(problems, "Pod \"%s\": metadata.name: Too long: may not be more than 253 bytes with the node's name",
                       (*p)->metadata.name);
    }
}

/* Whether the file holds other objects now than the last sound ones. */
static bool read_file(const StaticFiles *s, StaticFile *f)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(objects_done) Objects o = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    SCOPED(strvec_done) StrVec problems = {0};
    SCOPED(err_free) Err *e = fs_read(f->path, MANIFEST_MAX, &text);
    if (e && e->kind == ERR_NOT_FOUND)
        return false; /* gone in this moment: the next scan says so */
    if (!e)
        e = objects_parse(f->path, str_or(text.p, ""), text.n, &s->gates, &o, &reports);
    if (e)
        strvec_add_take(&problems, err_text(e));
    add_reports(&reports, &problems);
    if (!problems.n && !reports.docs.n)
        strvec_add(&problems, "the file is empty");
    if (!problems.n)
        make_static(s, f, &o, &problems);
    bool sound = !problems.n;
    set_problems(s, f, &problems);
    if (!sound)
        return false;
    objects_done(&f->objects);
    f->objects = MOVE(o, (Objects){0});
    return true;
}

static StaticFile *file_of(StaticFiles *s, const char *path)
{
    LIST_EACH(f, &s->files)
        if (str_eq(f->path, path))
            return f;
    StaticFile *f = LIST_ADD(&s->files);
    f->path = mem_dup_str(path);
    return f;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const StaticFile *)a)->path, ((const StaticFile *)b)->path);
}

static bool is_manifest_name(const char *name)
{
    return name[0] != '.' && (str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json"));
}

static void look_at(StaticFiles *s, const char *path, bool *changed, bool *again)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    StaticFile *f = file_of(s, path);
    f->present = true;
    int64_t mtime = st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec, age = os_now_ns() - mtime;
    if (f->seen.mtime_ns == mtime && f->seen.size == st.st_size && f->seen.ino == st.st_ino)
        return;
    if (age >= 0 && age < STATIC_QUIET_NS) { /* one from the future is not waited for */
        *again = true;
        return;
    }
    f->seen.mtime_ns = mtime;
    f->seen.size = st.st_size;
    f->seen.ino = st.st_ino;
    *changed = read_file(s, f) || *changed;
}

static void set_dir_problem(StaticFiles *s, const char *text)
{
    if (str_eq(s->problem, text))
        return;
    mem_set_str(&s->problem, text);
    tell(s, NULL, text);
}

/* Files that are gone take their objects with them. */
static void sweep(StaticFiles *s, bool *changed)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->files.n; i++) {
        StaticFile *f = &s->files.v[i];
        if (f->present) {
            s->files.v[kept++] = *f;
            continue;
        }
        *changed = true;
        file_done(f);
    }
    s->files.n = kept;
    if (kept)
        qsort(s->files.v, kept, sizeof *s->files.v, by_path);
}

void static_files_scan(StaticFiles *s, bool *ret_changed, bool *ret_again)
{
    *ret_changed = *ret_again = false;
    DIR *d = opendir(s->dir);
    if (!d && errno != ENOENT) { /* cannot be read: nothing is known to be gone */
        SCOPED(mem_free) char *text = mem_fmt("open %s: %s", s->dir, strerror(errno));
        set_dir_problem(s, text);
        return;
    }
    LIST_EACH(f, &s->files)
        f->present = false;
    if (!d) {
        set_dir_problem(s, "path does not exist, ignoring"); /* the kubelet's words; it takes that for a directory without files, too */
    } else {
        set_dir_problem(s, NULL);
        for (const struct dirent *e; (e = readdir(d)) != NULL;)
            if (is_manifest_name(e->d_name)) {
                SCOPED(mem_free) char *path = mem_fmt("%s/%s", s->dir, e->d_name);
                look_at(s, path, ret_changed, ret_again);
            }
        (void)closedir(d);
    }
    sweep(s, ret_changed);
}

const Pod *static_files_pod(const StaticFiles *s, const char *uid)
{
    LIST_EACH(f, &s->files)
        LIST_EACH(p, &f->objects.pods)
            if (str_eq((*p)->metadata.uid, uid))
                return *p;
    return NULL;
}

size_t static_files_broken(const StaticFiles *s)
{
    size_t n = 0;
    LIST_EACH(f, &s->files)
        n += f->problems.n > 0;
    return n;
}

static bool same_name(const ObjectMeta *a, const ObjectMeta *b)
{
    return str_eq(a->name, b->name) && str_eq(a->namespace_, b->namespace_);
}

#define ADD_NEW(list, more)                                                                                            \
    LIST_EACH(o_, more) {                                                                                              \
        bool there_ = false;                                                                                           \
        LIST_EACH(x_, list)                                                                                            \
            there_ = there_ || same_name(&(*x_)->metadata, &(*o_)->metadata);                                          \
        if (!there_)                                                                                                   \
            *LIST_ADD(list) = *o_;                                                                                     \
    }

void static_files_objects(const StaticFiles *s, Objects *ret_view)
{
    *ret_view = (Objects){0};
    LIST_EACH(f, &s->files) {
        ADD_NEW(&ret_view->config_maps, &f->objects.config_maps);
        ADD_NEW(&ret_view->secrets, &f->objects.secrets);
        ADD_NEW(&ret_view->pvcs, &f->objects.pvcs);
    }
}

void static_files_view_done(Objects *view)
{
    free(view->config_maps.v);
    free(view->secrets.v);
    free(view->pvcs.v);
    *view = (Objects){0};
}
