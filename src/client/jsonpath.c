#include "client/jsonpath.h"

#include <ctype.h>

#include "client/fields.h"

#define DEPTH_MAX 32      /* of ranges and filters within each other */
#define FOUND_MAX 1000000 /* values of one expression */

typedef enum { STEP_FIELD, STEP_ALL, STEP_RECURSIVE, STEP_INDEX, STEP_FILTER, STEP_ROOT, STEP_LITERAL } StepKind;
typedef struct {
    bool has_from, has_to, has_step, is_name;
    int64_t from, to, step; /* [from] alone: is_single */
    bool is_single;
    char *name;
} Pick;
typedef struct Path Path;
typedef struct {
    StepKind kind;
    char *name;
    Pick *picks; /* STEP_INDEX: [0], [0:2], [0,1], ['a','b'] */
    size_t n_picks;
    Path *left, *right; /* STEP_FILTER */
    char op[3];
    json_t *literal;
} Step;
struct Path {
    Step *v;
    size_t n;
};
typedef enum { ITEM_TEXT, ITEM_PATH, ITEM_RANGE } ItemKind;
typedef struct Item Item;
typedef struct {
    Item *v;
    size_t n;
} Items;
struct Item {
    ItemKind kind;
    char *text;
    Path path;
    Items body;
};
struct JsonPath {
    Items items;
};
typedef struct {
    const char *start, *p;
    int depth;
} Parser;

/* --- parsing ------------------------------------------------------------------------------------------------------ */

static Err *wrong(const Parser *p, const char *what)
{
    return err_new(ERR_INVALID, 0, "jsonpath \"%s\": character %zu: %s", p->start, (size_t)(p->p - p->start) + 1, what);
}

static void blanks(Parser *p)
{
    while (isspace((unsigned char)*p->p))
        p->p++;
}

static Step *add_step(Path *path, StepKind kind)
{
    path->v = mem_grow(path->v, path->n + 1, sizeof *path->v);
    path->v[path->n] = (Step){.kind = kind};
    return &path->v[path->n++];
}

/* 'text' or "text" with Go's escapes; the quote is at p. */
static Err *quoted(Parser *p, char **ret)
{
    char end = *p->p++;
    SCOPED(str_done) Str s = {0};
    for (; *p->p && *p->p != end; p->p++) {
        if (*p->p == '\\' && p->p[1]) {
            p->p++;
            str_add_c(&s, *p->p == 'n' ? '\n' : *p->p == 't' ? '\t' : *p->p == 'r' ? '\r' : *p->p);
        } else {
            str_add_c(&s, *p->p);
        }
    }
    if (*p->p != end)
        return wrong(p, "unterminated quoted string");
    p->p++;
    *ret = str_take(&s);
    return NULL;
}

static Err *parse_path(Parser *p, Path *path);

static Err *number(Parser *p, bool *has, int64_t *ret)
{
    char *end;
    blanks(p);
    errno = 0;
    *ret = strtoll(p->p, &end, 10);
    *has = end != p->p &&
           (isdigit((unsigned char)*p->p) || ((*p->p == '-' || *p->p == '+') && isdigit((unsigned char)p->p[1])));
    if (*has && errno)
        return wrong(p, "the number is too large");
    if (*has)
        p->p = end;
    blanks(p);
    return NULL;
}

static Err *parse_pick(Parser *p, Pick *k)
{
    blanks(p);
    if (*p->p == '\'' || *p->p == '"') {
        k->is_name = true;
        return quoted(p, &k->name);
    }
    Err *e = number(p, &k->has_from, &k->from);
    k->is_single = true;
    if (!e && *p->p == ':') {
        k->is_single = false;
        p->p++;
        e = number(p, &k->has_to, &k->to);
        if (!e && *p->p == ':') {
            p->p++;
            e = number(p, &k->has_step, &k->step);
        }
    }
    if (!e && k->is_single && !k->has_from)
        e = wrong(p, "an index, a slice, a quoted name, * or ?() belongs into []");
    return e;
}

static Err *parse_picks(Parser *p, Path *path)
{
    Step *s = add_step(path, STEP_INDEX);
    for (;;) {
        s->picks = mem_grow(s->picks, s->n_picks + 1, sizeof *s->picks);
        s->picks[s->n_picks] = (Pick){0};
        Err *e = parse_pick(p, &s->picks[s->n_picks++]);
        if (e)
            return e;
        blanks(p);
        if (*p->p != ',')
            return NULL;
        p->p++;
    }
}

/* A side of a comparison: a path, or a literal. */
static Err *parse_side(Parser *p, Path **ret)
{
    *ret = NEW(Path);
    blanks(p);
    if (*p->p == '@' || *p->p == '.' || *p->p == '$' || *p->p == '[')
        return parse_path(p, *ret);
    Step *s = add_step(*ret, STEP_LITERAL);
    if (*p->p == '\'' || *p->p == '"') {
        SCOPED(mem_free) char *text = NULL;
        Err *e = quoted(p, &text);
        s->literal = e ? NULL : json_string(text);
        return e;
    }
    size_t n = strcspn(p->p, " )=!<>");
    SCOPED(mem_free) char *word = mem_dup_strn(p->p, n);
    s->literal = json_loads(word, JSON_DECODE_ANY, NULL);
    if (!s->literal)
        return wrong(p, "a path, a number, true, false or quoted text is expected");
    p->p += n;
    return NULL;
}

/* (@.a == "b"), behind the "?". */
static Err *parse_filter(Parser *p, Path *path)
{
    Step *s = add_step(path, STEP_FILTER);
    if (*p->p != '(')
        return wrong(p, "( is expected");
    p->p++;
    if (++p->depth > DEPTH_MAX)
        return wrong(p, "nested too deeply");
    Path *left = NULL, *right = NULL;
    Err *e = parse_side(p, &left);
    size_t at_step = path->n - 1;
    path->v[at_step].left = left;
    blanks(p);
    if (!e && strchr("=!<>", *p->p) && *p->p) {
        s->op[0] = *p->p++;
        if (*p->p == '=')
            s->op[1] = *p->p++;
        if (str_eq(s->op, "=") || str_eq(s->op, "!"))
            e = wrong(p, "the operators are == != < <= > >=");
        e = e ? e : parse_side(p, &right);
        path->v[at_step].right = right;
        blanks(p);
    }
    p->depth--;
    if (!e && *p->p != ')')
        e = wrong(p, ") is expected");
    if (!e)
        p->p++;
    return e;
}

static Err *parse_bracket(Parser *p, Path *path)
{
    p->p++;
    blanks(p);
    Err *e = NULL;
    if (*p->p == '*') {
        p->p++;
        (void)add_step(path, STEP_ALL);
    } else if (*p->p == '?') {
        p->p++;
        e = parse_filter(p, path);
    } else {
        e = parse_picks(p, path);
    }
    blanks(p);
    if (!e && *p->p != ']')
        e = wrong(p, "] is expected");
    if (!e)
        p->p++;
    return e;
}

/* A name up to what cannot be in one; "\." is a dot within it. */
static void parse_name(Parser *p, Path *path)
{
    SCOPED(str_done) Str s = {0};
    for (; *p->p && !strchr(" \t\n.[]{}()=!<>,@$|&\"'", *p->p); p->p++) {
        if (*p->p == '\\' && p->p[1])
            p->p++;
        str_add_c(&s, *p->p);
    }
    if (str_eq(s.p, "*"))
        (void)add_step(path, STEP_ALL);
    else if (s.n)
        add_step(path, STEP_FIELD)->name = str_take(&s);
}

static Err *parse_path(Parser *p, Path *path) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    if (*p->p == '$' || *p->p == '@') {
        if (*p->p++ == '$')
            (void)add_step(path, STEP_ROOT);
    } else if (isalpha((unsigned char)*p->p) || *p->p == '_') {
        parse_name(p, path);
    }
    for (;;) {
        if (*p->p == '[') {
            Err *e = parse_bracket(p, path);
            if (e)
                return e;
        } else if (*p->p == '.') {
            p->p++;
            if (*p->p == '.') {
                p->p++;
                (void)add_step(path, STEP_RECURSIVE);
            }
            parse_name(p, path);
        } else {
            return NULL;
        }
    }
}

static Item *add_item(Items *l, ItemKind kind)
{
    l->v = mem_grow(l->v, l->n + 1, sizeof *l->v);
    l->v[l->n] = (Item){.kind = kind};
    return &l->v[l->n++];
}

static bool word_is(const Parser *p, const char *word)
{
    size_t n = strlen(word);
    return strncmp(p->p, word, n) == 0 && (p->p[n] == ' ' || p->p[n] == '}');
}

static Err *parse_items(Parser *p, Items *l, bool in_range);

/* What is between { and }: one thing or several. *ended: it was {end}. */
static Err *parse_braces(Parser *p, Items *l, bool in_range, bool *ended) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    Err *e = NULL;
    p->p++;
    for (blanks(p); !e && *p->p != '}'; blanks(p)) {
        const char *before = p->p;
        if (!*p->p)
            return wrong(p, "unclosed action: } is expected");
        if (*p->p == '"' || *p->p == '\'') {
            e = quoted(p, &add_item(l, ITEM_TEXT)->text);
        } else if (word_is(p, "end")) {
            if (!in_range)
                return wrong(p, "{end} without {range}");
            p->p += 3;
            blanks(p);
            if (*p->p != '}')
                return wrong(p, "} is expected");
            *ended = true;
            break;
        } else if (word_is(p, "range")) {
            Items body = {0};
            Path path = {0};
            p->p += 5;
            blanks(p);
            e = parse_path(p, &path);
            blanks(p);
            if (!e && *p->p != '}')
                e = wrong(p, "} is expected");
            if (!e && ++p->depth > DEPTH_MAX)
                e = wrong(p, "nested too deeply");
            if (!e) {
                p->p++;
                e = parse_items(p, &body, true);
                p->depth--;
            }
            Item *i = add_item(l, ITEM_RANGE);
            i->path = path;
            i->body = body;
            return e;
        } else {
            Path path = {0};
            e = parse_path(p, &path);
            add_item(l, ITEM_PATH)->path = path;
            if (!e && p->p == before)
                e = wrong(p, "unrecognized character");
        }
    }
    if (!e)
        p->p++;
    return e;
}

static Err *parse_items(Parser *p, Items *l, bool in_range) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    bool ended = false;
    while (*p->p && !ended) {
        size_t n = strcspn(p->p, "{");
        if (n)
            add_item(l, ITEM_TEXT)->text = mem_dup_strn(p->p, n);
        p->p += n;
        Err *e = *p->p ? parse_braces(p, l, in_range, &ended) : NULL;
        if (e)
            return e;
    }
    return in_range && !ended ? wrong(p, "{range} without {end}") : NULL;
}

Err *jsonpath_parse(const char *text, JsonPath **ret)
{
    Parser p = {.start = text, .p = text};
    SCOPED(jsonpath_free) JsonPath *j = NEW(JsonPath);
    Err *e = parse_items(&p, &j->items, false);
    if (!e)
        *ret = MOVE(j, NULL);
    return e;
}

Err *jsonpath_parse_relaxed(const char *text, JsonPath **ret)
{
    size_t n = strlen(text);
    bool braces = n >= 2 && text[0] == '{' && text[n - 1] == '}';
    SCOPED(mem_free) char *inner = mem_dup_strn(braces ? text + 1 : text, braces ? n - 2 : n);
    if (!*inner || strpbrk(inner, "{}"))
        return err_new(ERR_INVALID, 0,
                       "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or "
                       "'{.name1.name2}'");
    SCOPED(mem_free) char *full = mem_fmt("{%s%s}", strchr(".[$@", *inner) ? "" : ".", inner);
    return jsonpath_parse(full, ret);
}

/* --- evaluation --------------------------------------------------------------------------------------------------- */

typedef struct {
    const json_t **v;
    size_t n;
} Found;

static Err *found_add(Found *f, const json_t *j)
{
    if (f->n >= FOUND_MAX)
        return err_new(ERR_LIMIT, 0, "jsonpath: it finds more than %d values", FOUND_MAX);
    if ((f->n & (f->n - 1)) == 0) /* doubles at each power of two */
        f->v = mem_grow(f->v, f->n ? 2 * f->n : 1, sizeof *f->v);
    f->v[f->n++] = j;
    return NULL;
}

static Err *add_children(Found *f, const json_t *j)
{
    Err *e = NULL;
    const char *key;
    json_t *v;
    for (size_t i = 0; !e && i < json_array_size(j); i++)
        e = found_add(f, json_array_get(j, i));
    json_object_foreach ((json_t *)(uintptr_t)j, key, v) {
        if (!e)
            e = found_add(f, v);
    }
    return e;
}

/* The value and all below it that have members, in document order. */
static Err *add_below(Found *f,
                      const json_t *j) // NOLINT(misc-no-recursion): no deeper than the value, which the parser bounds
{
    Found children = {0};
    Err *e = add_children(&children, j);
    if (!e && children.n)
        e = found_add(f, j);
    for (size_t i = 0; !e && i < children.n; i++)
        e = add_below(f, children.v[i]);
    free(children.v);
    return e;
}

static Err *pick_from(Found *out, const Pick *k, const json_t *j)
{
    if (k->is_name) {
        const json_t *v = json_object_get(j, k->name);
        return v ? found_add(out, v) : NULL;
    }
    if (!json_is_array(j))
        return err_new(ERR_INVALID, 0, "jsonpath: [%lld] of what is no list", (long long)k->from);
    int64_t n = (int64_t)json_array_size(j), from = k->has_from ? k->from : 0, to = k->has_to ? k->to : n,
            step = k->has_step ? k->step : 1;
    if (from < 0)
        from += n;
    if (k->is_single)
        return from >= 0 && from < n
                   ? found_add(out, json_array_get(j, (size_t)from))
                   : err_new(ERR_INVALID, 0, "jsonpath: array index out of bounds: index %lld, length %lld",
                             (long long)k->from, (long long)n);
    if (to < 0)
        to += n;
    if (step <= 0)
        return err_new(ERR_INVALID, 0, "jsonpath: step must be > 0");
    Err *e = NULL;
    for (int64_t i = from < 0 ? 0 : from; !e && i < to && i < n; i += step)
        e = found_add(out, json_array_get(j, (size_t)i));
    return e;
}

static Err *eval(const Path *path, const json_t *root, const json_t *value, Found *out);

/* -1, 0, 1; 2: these cannot be compared. */
static int compare(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return x < y ? -1 : x > y;
    }
    if (json_typeof(a) != json_typeof(b)) {
        if ((json_is_boolean(a) && json_is_boolean(b)))
            return json_is_true(a) ? 1 : -1;
        return 2;
    }
    if (json_is_string(a)) {
        int c = strcmp(json_string_value(a), json_string_value(b));
        return c < 0 ? -1 : c > 0;
    }
    return json_equal(a, b) ? 0 : 2;
}

static bool holds(const char *op, int c)
{
    if (op[0] == '=')
        return c == 0;
    if (op[0] == '!')
        return c != 0;
    if (c == 2)
        return false;
    return op[0] == '<' ? c < 0 || (op[1] && c == 0) : c > 0 || (op[1] && c == 0);
}

static Err *filter(const Step *s, const json_t *root, const json_t *list,
                   Found *out) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    Err *e = NULL;
    for (size_t i = 0; !e && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        Found left = {0}, right = {0};
        e = eval(s->left, root, one, &left);
        if (!e && s->right)
            e = eval(s->right, root, one, &right);
        bool yes = s->right ? left.n == 1 && right.n == 1 && holds(s->op, compare(left.v[0], right.v[0])) : left.n > 0;
        if (!e && yes)
            e = found_add(out, one);
        free(left.v);
        free(right.v);
    }
    return e;
}

/* <pick>: of STEP_INDEX, one of the union. */
static Err *step_one(const Step *s, const Pick *pick, const json_t *root, const json_t *j,
                     Found *out) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    const json_t *v;
    switch (s->kind) {
    case STEP_FIELD:
        v = json_object_get(j, s->name);
        return v ? found_add(out, v) : NULL;
    case STEP_ALL:
        return add_children(out, j);
    case STEP_RECURSIVE:
        return add_below(out, j);
    case STEP_INDEX:
        return pick_from(out, pick, j);
    case STEP_FILTER:
        return filter(s, root, j, out);
    case STEP_ROOT:
        return found_add(out, root);
    case STEP_LITERAL:
        return found_add(out, s->literal);
    }
    return NULL;
}

static Err *eval(const Path *path, const json_t *root, const json_t *value,
                 Found *out) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    Found now = {0};
    Err *e = found_add(&now, value);
    for (size_t i = 0; !e && i < path->n; i++) {
        const Step *s = &path->v[i];
        Found next = {0};
        /* ['a','b']: all a, then all b */
        for (size_t u = 0; u < (s->kind == STEP_INDEX ? s->n_picks : 1); u++)
            for (size_t k = 0; !e && k < now.n; k++)
                e = step_one(s, s->picks ? &s->picks[u] : NULL, root, now.v[k], &next);
        free(now.v);
        now = next;
    }
    *out = now;
    return e;
}

static Err *print_items(const Items *l, const json_t *root, const json_t *value,
                        Str *out) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    Err *e = NULL;
    for (const Item *i = l->v; !e && i < l->v + l->n; i++) {
        Found found = {0};
        if (i->kind == ITEM_TEXT) {
            str_add(out, i->text);
            continue;
        }
        e = eval(&i->path, root, value, &found);
        for (size_t k = 0; !e && k < found.n; k++) {
            if (i->kind == ITEM_RANGE) {
                e = print_items(&i->body, root, found.v[k], out);
                continue;
            }
            SCOPED(mem_free) char *text = value_text(found.v[k]);
            str_fmt(out, "%s%s", k ? " " : "", text);
        }
        free(found.v);
    }
    return e;
}

Err *jsonpath_print(const JsonPath *p, const json_t *value, Str *out)
{
    return print_items(&p->items, value, value, out);
}

Err *jsonpath_find(const JsonPath *p, const json_t *value, json_t **ret)
{
    Found found = {0};
    Err *e = NULL;
    const Item *i = p->items.v;
    while (i && i < p->items.v + p->items.n && i->kind != ITEM_PATH)
        i++;
    if (i && i < p->items.v + p->items.n)
        e = eval(&i->path, value, value, &found);
    *ret = e ? NULL : json_array();
    for (size_t k = 0; !e && k < found.n; k++)
        json_array_append(*ret, (json_t *)(uintptr_t)found.v[k]);
    free(found.v);
    return e;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void path_done(Path *p) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    for (Step *s = p->v; s < p->v + p->n; s++) {
        for (size_t i = 0; i < s->n_picks; i++)
            free(s->picks[i].name);
        free(s->picks);
        free(s->name);
        json_decref(s->literal);
        for (int i = 0; i < 2; i++) {
            Path *side = i ? s->right : s->left;
            if (side)
                path_done(side);
            free(side);
        }
    }
    free(p->v);
}

static void items_done(Items *l) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    for (Item *i = l->v; i < l->v + l->n; i++) {
        free(i->text);
        path_done(&i->path);
        items_done(&i->body);
    }
    free(l->v);
}

void jsonpath_free(JsonPath *p)
{
    if (!p)
        return;
    items_done(&p->items);
    free(p);
}
