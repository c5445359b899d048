/* cni_sweep.c - NAT rules that outlived their Pod.
 *
 * The bridge plugin learns which addresses to stop masquerading from the interface inside the namespace; when that is
 * gone (the sandbox process was killed) or was changed from inside, its DEL leaves the rule and its chain behind.
 * Plugins mark their rules with a comment that holds the container id, so leftovers are found by that, whichever plugin
 * made them. */
#include "runtime/oci/cni_priv.h"

/* The chain that a rule jumps to, if it is one of CNI's own; chains are named CNI-<hash>. */
static char *target_chain(const char *rule, size_t n)
{
    static const char jump[] = " -j CNI-";
    const char *at = memmem(rule, n, jump, sizeof jump - 1);
    if (!at)
        return NULL;
    at += strlen(" -j ");
    return mem_dup_strn(at, strcspn(at, " \n"));
}

bool cni_sweep_script(const char *rules, size_t n, const char *id, Str *ret)
{
    SCOPED(mem_free) char *mark = mem_fmt("id: \\\"%s\\\"", id); /* as iptables -S quotes it */
    SCOPED(strvec_done) StrVec chains = {0};
    str_clear(ret);
    str_add(ret, "*nat\n");
    for (const char *p = rules, *end = rules + n; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((eol ? eol : end) - p);
        if (len > 3 && !strncmp(p, "-A ", 3) && memmem(p, len, mark, strlen(mark))) {
            SCOPED(mem_free) char *chain = target_chain(p, len);
            if (chain) {
                str_fmt(ret, "-D %.*s\n", (int)(len - 3), p + 3);
                if (!strvec_has(&chains, chain))
                    strvec_add(&chains, chain);
            }
        }
        p += len + 1;
    }
    for (size_t i = 0; i < chains.n; i++)
        str_fmt(ret, "-F %s\n", chains.v[i]);
    for (size_t i = 0; i < chains.n; i++)
        str_fmt(ret, "-X %s\n", chains.v[i]);
    str_add(ret, "COMMIT\n");
    return chains.n > 0;
}
