/* tabs.c - text/tabwriter's algorithm: a block of lines that share a column is found, its width set, and the columns to
 * the right of it are done within the block. */
#include "client/tabs.h"

typedef struct {
    const char *p;
    size_t n, width; /* bytes; characters */
} Cell;
typedef struct {
    size_t first, n; /* in cells */
} Line;
typedef struct {
    Tabs *tabs;
    Cell *cells;
    size_t n_cells;
    Line *lines;
    size_t n_lines;
    size_t *widths, n_widths; /* of the columns to the left of where we are */
    Str *out;
} Work;

static size_t characters(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)p[i] & 0xc0) != 0x80;
    return count;
}

static void add_cell(Work *w, const char *p, size_t n)
{
    w->cells = mem_grow(w->cells, w->n_cells + 1, sizeof *w->cells);
    w->cells[w->n_cells++] = (Cell){p, n, characters(p, n)};
    w->lines[w->n_lines - 1].n++;
}

static void add_line(Work *w)
{
    w->lines = mem_grow(w->lines, w->n_lines + 1, sizeof *w->lines);
    w->lines[w->n_lines++] = (Line){.first = w->n_cells};
}

static void split(Work *w, const char *text)
{
    while (*text) {
        add_line(w);
        for (;;) {
            size_t n = strcspn(text, "\t\n");
            add_cell(w, text, n);
            text += n;
            if (*text != '\t')
                break;
            text++;
        }
        text += *text == '\n';
    }
}

static void pad(Str *out, size_t n)
{
    while (n--)
        str_add_c(out, ' ');
}

static void write_lines(Work *w, size_t from, size_t to)
{
    for (const Line *l = w->lines + from; l < w->lines + to; l++) {
        for (size_t i = 0; i < l->n; i++) {
            const Cell *c = &w->cells[l->first + i];
            str_add_n(w->out, c->p, c->n);
            if (i < w->n_widths)
                pad(w->out, w->widths[i] - c->width);
        }
        str_add_c(w->out, '\n');
    }
}

/* A width of before is kept; a column that is new is remembered. */
static size_t remembered(Tabs *t, size_t column, size_t width)
{
    if (!t->remember)
        return width;
    if (column >= t->n_widths) {
        t->widths = mem_grow(t->widths, column + 1, sizeof *t->widths);
        while (t->n_widths <= column)
            t->widths[t->n_widths++] = 0;
    }
    if (t->widths[column] < width)
        t->widths[column] = width;
    return t->widths[column];
}

/* Only a cell that a tab ends is of a column: the last one of a line is not. The depth is that of the widest line. */
static void format(Work *w, size_t from, size_t to) // NOLINT(misc-no-recursion): a level a column
{
    size_t column = w->n_widths, pos = from;
    for (size_t i = from; i < to; i++) {
        if (column + 1 >= w->lines[i].n)
            continue;
        write_lines(w, pos, i);
        pos = i;
        size_t width = w->tabs->min_width;
        for (; i < to && column + 1 < w->lines[i].n; i++) {
            size_t need = w->cells[w->lines[i].first + column].width + w->tabs->padding;
            if (need > width)
                width = need;
        }
        w->widths = mem_grow(w->widths, column + 1, sizeof *w->widths);
        w->widths[w->n_widths++] = remembered(w->tabs, column, width);
        format(w, pos, i);
        w->n_widths--;
        pos = i;
    }
    write_lines(w, pos, to);
}

void tabs_align(Tabs *t, const char *text, Str *out)
{
    Work w = {.tabs = t, .out = out};
    split(&w, text);
    format(&w, 0, w.n_lines);
    free(w.cells);
    free(w.lines);
    free(w.widths);
}

void tabs_done(Tabs *t)
{
    free(t->widths);
    t->widths = NULL;
    t->n_widths = 0;
}

void tabs_escape(Str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\x1b')
            str_add(out, "^[");
        else if (*text == '\r')
            str_add(out, "\\r");
        else
            str_add_c(out, *text);
    }
}
