#include "client/table_text.h"

#include <ctype.h>

#include "client/fields.h"

char *labels_text(const json_t *labels)
{
    SCOPED(strvec_done) StrVec keys = keys_sorted(labels);
    Str s = {0};
    for (size_t i = 0; i < keys.n; i++)
        str_fmt(&s, "%s%s=%s", i ? "," : "", keys.v[i], str_or(json_str(labels, keys.v[i]), ""));
    if (!keys.n)
        str_add(&s, "<none>");
    return str_take(&s);
}

static void add_upper(Str *s, const char *text)
{
    for (; *text; text++)
        str_add_c(s, (char)toupper((unsigned char)*text));
}

static bool shown(const TablePrinter *p, const json_t *column)
{
    return p->wide || at_i64(column, "priority") == 0;
}

static void separate(Str *s, bool *first)
{
    if (!*first)
        str_add_c(s, '\t');
    *first = false;
}

static void print_header(const TablePrinter *p, const char *event, Str *s)
{
    bool first = true;
    if (event) {
        separate(s, &first);
        str_add(s, "EVENT");
    }
    if (p->with_namespace) {
        separate(s, &first);
        str_add(s, "NAMESPACE");
    }
    for (size_t i = 0; i < json_array_size(p->columns); i++) {
        const json_t *c = json_array_get(p->columns, i);
        if (!shown(p, c))
            continue;
        separate(s, &first);
        add_upper(s, at_str(c, "name"));
    }
    for (size_t i = 0; p->label_columns && i < p->label_columns->n; i++) {
        const char *slash = strrchr(p->label_columns->v[i], '/');
        separate(s, &first);
        add_upper(s, slash ? slash + 1 : p->label_columns->v[i]);
    }
    if (p->show_labels) {
        separate(s, &first);
        str_add(s, "LABELS");
    }
    str_add_c(s, '\n');
}

/* What would break the line ends the cell, and shows that it does. */
static void add_cell(Str *s, const char *text)
{
    size_t n = strcspn(text, "\f\n\r");
    SCOPED(mem_free) char *line = mem_dup_strn(text, n);
    for (char *c = line; *c; c++)
        if (*c == '\t') /* would be a cell's end */
            *c = ' ';
    tabs_escape(s, line);
    if (text[n])
        str_add(s, "...");
}

static const char *event_text(const char *event)
{
    return str_eq(event, "ADDED")     ? "ADDED   "
           : str_eq(event, "DELETED") ? "DELETED "
           : str_eq(event, "ERROR")   ? "ERROR   "
                                      : event;
}

static void print_row(const TablePrinter *p, const json_t *row, const char *event, Str *s)
{
    bool first = true, named = false;
    const json_t *cells = at(row, "cells"), *labels = at(row, "object.metadata.labels");
    if (event) {
        separate(s, &first);
        str_add(s, event_text(event));
    }
    if (p->with_namespace) {
        separate(s, &first);
        add_cell(s, at_str(row, "object.metadata.namespace"));
    }
    for (size_t i = 0; i < json_array_size(cells) && i < json_array_size(p->columns); i++) {
        const json_t *column = json_array_get(p->columns, i);
        bool is_name = !named && str_eq(at_str(column, "format"), "name") && str_eq(at_str(column, "type"), "string");
        if (is_name)
            named = true;
        if (!shown(p, column))
            continue;
        SCOPED(mem_free)
        char *text = json_is_null(json_array_get(cells, i)) ? mem_dup_str("") : value_text(json_array_get(cells, i));
        separate(s, &first);
        if (is_name && p->kind)
            str_fmt(s, "%s/", p->kind);
        add_cell(s, text);
    }
    for (size_t i = 0; p->label_columns && i < p->label_columns->n; i++) {
        separate(s, &first);
        add_cell(s, str_or(json_str(labels, p->label_columns->v[i]), ""));
    }
    if (p->show_labels) {
        SCOPED(mem_free) char *text = labels_text(labels);
        separate(s, &first);
        add_cell(s, text);
    }
    str_add_c(s, '\n');
}

void table_print(TablePrinter *p, const json_t *table, const char *event, Str *cells)
{
    const json_t *columns = at(table, "columnDefinitions"), *rows = at(table, "rows");
    if (json_array_size(columns) && !json_equal(columns, p->columns)) {
        json_decref(p->columns);
        p->columns = json_incref((json_t *)(uintptr_t)columns);
        p->printed_headers = false;
    }
    if (json_array_size(rows) && !p->no_headers && !p->printed_headers) {
        print_header(p, event, cells);
        p->printed_headers = true;
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(p, json_array_get(rows, i), event, cells);
}

void table_printer_done(TablePrinter *p)
{
    json_decref(p->columns);
    p->columns = NULL;
}
