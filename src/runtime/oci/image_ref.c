/* Image references: distribution/reference's grammar and Docker's defaults, by hand (POSIX regex has no \w and no
 * limits).
 *
 *   reference := name [":" tag] ["@" digest]          name   := [domain "/"] path ("/" path)*
 *   domain    := dc ("." dc)* [":" digits] | "[" ipv6 "]" [":" digits]      dc := alnum, inner "-"
 *   path      := [a-z0-9]+ (sep [a-z0-9]+)*           sep    := "." | "_" | "__" | "-"+
 *   tag       := [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}    digest := algorithm ":" hex{32,} */
#include "runtime/oci/image_priv.h"

#define NAME_MAX_BYTES 255 /* reference.NameTotalLengthMax */
#define TAG_MAX_BYTES  128

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool image_is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_hex(s[i]))
            return false;
    return n > 0;
}

/* The matchers return the first byte they do not take, or NULL when what they must have is not there. */
static const char *match_digits(const char *p)
{
    const char *start = p;
    while (*p >= '0' && *p <= '9')
        p++;
    return p == start ? NULL : p;
}

static const char *match_domain_component(const char *p)
{
    if (!is_alnum(*p))
        return NULL;
    while (is_alnum(*p) || *p == '-')
        p++;
    return p[-1] == '-' ? NULL : p;
}

static const char *match_domain(const char *p)
{
    if (*p == '[') { /* an IPv6 address; its inside is checked by whoever connects */
        const char *start = ++p;
        while (is_alnum(*p) || *p == ':')
            p++;
        if (p == start || *p != ']')
            return NULL;
        p++;
    } else {
        p = match_domain_component(p);
        while (p && *p == '.')
            p = match_domain_component(p + 1);
    }
    return p && *p == ':' ? match_digits(p + 1) : p;
}

static const char *match_path_component(const char *p)
{
    for (;;) {
        if (!is_lower_alnum(*p))
            return NULL;
        while (is_lower_alnum(*p))
            p++;
        if (*p == '.') {
            p++;
        } else if (*p == '_') {
            p += p[1] == '_' ? 2 : 1;
        } else if (*p == '-') {
            while (*p == '-')
                p++;
        } else {
            return p;
        }
    }
}

static const char *match_path(const char *p)
{
    p = match_path_component(p);
    while (p && *p == '/')
        p = match_path_component(p + 1);
    return p;
}

static const char *match_tag(const char *p)
{
    if (!is_alnum(*p) && *p != '_')
        return NULL;
    const char *start = p;
    while (is_alnum(*p) || *p == '_' || *p == '.' || *p == '-')
        p++;
    return p - start > TAG_MAX_BYTES ? NULL : p;
}

/* As opencontainers/go-digest says it, for what the grammar lets through. NULL = a digest we can check. */
static const char *digest_fault(const char *d)
{
    const char *colon = strchr(d, ':');
    const DigestAlg *alg = digest_alg(d, (size_t)(colon - d));
    if (!alg)
        return "unsupported digest algorithm";
    if (strlen(colon + 1) != alg->n_hex)
        return "invalid checksum digest length";
    return image_is_hex(colon + 1, alg->n_hex) ? NULL : "invalid checksum digest format";
}

static const char *match_digest(const char *p)
{
    while (is_alnum(*p) || *p == '-' || *p == '_' || *p == '+' || *p == '.')
        p++;
    if (*p != ':')
        return NULL;
    const char *start = ++p;
    while ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f') || (*p >= 'A' && *p <= 'F'))
        p++;
    return p - start < 32 ? NULL : p;
}

/* Splits <remainder> (what follows the domain); returns the fault in Docker's words, or NULL. */
static const char *parse_remainder(const char *domain, const char *remainder, ImageRef *ret)
{
    const char *end = match_domain(domain);
    if (!end || *end)
        return "invalid reference format";
    const char *p = match_path(remainder);
    if (!p)
        return "invalid reference format";
    ret->domain = mem_dup_str(domain);
    ret->path = mem_dup_strn(remainder, (size_t)(p - remainder));
    if (*p == ':') {
        const char *tag = p + 1;
        p = match_tag(tag);
        if (!p)
            return "invalid reference format";
        ret->tag = mem_dup_strn(tag, (size_t)(p - tag));
    }
    if (*p == '@') {
        const char *digest = p + 1;
        p = match_digest(digest);
        if (!p || *p)
            return "invalid reference format";
        ret->digest = mem_dup_str(digest);
    }
    if (*p)
        return "invalid reference format";
    if (strlen(domain) + 1 + strlen(ret->path) > NAME_MAX_BYTES)
        return "repository name must not be more than 255 characters";
    return ret->digest ? digest_fault(ret->digest) : NULL;
}

static bool has_upper(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 'A' && s[i] <= 'Z')
            return true;
    return false;
}

/* splitDockerDomain: what stands before the first '/' is a domain if it looks like one. */
static const char *split_domain(const char *ref, char **domain)
{
    const char *slash = strchr(ref, '/');
    size_t n = slash ? (size_t)(slash - ref) : 0;
    if (slash && (memchr(ref, '.', n) || memchr(ref, ':', n) || (n == 9 && memcmp(ref, "localhost", n) == 0) ||
                  has_upper(ref, n))) {
        *domain = mem_dup_strn(ref, n);
        if (str_eq(*domain, "index.docker.io"))
            mem_set_str(domain, "docker.io");
        return slash + 1;
    }
    *domain = mem_dup_str("docker.io");
    return ref;
}

static const char *ref_parse(const char *ref, ImageRef *ret)
{
    if (strlen(ref) == 64 && image_is_hex(ref, 64))
        return "cannot specify 64-byte hexadecimal strings";
    SCOPED(mem_free) char *domain = NULL;
    const char *rest = split_domain(ref, &domain);
    SCOPED(mem_free) char *official = NULL;
    if (str_eq(domain, "docker.io") && !strchr(rest, '/'))
        rest = official = mem_fmt("library/%s", rest);
    if (has_upper(rest, strcspn(rest, ":")))
        return "invalid reference format: repository name must be lowercase";
    return parse_remainder(domain, rest, ret);
}

void image_ref_done(ImageRef *r)
{
    free(r->domain);
    free(r->path);
    free(r->tag);
    free(r->digest);
    *r = (ImageRef){0};
}

Err *image_ref_parse(const char *ref, ImageRef *ret)
{
    ImageRef r = {0};
    const char *fault = ref_parse(ref, &r);
    if (fault) {
        image_ref_done(&r);
        SCOPED(str_done) Str quoted = {0};
        str_add_quoted(&quoted, ref);
        if (str_starts(fault, "cannot specify"))
            return err_reason(err_new(ERR_INVALID, 0,
                                      "Failed to apply default image tag %s: couldn't parse image name %s: "
                                      "invalid repository name (%s), %s",
                                      quoted.p, quoted.p, ref, fault),
                              "InvalidImageName");
        return err_reason(err_new(ERR_INVALID, 0,
                                  "Failed to apply default image tag %s: couldn't parse image name %s: %s", quoted.p,
                                  quoted.p, fault),
                          "InvalidImageName");
    }
    *ret = r;
    return NULL;
}

Err *image_ref_normalize(const char *ref, char **ret)
{
    SCOPED(image_ref_done) ImageRef r = {0};
    Err *e = image_ref_parse(ref, &r);
    if (e)
        return e;
    *ret = r.digest ? mem_fmt("%s/%s@%s", r.domain, r.path, r.digest)
                    : mem_fmt("%s/%s:%s", r.domain, r.path, str_or(r.tag, "latest"));
    return NULL;
}
