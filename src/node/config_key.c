/* Every member is written with its length, so that no two configurations read the same. */
#include "node/config_key.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/codec.h"
#include "wire/json.h"

static void put(Str *s, const char *text)
{
    str_fmt(s, "%zu:%s", text ? strlen(text) : 0, text ? text : "-");
}

static void put_n(Str *s, int64_t n)
{
    str_fmt(s, "%lld;", (long long)n);
}

static void put_vec(Str *s, const StrVec *v)
{
    put_n(s, (int64_t)v->n);
    for (size_t i = 0; i < v->n; i++)
        put(s, v->v[i]);
}

static void put_map(Str *s, const StrMap *m)
{
    put_n(s, (int64_t)m->n);
    LIST_EACH(e, m) {
        put(s, e->key);
        put(s, e->value);
    }
}

static void put_file(Str *s, const char *path)
{
    struct stat st;
    put(s, path);
    if (path && stat(path, &st) == 0)
        str_fmt(s, "%llx.%llx.%llx;", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
                (unsigned long long)(S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? st.st_rdev : 0));
}

static void put_api(Str *s, const TypeDesc *t, const void *object)
{
    SCOPED(json_unref) json_t *j = object ? api_encode(t, object) : json_null();
    SCOPED(mem_free) char *text = json_is_object(j) ? json_text(j, false) : NULL;
    put(s, text);
}

/* CDI files say what a device name stands for. */
static void put_cdi(Str *s, const ContainerConfig *c)
{
    static const char *const dirs[] = {"/etc/cdi", "/var/run/cdi"};
    put_n(s, (int64_t)c->cdi_devices.n);
    LIST_EACH(d, &c->cdi_devices)
        put(s, *d);
    struct stat st;
    for (size_t i = 0; c->cdi_devices.n && i < ARRAY_LEN(dirs); i++)
        if (stat(dirs[i], &st) == 0)
            put_n(s, st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

static void put_all(Str *s, const ContainerConfig *c)
{
    const char *const texts[] = {c->name, c->image, c->image_id, c->working_dir, c->log_path, c->stop_signal,
                                 c->termination_message_path, c->termination_message_host_path, c->pid_target_id, c->spec_hash};
    const int64_t numbers[] = {c->attempt, c->stdin_, c->stdin_once, c->tty, c->termination_message_from_logs, c->cpu_shares,
                               c->cpu_quota_us, c->cpu_period_us, c->memory_limit_bytes, c->pids_limit, c->oom_score_adj, c->pid};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        put(s, texts[i]);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        put_n(s, numbers[i]);
    put_vec(s, &c->command);
    put_vec(s, &c->args);
    put_vec(s, &c->env);
    put_n(s, (int64_t)c->mounts.n);
    LIST_EACH(m, &c->mounts) {
        put(s, m->container_path);
        put(s, m->propagation);
        put_n(s, m->read_only + 2 * m->recursive_read_only);
        put_file(s, m->host_path);
    }
    put_n(s, (int64_t)c->devices.n);
    LIST_EACH(d, &c->devices) {
        put(s, d->container_path);
        put(s, d->permissions);
        put_file(s, d->host_path);
    }
    put_cdi(s, c);
    put_map(s, &c->labels);
    put_map(s, &c->annotations);
    LIST_EACH(h, &c->hugepages) {
        put(s, h->page_size);
        put_n(s, h->limit_bytes);
    }
    put_api(s, &type_SecurityContext, c->sec);
    put_api(s, &type_PodSecurityContext, c->pod_sec);
}

char *container_config_key(const ContainerConfig *c, const char *sandbox_id)
{
    SCOPED(str_done) Str s = {0};
    unsigned char digest[32];
    put(&s, sandbox_id);
    put_all(&s, c);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, s.p, s.n, digest) < 0)
        abort(); /* SHA-256 is always there */
    Str hex = {0};
    for (size_t i = 0; i < sizeof digest; i++)
        str_fmt(&hex, "%02x", digest[i]);
    return str_take(&hex);
}
