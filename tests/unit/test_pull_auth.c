/* Credentials for pulls: node/pull_auth*.c against the kubelet's keyring. Rows that say "upstream" are cases of
 * pkg/credentialprovider/{keyring,config}_test.go and secrets/secrets_test.go of Kubernetes 1.35. */
#include "check.h"
#include "unit/volumes_fixture.h"

#include <unistd.h>

#include "node/pull_auth.h"
#include "os/fs.h"

/* "user:password|user:password" */
static char *text_of(const ImageAuthList *l)
{
    Str s = {0};
    LIST_EACH(a, l)
        str_fmt(&s, "%s%s:%s", s.n ? "|" : "", str_or(a->username, ""), str_or(a->password, ""));
    return str_take(&s);
}

static void test_url_match(void) /* upstream: TestURLsMatch, all of it; then ours */
{
    static const struct {
        const char *glob, *target;
        bool want;
    } rows[] = {
        {"*.kubernetes.io", "prefix.kubernetes.io", true},
        {"prefix.*.io", "prefix.kubernetes.io", true},
        {"prefix.kubernetes.*", "prefix.kubernetes.io", true},
        {"*-good.kubernetes.io", "prefix-good.kubernetes.io", true},
        {"*.kubernetes.io/blah", "prefix.kubernetes.io/blah", true},
        {"prefix.*.io/foo", "prefix.kubernetes.io/foo/bar", true},
        {"*.kubernetes.io:1111/blah", "prefix.kubernetes.io:1111/blah", true},
        {"prefix.*.io:1111/foo", "prefix.kubernetes.io:1111/foo/bar", true},
        {"*.kubernetes.io", "kubernetes.io", false},
        {"*.*.kubernetes.io", "prefix.kubernetes.io", false},
        {"*.*.kubernetes.io", "kubernetes.io", false},
        {"*kubernetes.io", "a.kubernetes.io", false},
        {"*kubernetes.io", "kubernetes.io", true},
        {"*.*.*.kubernetes.io", "a.b.c.kubernetes.io", true},
        {"kubernetes.io", "kubernetes.com", false},
        {"k*.io", "quay.io", false},
        {"*.kubernetes.io:1234/blah", "prefix.kubernetes.io:1111/blah", false},
        {"prefix.*.io/foo", "prefix.kubernetes.io:1111/foo/bar", false},
        /* ours */
        {"user@quay.io", "quay.io/a", true},
        {"quay.io/a%62c", "quay.io/abc/d", true},
        {"quay.io/%zz", "quay.io/%zz", false},
        {"quay.io/%00", "quay.io/a", false},
        {"quay.io/a%6", "quay.io/a", false},
        {"quay.io/a?x#y", "quay.io/ab", true},
        {"[::1]:5000", "[::1]:5000/a", true},
        {"[::1]", "[::1]/a", true}, /* upstream takes the brackets for a character class */
        {"[::1]", "[::1]:5000/a", false},
        {"[::1", "[::1/a", false},
        {"q uay.io", "q uay.io", false},
        {"quay.io\n", "quay.io\n", false},
        {"quay.io:x", "quay.io:x", false},
        {"", "", true},
        {"", "quay.io", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_INT(keyring_key_matches(rows[i].glob, rows[i].target), rows[i].want);
        if (keyring_key_matches(rows[i].glob, rows[i].target) != rows[i].want)
            printf("# %s %s\n", rows[i].glob, rows[i].target);
    }
}

/* One key with foo:bar; is it found? */
static void test_one_key(void)
{
    static const struct {
        const char *key, *target;
        bool want;
    } rows[] = {
        /* upstream: TestDockerKeyringForGlob */
        {"https://hello.kubernetes.io", "hello.kubernetes.io", true},
        {"https://*.docker.io", "prefix.docker.io", true},
        {"https://prefix.*.io", "prefix.docker.io", true},
        {"https://prefix.docker.*", "prefix.docker.io", true},
        {"https://*.docker.io/path", "prefix.docker.io/path", true},
        {"https://prefix.*.io/path", "prefix.docker.io/path/subpath", true},
        {"https://prefix.docker.*/path", "prefix.docker.io/path", true},
        {"https://*.docker.io:8888", "prefix.docker.io:8888", true},
        {"https://prefix.*.io:8888", "prefix.docker.io:8888", true},
        {"https://prefix.docker.*:8888", "prefix.docker.io:8888", true},
        {"https://*.docker.io/path:1111", "prefix.docker.io/path:1111", true},
        {"https://*.docker.io/v1/", "prefix.docker.io/path:1111", true},
        {"https://*.docker.io/v2/", "prefix.docker.io/path:1111", true},
        {"https://prefix.docker.*/path:1111", "prefix.docker.io/path:1111", true},
        {"prefix.docker.io:1111", "prefix.docker.io:1111/path", true},
        {"*.docker.io:1111", "prefix.docker.io:1111/path", true},
        /* upstream: TestKeyringMiss */
        {"https://hello.kubernetes.io", "world.mesos.org/foo/bar", false},
        {"https://*.docker.com", "prefix.docker.io", false},
        {"https://suffix.*.io", "prefix.docker.io", false},
        {"https://prefix.docker.c*", "prefix.docker.io", false},
        {"https://prefix.*.io/path:1111", "prefix.docker.io/path/subpath:1111", false},
        {"suffix.*.io", "prefix.docker.io", false},
        /* upstream: TestKeyringMissWithDockerHubCredentials and the three Hits */
        {"https://index.docker.io/v1/", "world.mesos.org/foo/bar", false},
        {"https://index.docker.io/v1/", "google/docker-registry", true},
        {"https://index.docker.io/v1/", "jenkins", true},
        {"https://index.docker.io/v1/", "index.docker.io/v1//google/docker-registry", true},
        /* upstream: TestIsDefaultRegistryMatch, through the one key that asks for it */
        {"https://index.docker.io/v1/", "foo/bar", true},
        {"https://index.docker.io/v1/", "docker.io/foo/bar", true},
        {"https://index.docker.io/v1/", "index.docker.io/foo/bar", true},
        {"https://index.docker.io/v1/", "foo", true},
        {"https://index.docker.io/v1/", "", false},
        {"https://index.docker.io/v1/", "registry.tld/foo/bar", false},
        {"https://index.docker.io/v1/", "registry:5000/foo/bar", false},
        {"https://index.docker.io/v1/", "myhostdocker.io/foo/bar", false},
        /* ours: docker.io is a host as any other; a key that is no URL fits nothing */
        {"docker.io", "docker.io/library/busybox", true},
        {"https://index.docker.io/v1", "docker.io/library/busybox", false},
        {"http://quay.io", "quay.io/a", true},
        {"quay.io:port", "quay.io/a", false},
        {"https://", "docker.io/a", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(keyring_done) Keyring k = {0};
        SCOPED(image_auths_done) ImageAuthList found = {0};
        SCOPED(mem_free) char *config = mem_fmt("{\"%s\":{\"email\":\"foo@bar.baz\",\"auth\":\"Zm9vOmJhcg==\"}}", rows[i].key);
        SCOPED(mem_free) char *target = mem_fmt("%s%s", rows[i].target, strncmp(rows[i].key, "https://index", 13) ? "/foo/bar" : "");
        CHECK_OK(keyring_add_config(&k, DOCKER_DOCKERCFG, config, strlen(config)));
        keyring_lookup(&k, target, &found);
        SCOPED(mem_free) char *got = text_of(&found);
        CHECK_STR(got, rows[i].want ? "foo:bar" : "");
        if (!str_eq(got, rows[i].want ? "foo:bar" : ""))
            printf("# %s %s\n", rows[i].key, rows[i].target);
    }
}

static void test_order(void)
{
    static const char *const configs[] = {
        "{\"auths\":{\"bar.example.com\":{\"username\":\"ada\",\"password\":\"smash\"},"
        "\"bar.example.com/pong\":{\"username\":\"grace\",\"password\":\"squash\"},"
        "\"https://quay.io/v1/\":{\"username\":\"rex\",\"password\":\"tiny arms\"}}}",
        "{\"auths\":{\"https://bar.example.com/v2/\":{\"username\":\"second\"},\"*.example.com/pong/deep\":{\"username\":\"glob\"},"
        "\"index.docker.io\":{\"username\":\"hub\"},\"https://index.docker.io/v1/\":{\"username\":\"hub2\"}}}",
    };
    static const struct { const char *repository, *want; } rows[] = {
        /* upstream: TestDockerKeyringLookup, with a second secret beside it; TestIssue3797 */
        {"bar.example.com", "ada:smash|second:"},
        {"bar.example.com/pong", "grace:squash|ada:smash|second:"},
        {"bar.example.com/ping", "ada:smash|second:"},
        {"bar.example.com/pongz", "grace:squash|ada:smash|second:"},
        {"bar.example.com/pong/pang", "grace:squash|ada:smash|second:"},
        {"example.com/x", ""},
        {"foo.example.com/x", ""},
        {"quay.io", "rex:tiny arms"},
        {"quay.io/foo", "rex:tiny arms"},
        {"quay.io/foo/bar", "rex:tiny arms"},
        /* bytes backwards: '*' sorts after every letter, so a glob is last even with the longer path */
        {"bar.example.com/pong/deeper", "grace:squash|ada:smash|second:|glob:"},
        {"docker.io/library/busybox", "hub:|hub2:"},
    };
    SCOPED(keyring_done) Keyring k = {0};
    for (size_t i = 0; i < ARRAY_LEN(configs); i++)
        CHECK_OK(keyring_add_config(&k, DOCKER_CONFIG_JSON, configs[i], strlen(configs[i])));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(image_auths_done) ImageAuthList found = {0};
        keyring_lookup(&k, rows[i].repository, &found);
        SCOPED(mem_free) char *got = text_of(&found);
        CHECK_STR(got, rows[i].want);
    }
}

/* What one entry of a config is read as: "user:password", or the error. */
static void test_entries(void)
{
    static const struct { const char *entry, *want; } rows[] = {
        /* upstream: TestDockerConfigEntryJSONDecode */
        {"{\"username\": \"foo\", \"password\": \"bar\", \"email\": \"foo@example.com\"}", "foo:bar"},
        {"{\"auth\": \"Zm9vOmJhcg==\", \"email\": \"foo@example.com\"}", "foo:bar"},
        {"{\"username\": \"foo\", \"password\": \"bar\", \"auth\": \"cGluZzpwb25n\", \"email\": \"foo@example.com\"}", "ping:pong"},
        {"{\"auth\": \"pants\", \"email\": \"foo@example.com\"}", "auths: \"a.io\": auth: illegal base64 data"},
        {"{\"email\": false}", "auths: \"a.io\": email: not a string"},
        /* upstream: TestDecodeDockerConfigFieldAuth */
        {"{\"auth\": \"Zm9vOmJhcg\"}", "foo:bar"},
        {"{\"auth\": \"Zm9vOm\\nJhcg==\\n\"}", "foo:bar"},
        {"{\"auth\": \"cGFudHM=\"}", "auths: \"a.io\": auth: unable to parse auth field, must be formatted as base64(username:password)"},
        {"{\"auth\": \"Zm9vOmJhcg== \"}", "auths: \"a.io\": auth: illegal base64 data"},
        /* ours */
        {"{\"auth\": \"\"}", ":"},
        {"{}", ":"},
        {"null", ":"},
        {"{\"auth\": null, \"username\": null, \"identitytoken\": \"x\"}", ":"}, /* the kubelet reads no tokens */
        {"{\"auth\": \"YTpiOmM=\"}", "a:b:c"},
        {"{\"auth\": \"YQA6Yg==\"}", "auths: \"a.io\": auth: illegal base64 data"}, /* a NUL in it */
        {"{\"auth\": \"Zm9vOmJhcg=\"}", "auths: \"a.io\": auth: illegal base64 data"},
        {"{\"auth\": \"Zm9v=Om==\"}", "auths: \"a.io\": auth: illegal base64 data"},
        {"{\"auth\": \"====\"}", "auths: \"a.io\": auth: illegal base64 data"},
        {"7", "auths: \"a.io\": not an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(keyring_done) Keyring k = {0};
        SCOPED(image_auths_done) ImageAuthList found = {0};
        SCOPED(mem_free) char *config = mem_fmt("{\"auths\":{\"a.io\":%s}}", rows[i].entry);
        SCOPED(err_free) Err *e = keyring_add_config(&k, DOCKER_CONFIG_JSON, config, strlen(config));
        keyring_lookup(&k, "a.io/x", &found);
        SCOPED(mem_free) char *got = e ? err_text(e) : text_of(&found);
        CHECK_STR(got, rows[i].want);
        CHECK(!e || k.entries.n == 0);
    }
}

static void test_configs(void)
{
    static const struct {
        DockerConfigForm form;
        const char *text, *want; /* "" = right */
        size_t n;
    } rows[] = {
        {DOCKER_CONFIG_JSON, "{}", "", 0},
        {DOCKER_CONFIG_JSON, "null", "", 0},
        {DOCKER_CONFIG_JSON, "{\"auths\":null,\"credsStore\":\"x\"}", "", 0},
        {DOCKER_CONFIG_JSON, "{\"auths\":{\"a\":{},\"b\":{}}}", "", 2},
        {DOCKER_DOCKERCFG, "{\"a\":{},\"b\":{}}", "", 2},
        {DOCKER_CONFIG_JSON, "{\"auths\":[]}", "auths: not an object", 0},
        {DOCKER_CONFIG_JSON, "[]", "not an object", 0},
        {DOCKER_DOCKERCFG, "{\"auths\":{\"a\":{}}}", "", 1}, /* a registry by the name of auths */
        {DOCKER_CONFIG_JSON, "", "JSON: line 1, column 0: unexpected token", 0},
        /* What stands there is not shown: it may be a password. */
        {DOCKER_CONFIG_JSON, "{\"auths\":{\"a\":{\"password\":hunter2}}}", "JSON: line 1, column 32: invalid token", 0},
        {DOCKER_CONFIG_JSON, "{\"auths\":{\"a\":{\"username\":\"x\"},\"b\":{\"auth\":\"!\"}}}", "auths: \"b\": auth: illegal base64 data", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(keyring_done) Keyring k = {0};
        SCOPED(err_free) Err *e = keyring_add_config(&k, rows[i].form, rows[i].text, strlen(rows[i].text));
        SCOPED(mem_free) char *got = e ? err_text(e) : mem_dup_str("");
        CHECK_STR(got, rows[i].want);
        CHECK_INT(k.entries.n, rows[i].n);
    }
}

/* --- a Pod's candidates ------------------------------------------------------------------------------------------------- */

#define SECRET(name, type, key, text)                                                                                  \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\"},\"type\":\"kubernetes.io/" type "\",\"data\":{\"" key "\":\"" text "\"}}"
/* {"auths": {"test.registry.io": {"auth": "dXNlcjpwYXNzd29yZA=="}}}, the same with username and password, and as .dockercfg */
#define AUTHS     "eyJhdXRocyI6IHsidGVzdC5yZWdpc3RyeS5pbyI6IHsiYXV0aCI6ICJkWE5sY2pwd1lYTnpkMjl5WkE9PSJ9fX0="
#define DOCKERCFG "eyJ0ZXN0LnJlZ2lzdHJ5LmlvIjogeyJhdXRoIjogImRYTmxjanB3WVhOemQyOXlaQT09In19"
#define FOOBAR    "eyJhdXRocyI6IHsiZm9vYmFyLmlvIjogeyJhdXRoIjogImRYTmxjanB3WVhOemQyOXlaQT09In19fQ=="
#define BROKEN    "eyJhdXRocyI6IHsiYS5pbyI6IHsiYXV0aCI6ICIhIn19fQ==" /* {"auths": {"a.io": {"auth": "!"}}} */
#define NODE_FILE "{\"auths\":{\"test.registry.io\":{\"username\":\"default-user\",\"password\":\"default-password\"}}}"

static void write_file(const char *dir, const char *name, const char *text)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
    SCOPED(mem_free) char *parent = mem_dup_strn(path, (size_t)(strrchr(path, '/') - path));
    CHECK_OK(fs_mkdirs(parent, 0700));
    CHECK_OK(fs_write_atomic(path, text, strlen(text), 0600, false));
}

/* "auths; missing: a,b; warnings: n", or the error with its reason. */
static char *find_text(const Fixture *f, const DockerConfigPlaces *places, const char *image)
{
    SCOPED(pull_auth_done) PullAuth p = {0};
    SCOPED(err_free) Err *e = pull_auth_find(f->pod, &f->objects, places, image, &p);
    if (e) {
        SCOPED(mem_free) char *why = err_text(e);
        return mem_fmt("%s: %s", e->reason, why);
    }
    SCOPED(mem_free) char *auths = text_of(&p.auths);
    Str s = {0};
    str_add(&s, auths);
    for (size_t i = 0; i < p.missing.n; i++)
        str_fmt(&s, "%s%s", i ? "," : "; missing: ", p.missing.v[i]);
    return str_take(&s);
}

static void test_secrets(void)
{
    static const struct { const char *refs, *secret, *node, *image, *want; } rows[] = {
        /* upstream: Test_MakeDockerKeyring */
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NULL, "test.registry.io/x", "user:password"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockercfg", ".dockercfg", DOCKERCFG), NULL, "test.registry.io/x", "user:password"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockercfg", ".dockerconfigjson", AUTHS), NULL, "test.registry.io/x", ""},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockercfg", DOCKERCFG), NULL, "test.registry.io/x", ""},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", FOOBAR), NODE_FILE, "test.registry.io/x",
         "default-user:default-password"},
        {"", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NODE_FILE, "test.registry.io/x",
         "default-user:default-password"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NODE_FILE, "test.registry.io/x",
         "user:password|default-user:default-password"},
        /* upstream: getPullSecretsForPod; what is missing is told, and an empty name is not */
        {"{\"name\":\"gone\"},{\"name\":\"\"},{},{\"name\":\"s1\"},{\"name\":\"too\"}",
         SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NULL, "test.registry.io/x", "user:password; missing: gone,too"},
        /* ours: another type says nothing; a broken one ends the pull; tag and digest do not matter */
        {"{\"name\":\"s1\"}", SECRET("s1", "tls", ".dockerconfigjson", AUTHS), NULL, "test.registry.io/x", ""},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", ""), NULL, "test.registry.io/x", ""},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", BROKEN), NULL, "test.registry.io/x",
         "ErrImagePull: image pull secret \"s1\": .dockerconfigjson: auths: \"a.io\": auth: illegal base64 data"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NULL, "test.registry.io/x:1", "user:password"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NULL,
         "test.registry.io/x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "user:password"},
        {"{\"name\":\"s1\"}", SECRET("s1", "dockerconfigjson", ".dockerconfigjson", AUTHS), NULL, "test.registry.io:5000/x", ""},
        {"", SECRET("s1", "tls", "x", ""), NULL, "A/B",
         "InvalidImageName: Failed to apply default image tag \"A/B\": couldn't parse image name \"A/B\": invalid reference format: "
         "repository name must be lowercase"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char dir[] = "/tmp/reprise-pull-auth.XXXXXX";
        CHECK(mkdtemp(dir) != NULL);
        if (rows[i].node)
            write_file(dir, "config.json", rows[i].node);
        Fixture f;
        SCOPED(mem_free) char *pod = mem_fmt("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"},\"spec\":{\"imagePullSecrets\":[%s],"
                                             "\"containers\":[{\"name\":\"c\"}]}}", rows[i].refs);
        fixture_init(&f, dir, pod);
        fixture_secret(&f, rows[i].secret);
        /* one of another namespace is not seen */
        fixture_secret(&f, "{\"metadata\":{\"name\":\"gone\",\"namespace\":\"elsewhere\"},\"type\":\"Opaque\"}");
        DockerConfigPlaces places = {.root = dir};
        SCOPED(mem_free) char *got = find_text(&f, &places, rows[i].image);
        CHECK_STR(got, rows[i].want);
        fixture_done(&f);
        CHECK_OK(fs_remove_tree(dir));
    }
}

static void test_node_files(void)
{
#define FILE_OF(user) "{\"auths\":{\"a.io\":{\"username\":\"" user "\"}}}"
#define CFG_OF(user)  "{\"a.io\":{\"username\":\"" user "\"}}"
    static const struct {
        const char *name, *text; /* added from row to row, NULL = taken away */
        const char *want, *warnings;
        bool docker_config;
    } rows[] = {
        {"none", "", "", "", false},
        {"home/.dockercfg", CFG_OF("old-home"), "old-home:", "", false},
        {"root/.dockercfg", CFG_OF("old-root"), "old-root:", "", false},
        {"home/.docker/config.json", FILE_OF("home"), "home:", "", false},
        {"docker/config.json", FILE_OF("docker"), "home:", "", false},
        {"docker/config.json", FILE_OF("docker"), "docker:", "", true},
        {"root/config.json", FILE_OF("root"), "root:", "", true},
        {"root/config.json", "{\"auths\":{\"a.io\":{\"auth\":\"hunter2!\"}}}", "docker:",
         "Ignoring a docker config file: DIR/root/config.json: auths: \"a.io\": auth: illegal base64 data", true},
        {"docker/config.json", "{\"auths\":", "old-root:",
         "Ignoring a docker config file: DIR/root/config.json: auths: \"a.io\": auth: illegal base64 data\n"
         "Ignoring a docker config file: DIR/docker/config.json: JSON: line 1, column 9: unexpected token", true},
        {"root/config.json", "{}", "", "", true}, /* the first that is right counts, whatever it says */
    };
    char dir[] = "/tmp/reprise-pull-auth.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    SCOPED(mem_free) char *root = mem_fmt("%s/root", dir), *home = mem_fmt("%s/home", dir), *docker = mem_fmt("%s/docker", dir);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_file(dir, rows[i].name, rows[i].text);
        DockerConfigPlaces places = {.root = root, .home = home, .docker_config = rows[i].docker_config ? docker : NULL};
        SCOPED(pull_auth_done) PullAuth p = {0};
        CHECK_OK(pull_auth_find(NULL, NULL, &places, "a.io/x", &p));
        SCOPED(mem_free) char *got = text_of(&p.auths);
        CHECK_STR(got, rows[i].want);
        Str warnings = {0};
        for (size_t k = 0; k < p.warnings.n; k++) {
            const char *at = strstr(p.warnings.v[k], dir);
            str_fmt(&warnings, "%s%.*sDIR%s", k ? "\n" : "", (int)(at ? at - p.warnings.v[k] : 0), p.warnings.v[k],
                    at ? at + strlen(dir) : "");
        }
        CHECK_STR(str_or(warnings.p, ""), rows[i].warnings);
        str_done(&warnings);
    }
    /* Nowhere to look. */
    SCOPED(pull_auth_done) PullAuth p = {0};
    CHECK_OK(pull_auth_find(NULL, NULL, &(DockerConfigPlaces){0}, "a.io/x", &p));
    CHECK_INT(p.warnings.n, 0);
    CHECK_OK(fs_remove_tree(dir));
}

static void test_errors_of_a_pull(void) /* utilerrors.NewAggregate */
{
    static const struct { const char *texts[3], *want; } rows[] = {
        {{NULL}, ""},
        {{"a"}, "a"},
        {{"a", "a"}, "a"},
        {{"a", "b"}, "[a, b]"},
        {{"a", "b", "a"}, "[a, b]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(strvec_done) StrVec texts = {0};
        for (size_t k = 0; k < 3 && rows[i].texts[k]; k++)
            strvec_add(&texts, rows[i].texts[k]);
        SCOPED(mem_free) char *got = image_pull_errors(&texts);
        CHECK_STR(got, rows[i].want);
    }
}

TESTS(T(test_url_match), T(test_one_key), T(test_order), T(test_entries), T(test_configs), T(test_secrets), T(test_node_files),
      T(test_errors_of_a_pull))
