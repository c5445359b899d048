/* $(VAR) expansion by Kubernetes' rules (third_party/forked/golang/expansion). Pure. */
#include "node/volumes_priv.h"

/* $(NAME) is NAME's value, or stays if that is unknown; $$ is $; any other $ is itself. */
bool env_expand_into(const char *text, EnvLookup *lookup, void *arg, Str *out)
{
    str_add_n(out, "", 0);
    for (const char *s = text; *s;) {
        size_t plain = strcspn(s, "$");
        str_add_n(out, s, plain);
        s += plain;
        if (*s == '\0')
            break;
        if (s[1] == '$') {
            str_add_c(out, '$');
            s += 2;
            continue;
        }
        const char *end = s[1] == '(' ? strchr(s + 2, ')') : NULL;
        if (!end) {
            str_add_c(out, '$');
            s++;
            continue;
        }
        const char *value = lookup(arg, s + 2, (size_t)(end - s - 2));
        size_t n = value ? strlen(value) : 0;
        if (out->n + n > ENV_VALUE_MAX)
            return false;
        if (value)
            str_add_n(out, value, n);
        else
            str_add_n(out, s, (size_t)(end - s + 1));
        s = end + 1;
    }
    return out->n <= ENV_VALUE_MAX;
}

/* --- EnvMap ----------------------------------------------------------------------------------------------------- */

void env_map_done(EnvMap *m)
{
    LIST_EACH(e, &m->all) {
        free(e->name);
        free(e->value);
    }
    free(m->all.v);
    free(m->slot);
    *m = (EnvMap){0};
}

/* The slot of <name>, or the free one where it belongs. FNV-1a. */
static uint32_t *slot_of(const EnvMap *m, const char *name, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619u;
    for (size_t i = h & (m->n_slot - 1);; i = (i + 1) & (m->n_slot - 1)) {
        uint32_t at = m->slot[i];
        if (at == 0 || (m->all.v[at - 1].n_name == n && memcmp(m->all.v[at - 1].name, name, n) == 0))
            return &m->slot[i];
    }
}

static void env_map_grow(EnvMap *m)
{
    m->n_slot = m->n_slot ? 2 * m->n_slot : 32;
    free(m->slot);
    m->slot = mem_alloc_n(m->n_slot, sizeof *m->slot);
    m->cap = m->n_slot / 2;
    m->all.v = mem_grow(m->all.v, m->cap, sizeof *m->all.v);
    for (size_t i = 0; i < m->all.n; i++)
        *slot_of(m, m->all.v[i].name, m->all.v[i].n_name) = (uint32_t)i + 1;
}

void env_map_set(EnvMap *m, const char *name, size_t n_name, char *value)
{
    if (m->all.n == m->cap)
        env_map_grow(m);
    uint32_t *slot = slot_of(m, name, n_name);
    if (*slot == 0) {
        m->all.v[m->all.n++] = (EnvEntry){mem_dup_strn(name, n_name), NULL, n_name};
        *slot = (uint32_t)m->all.n;
        m->bytes += n_name + 2; /* "=" and NUL */
    }
    EnvEntry *e = &m->all.v[*slot - 1];
    m->bytes += strlen(value);
    m->bytes -= e->value ? strlen(e->value) : 0;
    free(e->value);
    e->value = value;
}

const char *env_map_get(const EnvMap *m, const char *name, size_t n)
{
    if (m->n_slot == 0)
        return NULL;
    uint32_t at = *slot_of(m, name, n);
    return at ? m->all.v[at - 1].value : NULL;
}

const char *env_map_lookup(void *arg, const char *name, size_t n)
{
    return env_map_get(arg, name, n);
}

void env_map_load(EnvMap *m, const StrVec *env)
{
    for (size_t i = 0; i < env->n; i++) {
        const char *eq = strchr(env->v[i], '=');
        if (eq)
            env_map_set(m, env->v[i], (size_t)(eq - env->v[i]), mem_dup_str(eq + 1));
    }
}

char *env_expand(const char *text, const StrVec *env)
{
    SCOPED(env_map_done) EnvMap m = {0};
    env_map_load(&m, env);
    Str out = {0};
    (void)env_expand_into(text, env_map_lookup, &m, &out);
    return str_take(&out);
}

void env_expand_list(const StrList *in, const StrVec *env, StrVec *out)
{
    SCOPED(env_map_done) EnvMap m = {0};
    env_map_load(&m, env);
    for (size_t i = 0; i < in->n; i++) {
        Str s = {0};
        (void)env_expand_into(in->v[i], env_map_lookup, &m, &s);
        strvec_add_take(out, str_take(&s));
    }
}
