/* fuzz_yaml.c - any bytes: read as YAML or refused; what was read is printed, and read again is the same. */
#include "wire/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void print_and_read(const json_t *doc)
{
    SCOPED(mem_free) char *text = yaml_text(doc);
    SCOPED(json_unref) json_t *again = NULL;
    Err *e = yaml_parse_all(text, strlen(text), &again);
    /* Printing may grow a text beyond what is read at all. */
    bool limit = e && e->kind == ERR_LIMIT;
    err_free(e);
    if (limit)
        return;
    require(e == NULL);
    require(json_array_size(again) == 1);
    SCOPED(mem_free) char *a = json_text(doc, false);
    SCOPED(mem_free) char *b = json_text(json_array_get(again, 0), false);
    require(strcmp(a, b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = yaml_parse_all((const char *)data, n, &docs);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        require(*text);
        err_free(e);
        return 0;
    }
    size_t i;
    json_t *doc;
    json_array_foreach(docs, i, doc)
        print_and_read(doc);
    return 0;
}
