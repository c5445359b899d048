/* label.c - label selectors: a lexer and a parser of one token look-ahead, after pkg/labels/selector.go. */
#include "api/names.h"
#include "kube/selector.h"

typedef enum { T_ERROR, T_END, T_CLOSE, T_COMMA, T_NOT, T_EQ2, T_EQ, T_GT, T_ID, T_IN, T_LT, T_NE, T_NOTIN, T_OPEN } Token;
typedef struct {
    const char *p; /* behind the token */
    Token tok;
    char *lit; /* owned: what an error shows */
} Lexer;

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c && strchr("=!(),><", c);
}

static Token special_token(const char *s, size_t n)
{
    static const struct { const char *text; Token tok; } table[] = {
        {")", T_CLOSE}, {",", T_COMMA}, {"!", T_NOT}, {"==", T_EQ2}, {"=", T_EQ}, {">", T_GT}, {"<", T_LT}, {"!=", T_NE}, {"(", T_OPEN},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strlen(table[i].text) == n && memcmp(table[i].text, s, n) == 0)
            return table[i].tok;
    return T_ERROR;
}

/* Reads the next token. Every single special character is one, so the longest of one or two is taken. */
static void next(Lexer *l)
{
    mem_set_str(&l->lit, NULL);
    while (is_space(*l->p))
        l->p++;
    const char *from = l->p;
    if (!*from) {
        l->tok = T_END;
        l->lit = mem_dup_str("");
        return;
    }
    if (is_special(*from)) {
        size_t n = is_special(from[1]) && special_token(from, 2) != T_ERROR ? 2 : 1;
        l->tok = special_token(from, n);
        l->p = from + n;
    } else {
        while (*l->p && !is_special(*l->p) && !is_space(*l->p))
            l->p++;
        l->tok = T_ID;
    }
    l->lit = mem_dup_strn(from, (size_t)(l->p - from));
    if (l->tok == T_ID)
        l->tok = str_eq(l->lit, "in") ? T_IN : str_eq(l->lit, "notin") ? T_NOTIN : T_ID;
}

/* Where a value or a key may stand, "in" and "notin" are ordinary words. */
static bool is_word(const Lexer *l)
{
    return l->tok == T_ID || l->tok == T_IN || l->tok == T_NOTIN;
}

static Err *bad(const char *fmt, ...) PRINTF_LIKE(1, 2);
static Err *bad(const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return err_reason(err_new(ERR_INVALID, 0, "%s", s.p), "BadRequest");
}

static Err *bad_req(const char *fmt, ...) PRINTF_LIKE(1, 2);
static Err *bad_req(const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return bad("unable to parse requirement: %s", s.p);
}

/* What the validators said of <value>, as one field.Invalid: "<at>: Invalid value: "v": one; two". false if they said nothing. */
static bool joined(Str *out, const Report *r, const char *at, const char *value)
{
    SCOPED(str_done) Str prefix = {0};
    str_add(&prefix, "Invalid value: ");
    str_add_quoted(&prefix, value);
    str_add(&prefix, ": ");
    if (report_ok(r))
        return false;
    str_fmt(out, "%s: %s", at, prefix.p);
    for (size_t i = 0; i < r->errors.n; i++)
        str_fmt(out, "%s%s", i ? "; " : "", r->errors.v[i].message + prefix.n);
    return true;
}

static Err *check_key(const char *key)
{
    SCOPED(report_done) Report r = {0};
    SCOPED(str_done) Str text = {0};
    v_qualified_name(&r, NULL, key, key);
    /* The path of a selector in a query is nil, which Go prints. */
    return joined(&text, &r, "<nil>", key) ? bad_req("%s", text.p) : NULL;
}

static bool to_i64(const char *s, int64_t *ret)
{
    return str_to_i64(*s == '+' && s[1] != '-' && s[1] != '+' ? s + 1 : s, ret); /* strconv.ParseInt takes a sign */
}

/* All that NewRequirement() finds wrong with the values, as field.ErrorList.ToAggregate() prints it: each text once. */
static Err *check_values(const Requirement *q)
{
    SCOPED(strvec_done) StrVec found = {0};
    int64_t ignored;
    for (size_t i = 0; i < q->values.n; i++)
        if ((q->op == SEL_GT || q->op == SEL_LT) && !to_i64(q->values.v[i], &ignored)) {
            SCOPED(str_done) Str s = {0};
            str_fmt(&s, "values[%zu]: Invalid value: ", i);
            str_add_quoted(&s, q->values.v[i]);
            strvec_fmt(&found, "%s: for 'Gt', 'Lt' operators, the value must be an integer", s.p);
        }
    for (size_t i = 0; i < q->values.n; i++) {
        SCOPED(report_done) Report r = {0};
        SCOPED(str_done) Str text = {0};
        SCOPED(mem_free) char *at = mem_fmt("values[%zu][%s]", i, q->key);
        v_label_value(&r, NULL, q->values.v[i]);
        if (joined(&text, &r, at, q->values.v[i]))
            strvec_add(&found, text.p);
    }
    if (!found.n)
        return NULL;
    SCOPED(str_done) Str all = {0};
    for (size_t i = 0; i < found.n; i++)
        str_fmt(&all, "%s%s", i ? ", " : "", found.v[i]);
    return found.n == 1 ? bad_req("%s", all.p) : bad_req("[%s]", all.p);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static void sort_unique(StrVec *l)
{
    size_t n = 0;
    if (l->n)
        qsort(l->v, l->n, sizeof *l->v, by_text);
    for (size_t i = 0; i < l->n; i++)
        if (n && strcmp(l->v[n - 1], l->v[i]) == 0)
            free(l->v[i]);
        else
            l->v[n++] = l->v[i];
    l->n = n;
    if (l->v)
        l->v[n] = NULL;
}

/* Behind "(": words, commas, and nothing at all between them, which is "". Up to the ")". */
static Err *parse_list(Lexer *l, StrVec *values)
{
    SCOPED(mem_free) char *first = mem_dup_str(l->lit);
    if (l->tok == T_CLOSE) {
        next(l);
        strvec_add(values, "");
        return NULL;
    }
    if (!is_word(l) && l->tok != T_COMMA)
        return bad_req("found '%s', expected: ',', ')' or identifier", l->lit);
    for (;;) {
        if (is_word(l)) {
            strvec_add(values, l->lit);
            next(l);
            if (l->tok == T_CLOSE)
                break;
            if (l->tok != T_COMMA)
                return bad_req("found '%s', expected: ',' or ')'", l->lit);
        } else if (l->tok == T_COMMA) {
            if (!values->n)
                strvec_add(values, "");
            next(l);
            if (l->tok == T_CLOSE || l->tok == T_COMMA)
                strvec_add(values, "");
            if (l->tok == T_CLOSE)
                break;
        } else {
            return bad_req("found '%s', expected: ',', or identifier", l->lit);
        }
    }
    next(l);
    sort_unique(values);
    return NULL;
}

static bool binary_op(Token t, SelectorOp *ret)
{
    static const SelectorOp op[] = {[T_IN] = SEL_IN, [T_EQ] = SEL_EQ, [T_EQ2] = SEL_EQ2, [T_GT] = SEL_GT,
                                    [T_LT] = SEL_LT, [T_NOTIN] = SEL_NOT_IN, [T_NE] = SEL_NE};
    if (t != T_IN && t != T_EQ && t != T_EQ2 && t != T_GT && t != T_LT && t != T_NOTIN && t != T_NE)
        return false;
    *ret = op[t];
    return true;
}

static Err *parse_requirement(Lexer *l, Requirement *q)
{
    bool not = l->tok == T_NOT;
    if (not)
        next(l);
    if (!is_word(l))
        return bad_req("found '%s', expected: identifier", l->lit);
    Err *e = check_key(l->lit);
    if (e)
        return e;
    mem_set_str(&q->key, l->lit);
    next(l);
    if (not || l->tok == T_END || l->tok == T_COMMA) {
        q->op = not ? SEL_NOT_EXISTS : SEL_EXISTS;
        return NULL;
    }
    if (!binary_op(l->tok, &q->op))
        return bad_req("found '%s', expected: in, notin, =, ==, !=, gt, lt", l->lit);
    next(l);
    if (q->op == SEL_IN || q->op == SEL_NOT_IN) {
        if (l->tok != T_OPEN)
            return bad_req("found '%s' expected: '('", l->lit);
        next(l);
        if ((e = parse_list(l, &q->values)))
            return e;
    } else if (l->tok == T_END || l->tok == T_COMMA) {
        strvec_add(&q->values, "");
    } else if (is_word(l)) {
        strvec_add(&q->values, l->lit);
        next(l);
    } else {
        return bad_req("found '%s', expected: identifier", l->lit);
    }
    return check_values(q);
}

static Err *parse_all(Lexer *l, LabelSelector *s, size_t *cap)
{
    next(l);
    for (;;) {
        if (l->tok == T_END)
            return NULL;
        if (!is_word(l) && l->tok != T_NOT)
            return bad("found '%s', expected: !, identifier, or 'end of string'", l->lit);
        if (s->n == *cap)
            s->v = mem_grow(s->v, *cap = *cap ? *cap * 2 : 4, sizeof *s->v);
        Requirement *q = &s->v[s->n++];
        *q = (Requirement){0};
        Err *e = parse_requirement(l, q);
        if (e)
            return e;
        if (l->tok == T_END)
            return NULL;
        if (l->tok != T_COMMA)
            return bad("found '%s', expected: ',' or 'end of string'", l->lit);
        next(l);
        if (!is_word(l) && l->tok != T_NOT)
            return bad("found '%s', expected: identifier after ','", l->lit);
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const Requirement *)a)->key, ((const Requirement *)b)->key);
}

Err *label_selector_parse(const char *text, LabelSelector *ret)
{
    Lexer l = {.p = str_or(text, "")};
    size_t cap = 0;
    *ret = (LabelSelector){0};
    Err *e = parse_all(&l, ret, &cap);
    free(l.lit);
    if (e)
        label_selector_done(ret);
    else if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_key);
    return e;
}

static bool has_value(const StrVec *values, const char *v)
{
    return bsearch(&v, values->v, values->n, sizeof *values->v, by_text) != NULL;
}

static bool compares(const Requirement *q, const char *v)
{
    int64_t have, want;
    if (!to_i64(v, &have) || !to_i64(q->values.v[0], &want))
        return false;
    return q->op == SEL_GT ? have > want : have < want;
}

static bool requirement_matches(const Requirement *q, const char *v)
{
    switch (q->op) {
    case SEL_IN:
    case SEL_EQ:
    case SEL_EQ2:
        return v && has_value(&q->values, v);
    case SEL_NOT_IN:
    case SEL_NE:
        return !v || !has_value(&q->values, v);
    case SEL_EXISTS:
        return v != NULL;
    case SEL_NOT_EXISTS:
        return v == NULL;
    case SEL_GT:
    case SEL_LT:
        return v && compares(q, v);
    }
    return false;
}

bool label_selector_matches(const LabelSelector *s, const json_t *labels)
{
    for (size_t i = 0; i < s->n; i++)
        if (!requirement_matches(&s->v[i], json_str(labels, s->v[i].key)))
            return false;
    return true;
}

char *label_selector_text(const LabelSelector *s)
{
    static const char *const op[] = {[SEL_IN] = " in ", [SEL_NOT_IN] = " notin ", [SEL_EQ] = "=", [SEL_EQ2] = "==", [SEL_NE] = "!=",
                                     [SEL_EXISTS] = "", [SEL_NOT_EXISTS] = "", [SEL_GT] = ">", [SEL_LT] = "<"};
    Str out = {0};
    for (size_t i = 0; i < s->n; i++) {
        const Requirement *q = &s->v[i];
        bool set = q->op == SEL_IN || q->op == SEL_NOT_IN;
        str_fmt(&out, "%s%s%s%s%s", i ? "," : "", q->op == SEL_NOT_EXISTS ? "!" : "", q->key, op[q->op], set ? "(" : "");
        for (size_t k = 0; k < q->values.n; k++)
            str_fmt(&out, "%s%s", k ? "," : "", q->values.v[k]);
        str_add(&out, set ? ")" : "");
    }
    return str_take(&out);
}

void label_selector_done(LabelSelector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].key);
        strvec_done(&s->v[i].values);
    }
    free(s->v);
    *s = (LabelSelector){0};
}
