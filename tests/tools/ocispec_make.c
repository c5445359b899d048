/* ocispec_make - reads a document (specinput.h) on stdin, writes the config.json that oci_spec_make() makes of it.
 * Exit 0; 1 with "REASON: text" on stderr when it refuses. */
#include <stdio.h>

#include "specinput.h"

static int fail(Err *e)
{
    char *text = err_text(e);
    fprintf(stderr, "%s: %s\n", e->reason, text);
    free(text);
    err_free(e);
    return 1;
}

int main(void)
{
    SCOPED(str_done) Str text = {0};
    char buf[4096];
    for (size_t n; (n = fread(buf, 1, sizeof buf, stdin)) > 0;)
        str_add_n(&text, buf, n);
    SCOPED(json_unref) json_t *doc = NULL, *config = NULL;
    SpecInput s = {0};
    Err *e = json_parse(str_or(text.p, ""), text.n, &doc);
    if (!e)
        e = spec_input_load(doc, &s);
    if (!e)
        e = oci_spec_make(&s.in, &config);
    spec_input_done(&s);
    if (e)
        return fail(e);
    SCOPED(mem_free) char *out = json_text(config, true);
    puts(out);
    return 0;
}
