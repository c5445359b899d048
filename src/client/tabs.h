/* tabs.h - cells that end with a tab, aligned as Go's text/tabwriter aligns them: what kubectl prints through. Pure. */
#ifndef REPRISE_CLIENT_TABS_H
#define REPRISE_CLIENT_TABS_H

#include "base/str.h"

/* A column is a run of lines that have a cell there which a tab ends; it is as wide as its widest cell and <padding> blanks, at least
 * <min_width>. Widths count characters, not bytes. */
typedef struct {
    size_t min_width, padding;
    bool remember;              /* a column never gets narrower than in an earlier call: what a watch prints */
    size_t n_widths, *widths;   /* {0, NULL} at first */
} Tabs;

#define TABS_TABLE {.min_width = 6, .padding = 3, .remember = true} /* cli-runtime's printers.GetNewTabWriter() */
#define TABS_DESCRIBE {.padding = 2}                                /* kubectl's describe.tabbedString() */

/* Appends <text> (whole lines) to <out>, aligned. */
void tabs_align(Tabs *t, const char *text, Str *out);
void tabs_done(Tabs *t);
static inline UNUSED void tabs_done_at(Tabs *t) { tabs_done(t); }

/* Appends <text> with what would steer a terminal made visible (printers.WriteEscaped): ESC is ^[, CR is \r. */
void tabs_escape(Str *out, const char *text);

#endif
