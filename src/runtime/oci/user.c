/* user.c - who the container runs as: image's user, runAsUser/Group, supplemental groups, runAsNonRoot.
 *
 * Sources: kubelet pkg/kubelet/kuberuntime/security_context_others.go (texts), containerd pkg/oci/spec_opts.go
 * (WithUser, WithAdditionalGIDs) and internal/cri/server/container_create_linux.go. One difference, on purpose: an
 * image user "1000:1000" keeps its group when the Pod sets neither runAsUser nor runAsGroup; on the way kubelet ->
 * containerd the group is lost and the container gets group 0, which is more power than the image asked for. */
#include <limits.h>

#include "api/codec.h"
#include "runtime/oci/spec_priv.h"
#include "runtime/security.h"

#define USER_FILE_MAX (1u << 20) /* bytes of an image's passwd or group file; real ones are a few KiB */
#define GROUPS_MAX 65536u        /* NGROUPS_MAX of the kernel */

/* One ':'-separated line, cut in place. */
typedef struct { size_t n; char *f[8]; } Line;

static bool next_line(char **at, Line *l)
{
    while (**at) {
        char *s = *at;
        size_t n = strcspn(s, "\n");
        *at = s + n + (s[n] == '\n');
        s[n] = '\0';
        s += strspn(s, " \t\r");
        for (size_t k = strlen(s); k && strchr(" \t\r", s[k - 1]); k--)
            s[k - 1] = '\0';
        if (!*s || *s == '#')
            continue;
        *l = (Line){0};
        while (l->n < ARRAY_LEN(l->f)) {
            l->f[l->n++] = s;
            s = strchr(s, ':');
            if (!s)
                break;
            *s++ = '\0';
        }
        return true;
    }
    return false;
}

/* 0..INT32_MAX: runc's limit, and CRI's. */
static bool parse_id(const char *s, int64_t *ret)
{
    return *s >= '0' && *s <= '9' && str_to_i64(s, ret) && *ret <= INT32_MAX;
}

static bool is_number(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* By name (uid_wanted < 0) or by number; false = not there. A number that does not fit is not there either. */
static bool find_user(const char *text, const char *name, int64_t uid_wanted, int64_t *uid, int64_t *gid,
                      char **ret_name)
{
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    char *at = copy;
    Line l;
    while (next_line(&at, &l)) {
        int64_t u, g;
        if (l.n < 4 || !parse_id(l.f[2], &u) || !parse_id(l.f[3], &g))
            continue;
        if (uid_wanted < 0 ? !str_eq(l.f[0], name) : u != uid_wanted)
            continue;
        *uid = u;
        *gid = g;
        *ret_name = mem_dup_str(l.f[0]);
        return true;
    }
    return false;
}

static bool find_group(const char *text, const char *name, int64_t *gid)
{
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    char *at = copy;
    Line l;
    while (next_line(&at, &l)) {
        if (l.n >= 3 && str_eq(l.f[0], name) && parse_id(l.f[2], gid))
            return true;
    }
    return false;
}

static bool member_of(char *list, const char *name)
{
    for (char *save = NULL, *m = strtok_r(list, ",", &save); m; m = strtok_r(NULL, ",", &save)) {
        if (str_eq(m, name))
            return true;
    }
    return false;
}

/* Groups that list <name> as a member; its own group of the same name is the primary one (containerd). */
static void find_memberships(const char *text, const char *name, IntList *out)
{
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    char *at = copy;
    Line l;
    while (next_line(&at, &l)) {
        int64_t gid;
        if (l.n < 4 || out->n >= GROUPS_MAX || str_eq(l.f[0], name) || !parse_id(l.f[2], &gid) ||
            !member_of(l.f[3], name))
            continue;
        *LIST_ADD(out) = gid;
    }
}

/* An absent file is an empty one: "scratch" images have none. */
static Err *read_user_file(const char *rootfs, const char *path, Str *ret)
{
    Err *e = rootfs_read(rootfs, path, USER_FILE_MAX, ret);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        str_add(ret, "");
        return NULL;
    }
    return err_reason(e ? err_wrap(e, "image's %s", path) : NULL, REASON_CREATE);
}

static Err *lookup_error(const char *user, const char *what)
{
    return err_reason(err_new(ERR_INVALID, 0, "invalid USER value \"%.128s\": %s", user, what), REASON_CREATE);
}

Err *oci_user_lookup(const char *rootfs, const char *user, int64_t *uid, int64_t *gid, IntList *groups)
{
    const char *colon = strchr(user, ':');
    SCOPED(mem_free) char *name = mem_dup_strn(user, colon ? (size_t)(colon - user) : strlen(user));
    const char *group = colon ? colon + 1 : NULL;
    if (group && strchr(group, ':'))
        return lookup_error(user, "more than one colon");
    SCOPED(str_done) Str passwd = {0}, groupfile = {0};
    Err *e = read_user_file(rootfs, "/etc/passwd", &passwd);
    if (!e)
        e = read_user_file(rootfs, "/etc/group", &groupfile);
    if (e)
        return e;

    int64_t u = 0, g = 0, g_explicit = 0;
    SCOPED(mem_free) char *login = NULL;
    if (!*name || is_number(name)) {
        int64_t wanted = 0;
        if (*name && !parse_id(name, &wanted))
            return lookup_error(user, "uid out of range");
        if (!find_user(passwd.p, NULL, wanted, &u, &g, &login)) {
            u = wanted;
            g = 0;
        }
    } else if (!find_user(passwd.p, name, -1, &u, &g, &login)) {
        return err_reason(
            err_new(ERR_NOT_FOUND, 0, "unable to find user %.128s: no matching entries in passwd file", name),
            REASON_CREATE);
    }
    if (group && *group) {
        if (is_number(group) ? !parse_id(group, &g_explicit) : false)
            return lookup_error(user, "gid out of range");
        if (!is_number(group) && !find_group(groupfile.p, group, &g_explicit))
            return err_reason(
                err_new(ERR_NOT_FOUND, 0, "unable to find group %.128s: no matching entries in group file", group),
                REASON_CREATE);
        g = g_explicit;
    }
    if (groups) {
        *groups = (IntList){0};
        if (login)
            find_memberships(groupfile.p, login, groups);
    }
    *uid = u;
    *gid = g;
    return NULL;
}

void oci_image_user(const char *user, int64_t *ret_uid, char **ret_name)
{
    *ret_name = NULL;
    *ret_uid = -1;
    const char *u = str_or(user, "");
    SCOPED(mem_free) char *name = mem_dup_strn(u, strcspn(u, ":"));
    int64_t uid = 0;
    if (*name && (!is_number(name) || !parse_id(name, &uid)))
        *ret_name = MOVE(name, NULL);
    else
        *ret_uid = uid;
}

static void add_group(IntList *l, int64_t gid)
{
    *LIST_ADD(l) = gid;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void sort_unique(IntList *l)
{
    qsort(l->v, l->n, sizeof *l->v, by_value);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!n || l->v[n - 1] != l->v[i])
            l->v[n++] = l->v[i];
    }
    l->n = n;
}

static Err *check_id(const char *field, OptInt id)
{
    if (!id.set || (id.v >= 0 && id.v <= INT32_MAX))
        return NULL;
    return err_reason(err_new(ERR_INVALID, 0, "%s %lld: must be between 0 and 2147483647, inclusive", field,
                              (long long)id.v), REASON_CONFIG);
}

/* "name_namespace(uid)" as the kubelet's format.Pod, from the labels it gives every container; NULL without them. */
static char *pod_text(const ContainerConfig *c)
{
    const char *name = strmap_get(&c->labels, "io.kubernetes.pod.name");
    const char *ns = strmap_get(&c->labels, "io.kubernetes.pod.namespace");
    const char *uid = strmap_get(&c->labels, "io.kubernetes.pod.uid");
    return name && ns && uid ? mem_fmt("%s_%s(%s)", name, ns, uid) : NULL;
}

/* The string that containerd makes of image and security context: "uid", "name", "uid:gid", "name:gid". */
static Err *effective_user(SpecBuild *b, char **ret)
{
    OptInt uid = security_pick(b->sec->run_as_user, b->pod_sec->run_as_user);
    OptInt gid = security_pick(b->sec->run_as_group, b->pod_sec->run_as_group);
    Err *e = check_id("runAsUser", uid);
    if (!e)
        e = check_id("runAsGroup", gid);
    if (e)
        return e;
    const char *image = str_or(b->in->image->user, "");
    if (!uid.set && !gid.set) {
        *ret = mem_dup_str(image);
        return NULL;
    }
    SCOPED(mem_free) char *name =
        uid.set ? mem_fmt("%lld", (long long)uid.v) : mem_dup_strn(image, strcspn(image, ":"));
    *ret = gid.set ? mem_fmt("%s:%lld", *name ? name : "0", (long long)gid.v) : mem_dup_str(name);
    return NULL;
}

Err *spec_user(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    int64_t image_uid;
    SCOPED(mem_free) char *image_name = NULL, *pod = pod_text(c), *user = NULL;
    oci_image_user(b->in->image->user, &image_uid, &image_name);
    Err *e = security_verify_non_root(c->sec, c->pod_sec, image_uid, image_name, pod, c->name);
    if (!e)
        e = effective_user(b, &user);
    IntList own = {0};
    if (!e)
        e = oci_user_lookup(b->in->rootfs, user, &b->uid, &b->gid, &own);
    if (e)
        return e;

    add_group(&b->groups, b->gid);
    /* Strict: only what the Pod lists; Merge (the default): what the image's /etc/group says too. */
    for (size_t i = 0; i < own.n && !str_eq(b->pod_sec->supplemental_groups_policy, "Strict"); i++)
        add_group(&b->groups, own.v[i]);
    free(own.v);
    if (b->pod_sec->fs_group.set) {
        if ((e = check_id("fsGroup", b->pod_sec->fs_group)))
            return e;
        add_group(&b->groups, b->pod_sec->fs_group.v);
    }
    for (size_t i = 0; i < b->pod_sec->supplemental_groups.n; i++) {
        int64_t gid = b->pod_sec->supplemental_groups.v[i];
        if ((e = check_id("supplementalGroups", (OptInt){true, gid})))
            return e;
        if (b->groups.n >= GROUPS_MAX)
            return err_reason(err_new(ERR_LIMIT, 0, "more than %u supplemental groups", GROUPS_MAX), REASON_CONFIG);
        add_group(&b->groups, gid);
    }

    sort_unique(&b->groups); /* containerd gives them so */
    json_t *o = jobject_at(b->process, "user");
    jset(o, "uid", json_integer(b->uid));
    jset(o, "gid", json_integer(b->gid));
    jset(o, "umask", json_integer(022));
    json_t *gids = jarray_at(o, "additionalGids");
    for (size_t i = 0; i < b->groups.n; i++)
        jadd(gids, json_integer(b->groups.v[i]));
    return NULL;
}
