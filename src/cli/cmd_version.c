/* cmd_version.c - `reprise version`: of the program and of the libraries that it runs with. */
#include <archive.h> /* reprise-import is what runs with it */
#include <curl/curl.h>
#include <nghttp2/nghttp2.h>
#include <uv.h>
#include <yaml.h>

#include "cli/cli.h"
#include "wire/json.h"

int cmd_version(int argc, char **argv);

int cmd_version(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("version", argc, argv, &a);
    if (code >= 0)
        return code;

    const struct {
        const char *name, *version;
    } libraries[] = {
        {"libuv", uv_version_string()},
        {"jansson", jansson_version_str()},
        {"libyaml", yaml_get_version_string()},
        {"libarchive", ARCHIVE_VERSION_ONLY_STRING},
        {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
        {"nghttp2", nghttp2_version(0)->version_str},
    };
    if (!cli_opt(&a, "output")) {
        printf("reprise %s\n", REPRISE_VERSION);
        for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
            printf("  %-10s %s\n", libraries[i].name, libraries[i].version);
        return EXIT_OK;
    }
    SCOPED(json_unref) json_t *o = json_pack("{s:s, s:{}}", "version", REPRISE_VERSION, "libraries");
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
        json_object_set_new(json_object_get(o, "libraries"), libraries[i].name, json_string(libraries[i].version));
    char *text = json_text(o, false);
    puts(text);
    free(text);
    return EXIT_OK;
}
