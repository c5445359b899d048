/* table_text.h - a meta.k8s.io Table as the lines that kubectl prints (cli-runtime's HumanReadablePrinter). Pure. */
#ifndef REPRISE_CLIENT_TABLE_TEXT_H
#define REPRISE_CLIENT_TABLE_TEXT_H

#include "client/tabs.h"
#include "wire/json.h"

typedef struct {
    bool no_headers, wide, show_labels, with_namespace;
    const char *kind;           /* in front of names: "pod"; NULL = none. Borrowed */
    const StrVec *label_columns; /* NULL = none. Borrowed */
    /* What a watch carries on with. */
    json_t *columns;
    bool printed_headers;
} TablePrinter;
void table_printer_done(TablePrinter *p);
static inline UNUSED void table_printer_done_at(TablePrinter *p) { table_printer_done(p); }

/* Appends the table's rows to <cells>, cells ended by tabs (tabs_align() is for the caller: tables of one kind are one block). A table
 * without columns has those of the one before, as the later events of a watch. <event>: "ADDED", ... as the first column; NULL = none. */
void table_print(TablePrinter *p, const json_t *table, const char *event, Str *cells);

/* "a=b,c=d", or "<none>": labels.FormatLabels(). Caller frees. */
MUST_USE char *labels_text(const json_t *labels);

#endif
