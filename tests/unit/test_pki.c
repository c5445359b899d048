/* Certificates of `reprise node --init` at chosen moments, and the text of a kubeconfig. openssl's view of them is in
 * tests/integration/test_node_init.py. */
#include <sys/stat.h>

#include "base/clock.h"
#include "daemon/kubeconfig.h"
#include "daemon/pki.h"
#include "os/fs.h"
#include "check.h"

#define DAY (24 * 3600 * NS_PER_S)
static const char *const names[] = {"localhost", "127.0.0.1", "::1", "n1", NULL}, *const none[] = {NULL};
static const int64_t start = INT64_C(1767225600) * NS_PER_S; /* 2026-01-01 */

static char *fresh_dir(void)
{
    char *d = mem_dup_str("/tmp/reprise-test-pki.XXXXXX");
    CHECK(mkdtemp(d) != NULL);
    return d;
}

static Err *ensure_at(const char *dir, int64_t now_ns, const char *const *want, Pki *ret)
{
    return pki_ensure(&(PkiConfig){.dir = dir, .node_name = "n1", .names = want, .more = none, .now_ns = now_ns}, ret);
}

static unsigned mode_of(const char *dir, const char *name)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void changes(const Pki *p, const char *want)
{
    SCOPED(str_done) Str s = {0};
    for (int i = 0; i < PKI_N; i++)
        str_fmt(&s, "%s%s %s", i ? ", " : "", pki_names[i], p->f[i].change == PKI_MADE ? "made" : p->f[i].change == PKI_KEPT ? "kept" : "renewed");
    CHECK_STR(s.p, want);
}

static void made_kept_and_renewed_by_the_clock(void)
{
    SCOPED(mem_free) char *dir = fresh_dir();
    SCOPED(pki_done) Pki a = {0}, b = {0}, c = {0};
    CHECK_OK(ensure_at(dir, start, names, &a));
    changes(&a, "ca made, server made, admin made, view made");
    CHECK(a.f[PKI_CA].until_ns == start + 3650 * DAY && a.f[PKI_VIEW].until_ns == start + 365 * DAY);
    CHECK(mode_of(dir, "ca.key") == 0600 && mode_of(dir, "server.key") == 0600 && mode_of(dir, "admin.key") == 0600);
    CHECK_OK(ensure_at(dir, start + 334 * DAY, names, &b)); /* 31 days are left */
    changes(&b, "ca kept, server kept, admin kept, view kept");
    CHECK_STR(b.f[PKI_SERVER].crt, a.f[PKI_SERVER].crt);
    CHECK_OK(ensure_at(dir, start + 335 * DAY, names, &c));
    changes(&c, "ca kept, server renewed, admin renewed, view renewed");
    CHECK_STR(c.f[PKI_ADMIN].why, "it expires on 2027-01-01");
    CHECK_STR(c.f[PKI_ADMIN].old_crt, a.f[PKI_ADMIN].crt);
    CHECK_STR(c.f[PKI_ADMIN].key, a.f[PKI_ADMIN].key);
    CHECK(c.f[PKI_ADMIN].until_ns == start + 700 * DAY);
    CHECK_OK(fs_remove_tree(dir));
}

static void the_ca_bounds_and_ends(void)
{
    SCOPED(mem_free) char *dir = fresh_dir();
    SCOPED(pki_done) Pki a = {0}, b = {0}, c = {0};
    CHECK_OK(ensure_at(dir, start, names, &a));
    CHECK_OK(ensure_at(dir, start + 3600 * DAY, names, &b));
    CHECK(b.f[PKI_SERVER].until_ns == a.f[PKI_CA].until_ns); /* not a day beyond the CA */
    SCOPED(err_free) Err *e = ensure_at(dir, start + 3651 * DAY, names, &c);
    SCOPED(mem_free) char *text = e ? err_text(e) : NULL, *want = mem_fmt("%s/ca.crt has expired: take the directory away, and everything is made anew", dir);
    CHECK_STR(text, want);
    CHECK_OK(fs_remove_tree(dir));
}

static void a_name_that_is_lacking(void)
{
    SCOPED(mem_free) char *dir = fresh_dir();
    const char *const web[] = {"localhost", "web.example", "10.0.0.7", NULL};
    SCOPED(pki_done) Pki a = {0}, b = {0}, c = {0};
    CHECK_OK(ensure_at(dir, start, names, &a));
    CHECK_OK(ensure_at(dir, start, web, &b));
    changes(&b, "ca kept, server renewed, admin kept, view kept");
    CHECK_STR(b.f[PKI_SERVER].why, "it lacks the name web.example");
    CHECK_OK(ensure_at(dir, start, names, &c)); /* has them all, old and new */
    changes(&c, "ca kept, server kept, admin kept, view kept");
    CHECK_OK(fs_remove_tree(dir));
}

static void refused(const char *file, const char *from, mode_t mode, bool gone, const char *want)
{
    SCOPED(mem_free) char *dir = fresh_dir();
    SCOPED(pki_done) Pki a = {0}, b = {0};
    CHECK_OK(ensure_at(dir, start, names, &a));
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, file), *source = mem_fmt("%s/%s", dir, str_or(from, file));
    SCOPED(str_done) Str text = {0};
    if (gone) {
        CHECK(unlink(path) == 0);
    } else {
        if (str_eq(from, "garbage"))
            str_add(&text, "no PEM\n");
        else
            CHECK_OK(fs_read(source, 65536, &text));
        CHECK_OK(fs_write_atomic(path, text.p, text.n, mode, false));
    }
    SCOPED(err_free) Err *e = ensure_at(dir, start + 340 * DAY, names, &b);
    SCOPED(mem_free) char *got = e ? err_text(e) : mem_dup_str("nothing");
    const char *tail = str_starts(got, dir) ? got + strlen(dir) : got;
    CHECK_STR(str_starts(tail, want) ? want : tail, want);
    CHECK_OK(fs_remove_tree(dir));
}

static void what_does_not_fit_is_refused(void)
{
    refused("admin.key", NULL, 0640, false, "/admin.key: mode 0640 lets others use the key");
    refused("ca.key", NULL, 0604, false, "/ca.key: mode 0604 lets others use the key");
    refused("admin.key", "view.key", 0600, false, "/admin.key is not the key of ");
    refused("admin.crt", "garbage", 0644, false, "/admin.crt: ");
    refused("server.key", "garbage", 0600, false, "/server.key: ");
    refused("server.key", NULL, 0, true, "/server.crt has no key");
    refused("ca.key", NULL, 0, true, "/ca.key is not there, and without it nothing can be signed");
    refused("ca.crt", NULL, 0, true, "/server.crt is not signed by ");
}

/* Without its key a CA still says who is known; nothing needs it until something is to be signed. */
static void a_ca_without_key_is_enough_to_keep(void)
{
    SCOPED(mem_free) char *dir = fresh_dir(), *key = mem_fmt("%s/ca.key", dir), *crt = mem_fmt("%s/view.crt", dir);
    SCOPED(pki_done) Pki a = {0}, b = {0}, c = {0};
    CHECK_OK(ensure_at(dir, start, names, &a));
    CHECK(rename(key, crt) == 0 && unlink(crt) == 0); /* and a key without certificate */
    SCOPED(err_free) Err *e = ensure_at(dir, start, names, &b);
    CHECK(e != NULL);
    CHECK_OK(fs_write_atomic(key, a.f[PKI_CA].key, strlen(a.f[PKI_CA].key), 0600, false));
    CHECK_OK(ensure_at(dir, start, names, &c));
    changes(&c, "ca kept, server kept, admin kept, view made");
    CHECK_STR(c.f[PKI_VIEW].key, a.f[PKI_VIEW].key);
    CHECK(unlink(key) == 0);
    pki_done(&b);
    CHECK_OK(ensure_at(dir, start, names, &b));
    CHECK_OK(fs_remove_tree(dir));
}

static void names_of_a_certificate(void)
{
    static const char *const good[] = {"localhost", "a-b.c", "*.example", "127.0.0.1", "::1", "fd00::2", "1node"};
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "a b", "*", "*.", "a_b", "https://a", "a:6443"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK_STR(pki_is_san(good[i]) ? good[i] : NULL, good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_STR(pki_is_san(bad[i]) ? bad[i] : NULL, NULL);
}

static void a_kubeconfig(void)
{
    const Kubeconfig k = {.cluster = "n1", .user = "admin", .server = "https://127.0.0.1:6443", .ca = "CA", .crt = "old", .key = "KEY"};
    SCOPED(mem_free) char *text = kubeconfig_text(&k), *renewed = NULL;
    CHECK_STR(text, "apiVersion: v1\n"
                    "kind: Config\n"
                    "clusters:\n"
                    "- name: \"n1\"\n"
                    "  cluster:\n"
                    "    server: \"https://127.0.0.1:6443\"\n"
                    "    certificate-authority-data: Q0E=\n"
                    "users:\n"
                    "- name: \"admin\"\n"
                    "  user:\n"
                    "    client-certificate-data: b2xk\n"
                    "    client-key-data: S0VZ\n"
                    "contexts:\n"
                    "- name: \"admin@n1\"\n"
                    "  context:\n"
                    "    cluster: \"n1\"\n"
                    "    user: \"admin\"\n"
                    "current-context: \"admin@n1\"\n");
    CHECK(kubeconfig_renew(text, NULL, "old", &renewed) == KUBECONFIG_FITS && !renewed);
    CHECK(kubeconfig_renew(text, NULL, "new", &renewed) == KUBECONFIG_FOREIGN && !renewed);
    CHECK(kubeconfig_renew(text, "other", "new", &renewed) == KUBECONFIG_FOREIGN && !renewed);
    CHECK(kubeconfig_renew(text, "old", "new", &renewed) == KUBECONFIG_RENEWED);
    CHECK(renewed && strstr(renewed, "client-certificate-data: bmV3\n    client-key-data: S0VZ\n") && !strstr(renewed, "b2xk"));
}

TESTS(T(made_kept_and_renewed_by_the_clock), T(the_ca_bounds_and_ends), T(a_name_that_is_lacking), T(what_does_not_fit_is_refused),
      T(a_ca_without_key_is_enough_to_keep), T(names_of_a_certificate), T(a_kubeconfig))
