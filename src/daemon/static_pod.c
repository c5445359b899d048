#include "daemon/static_pod.h"

#include <ctype.h>
#include <gnutls/crypto.h>

#include "base/clock.h"

#define MD5_BYTES 16

/* Go's fmt.Fprintf(hasher, "host:%s", ...), then the object. The kubelet's own hash is of a dump of Go's structs, which nobody else can
 * make: the same file has another UID there. */
static char *uid_of(const Pod *p, const char *file, const char *node_name)
{
    SCOPED(mem_free) char *pod = api_encode_text(&type_Pod, p);
    SCOPED(mem_free) char *text = mem_fmt("host:%sfile:%s%s", node_name, file, pod);
    uint8_t sum[MD5_BYTES];
    if (gnutls_hash_fast(GNUTLS_DIG_MD5, text, strlen(text), sum) != 0) { /* FIPS mode: any other hash of that length does */
        uint8_t wide[32];
        if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), wide) != 0)
            abort();
        memcpy(sum, wide, sizeof sum);
    }
    Str s = {0};
    for (size_t i = 0; i < sizeof sum; i++)
        str_fmt(&s, "%02x", sum[i]);
    return str_take(&s);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const StrPair *)a)->key, ((const StrPair *)b)->key);
}

static void set_annotation(ObjectMeta *m, const char *key, const char *value)
{
    LIST_EACH(a, &m->annotations)
        if (str_eq(a->key, key)) {
            mem_set_str(&a->value, value);
            return;
        }
    *LIST_ADD(&m->annotations) = (StrPair){mem_dup_str(key), mem_dup_str(value)};
    qsort(m->annotations.v, m->annotations.n, sizeof *m->annotations.v, by_key);
}

static void tolerate_no_execute(PodSpec *s)
{
    LIST_EACH(t, &s->tolerations)
        if (!t->key && str_eq(t->operator_, "Exists") && str_eq(t->effect, "NoExecute"))
            return;
    *LIST_ADD(&s->tolerations) = (Toleration){.operator_ = mem_dup_str("Exists"), .effect = mem_dup_str("NoExecute")};
}

void static_pod_make(Pod *p, const char *file, const char *node_name, int64_t seen_ns)
{
    char seen[CLOCK_TEXT_MAX];
    ObjectMeta *m = &p->metadata;
    free(m->uid);
    m->uid = uid_of(p, file, node_name);
    SCOPED(mem_free) char *node = mem_dup_str(node_name);
    for (char *c = node; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    char *name = mem_fmt("%s-%s", m->name, node);
    free(m->name);
    m->name = name;
    mem_set_str(&p->spec.node_name, node_name);
    tolerate_no_execute(&p->spec);
    set_annotation(m, ANNOTATION_HASH, m->uid);
    set_annotation(m, ANNOTATION_MIRROR, m->uid);
    set_annotation(m, ANNOTATION_SOURCE, "file");
    set_annotation(m, ANNOTATION_SEEN, clock_format(seen_ns, 9, seen));
}

bool pod_is_static(const Pod *p)
{
    return str_eq(strmap_get(&p->metadata.annotations, ANNOTATION_SOURCE), "file");
}
