/* diff.c - unified diff of lines by the longest common subsequence of what lies between the first and the last difference. */
#include "kube/diff.h"

#define CONTEXT 3
#define TABLE_MAX ((size_t)1 << 20)

typedef struct { char kind; const char *line; } Edit; /* ' ', '-', '+' */
typedef struct { size_t n, cap; Edit *v; } Script;

static void add(Script *s, char kind, const char *line)
{
    if (s->n == s->cap)
        s->v = mem_grow(s->v, s->cap = s->cap ? s->cap * 2 : 64, sizeof *s->v);
    s->v[s->n++] = (Edit){kind, line};
}

static void lines_of(const json_t *j, StrVec *out)
{
    SCOPED(mem_free) char *text = json_dumps(j, JSON_INDENT(1) | JSON_ENCODE_ANY);
    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, "\n");
        strvec_add_take(out, mem_dup_strn(p, n));
        p += n + (p[n] == '\n');
    }
}

/* What lies between equal ends. Deletions come before additions, as difflib writes a replacement. */
static void middle(Script *s, char *const *a, size_t na, char *const *b, size_t nb)
{
    size_t i = 0, k = 0, w = nb + 1;
    if (na && nb && na < TABLE_MAX / w) {
        SCOPED(mem_free) uint32_t *len = mem_alloc_n((na + 1) * w, sizeof *len);
        for (size_t x = na; x-- > 0;)
            for (size_t y = nb; y-- > 0;)
                len[x * w + y] = strcmp(a[x], b[y]) == 0                      ? len[(x + 1) * w + y + 1] + 1
                                 : len[(x + 1) * w + y] >= len[x * w + y + 1] ? len[(x + 1) * w + y]
                                                                              : len[x * w + y + 1];
        while (i < na && k < nb)
            if (strcmp(a[i], b[k]) == 0) {
                add(s, ' ', a[i++]);
                k++;
            } else if (len[(i + 1) * w + k] >= len[i * w + k + 1]) {
                add(s, '-', a[i++]);
            } else {
                add(s, '+', b[k++]);
            }
    }
    while (i < na)
        add(s, '-', a[i++]);
    while (k < nb)
        add(s, '+', b[k++]);
}

static void range(Str *out, char sign, size_t first, size_t n)
{
    if (n == 1)
        str_fmt(out, "%c%zu", sign, first + 1);
    else
        str_fmt(out, "%c%zu,%zu", sign, first + (n != 0), n);
}

/* Edits from..to, which begin at line la of a and lb of b. */
static void hunk(Str *out, const Script *s, size_t from, size_t to, size_t la, size_t lb)
{
    size_t na = 0, nb = 0;
    for (size_t i = from; i < to; i++) {
        na += s->v[i].kind != '+';
        nb += s->v[i].kind != '-';
    }
    str_add(out, "@@ ");
    range(out, '-', la, na);
    str_add_c(out, ' ');
    range(out, '+', lb, nb);
    str_add(out, " @@\n");
    for (size_t i = from; i < to; i++)
        str_fmt(out, "%c%s\n", s->v[i].kind, s->v[i].line);
}

static void hunks(Str *out, const Script *s)
{
    size_t la = 0, lb = 0, done = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].kind == ' ')
            continue;
        size_t from = i > done + CONTEXT ? i - CONTEXT : done, last = i;
        for (size_t k = i; k < s->n && k <= last + 2 * CONTEXT; k++)
            last = s->v[k].kind != ' ' ? k : last;
        size_t to = last + 1 + CONTEXT < s->n ? last + 1 + CONTEXT : s->n;
        for (; done < from; done++) {
            la += s->v[done].kind != '+';
            lb += s->v[done].kind != '-';
        }
        hunk(out, s, from, to, la, lb);
        for (; done < to; done++) {
            la += s->v[done].kind != '+';
            lb += s->v[done].kind != '-';
        }
        i = to - 1;
    }
}

char *json_diff(const json_t *x, const json_t *y)
{
    SCOPED(strvec_done) StrVec a = {0}, b = {0};
    Script s = {0};
    Str out = {0};
    size_t head = 0, tail = 0;
    lines_of(x, &a);
    lines_of(y, &b);
    while (head < a.n && head < b.n && strcmp(a.v[head], b.v[head]) == 0)
        add(&s, ' ', a.v[head++]);
    while (tail < a.n - head && tail < b.n - head && strcmp(a.v[a.n - 1 - tail], b.v[b.n - 1 - tail]) == 0)
        tail++;
    middle(&s, a.v + head, a.n - head - tail, b.v + head, b.n - head - tail);
    for (size_t i = a.n - tail; i < a.n; i++)
        add(&s, ' ', a.v[i]);
    hunks(&out, &s);
    free(s.v);
    return str_take(&out);
}
