/* fuzz_client.c - the client's pure half: the first byte says what the rest is. A JSONPath over a fixed object; the
 * words after `get`; an object to describe, which a server may have sent; a Table. Whatever comes, there is text or an
 * error with words. */
#include "client/api.h"
#include "client/condition.h"
#include "client/describe.h"
#include "client/output.h"
#include "client/table_text.h"
#include "client/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char document[] =
    "{\"a\":{\"b\":[{\"n\":\"x\",\"v\":1},{\"n\":\"y\",\"v\":2.5},[1,2,[3]],null,true]},\"items\":[{\"n\":\"z\"}]}";

static void said(Err *e)
{
    if (!e)
        return;
    SCOPED(mem_free) char *text = api_error_text(e);
    if (!*text)
        abort();
    err_free(e);
}

static void path(const char *text, const json_t *o)
{
    SCOPED(jsonpath_free) JsonPath *p = NULL;
    SCOPED(str_done) Str out = {0};
    Err *e = jsonpath_parse(text, &p);
    said(e ? e : jsonpath_print(p, o, &out));
    WaitFor f;
    bool met;
    e = wait_parse(text, &f);
    said(e ? e : wait_met(&f, o, &met));
    wait_done(&f);
}

static void words(const char *text)
{
    SCOPED(targets_done) Targets t = {0};
    SCOPED(output_done) Output o = {0};
    said(targets_parse(&text, 1, false, &t));
    said(output_parse(text, &o));
}

static void describe_all(const json_t *o)
{
    SCOPED(json_unref) json_t *list = json_pack("[O]", o);
    DescribeWith with = {.events = list, .pods = list};
    for (size_t i = 0; i < KUBE_KIND_N; i++) {
        SCOPED(mem_free) char *text = describe(&kube_kinds[i], o, &with);
        if (!text)
            abort();
    }
    said(api_status_error(o, 500));
}

static void print_table(const json_t *o)
{
    SCOPED(table_printer_done)
    TablePrinter p = {.wide = true, .show_labels = true, .with_namespace = true, .kind = "pod"};
    SCOPED(tabs_done) Tabs t = TABS_TABLE;
    SCOPED(str_done) Str cells = {0}, out = {0};
    table_print(&p, o, "ADDED", &cells);
    table_print(&p, o, NULL, &cells);
    tabs_align(&t, str_or(cells.p, ""), &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > 20000)
        return 0;
    SCOPED(mem_free) char *text = mem_dup_strn((const char *)data + 1, n - 1);
    SCOPED(json_unref) json_t *fixed = json_loads(document, 0, NULL);
    SCOPED(json_unref) json_t *object = NULL;
    Err *e = data[0] >= '2' ? json_parse(text, strlen(text), &object) : NULL;
    if (e)
        err_free(e);
    else if (data[0] == '0')
        path(text, fixed);
    else if (data[0] == '1')
        words(text);
    else if (data[0] == '2')
        describe_all(object);
    else
        print_table(object);
    return 0;
}
