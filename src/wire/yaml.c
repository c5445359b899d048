/* yaml.c - YAML as kubectl reads it. kubectl uses go-yaml v2, a port of libyaml: the scanner and its errors are the same,
 * what a plain scalar means is not in libyaml. Those rules are here (golden outputs of kubectl 1.20, 1.27 and 1.32:
 * ecosystem.md 2.4). Events are walked by recursion, so that depth is bounded by a constant, and aliases are copied, so
 * that no two places of a document share a value, with a bound on how many nodes all copies may have together. */
#include "wire/yaml.h"

#include <math.h>
#include <yaml.h>

#include "base/str.h"

#define MAX_TEXT (4u << 20)
#define MAX_DEPTH 256
#define MAX_NODES 100000

typedef struct {
    char *name;
    json_t *value; /* owned; NULL while the anchored node is still being read */
} Anchor;

typedef struct {
    yaml_parser_t parser;
    yaml_event_t event;
    size_t n_nodes, n_copied, depth;
    struct {
        size_t n;
        Anchor *v;
    } anchors; /* of the document being read */
} Reader;

static Err *at_mark(yaml_mark_t mark, const char *what)
{
    return err_new(ERR_INVALID, 0, "YAML: line %zu, column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static Err *next_event(Reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event))
        return NULL;
    const yaml_parser_t *p = &r->parser;
    SCOPED(mem_free) char *what = p->context ? mem_fmt("%s, %s", p->context, str_or(p->problem, "?"))
                                             : mem_dup_str(str_or(p->problem, "cannot be read"));
    if (p->error == YAML_READER_ERROR)
        return err_new(ERR_INVALID, 0, "YAML: byte %zu: %s", p->problem_offset, what);
    return at_mark(p->problem_mark, what);
}

static void forget_anchors(Reader *r)
{
    for (size_t i = 0; i < r->anchors.n; i++) {
        free(r->anchors.v[i].name);
        json_decref(r->anchors.v[i].value);
    }
    free(r->anchors.v);
    r->anchors.v = NULL;
    r->anchors.n = 0;
}

static void reader_done(Reader *r)
{
    forget_anchors(r);
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
}

static void reader_done_at(Reader *r)
{
    reader_done(r);
}

static Anchor *anchor_find(Reader *r, const char *name)
{
    for (size_t i = r->anchors.n; i-- > 0;) /* the last one of a name counts */
        if (strcmp(r->anchors.v[i].name, name) == 0)
            return &r->anchors.v[i];
    return NULL;
}

/* Index of the new anchor, SIZE_MAX without one. */
static size_t anchor_begin(Reader *r, const yaml_char_t *name)
{
    if (!name)
        return SIZE_MAX;
    r->anchors.v = mem_grow(r->anchors.v, r->anchors.n + 1, sizeof *r->anchors.v);
    r->anchors.v[r->anchors.n] = (Anchor){mem_dup_str((const char *)name), NULL};
    return r->anchors.n++;
}

static void anchor_end(Reader *r, size_t i, json_t *value)
{
    if (i != SIZE_MAX)
        r->anchors.v[i].value = json_incref(value);
}

static size_t count_nodes(const json_t *j)
{
    size_t n = 1, i;
    const char *key;
    json_t *v;
    if (json_is_array(j))
        json_array_foreach(j, i, v)
            n += count_nodes(v);
    else if (json_is_object(j))
        json_object_foreach((json_t *)(uintptr_t)j, key, v)
            n += count_nodes(v);
    return n;
}

/* --- scalars ---------------------------------------------------------------------------------------------------- */

/* yaml 1.1's words, in the three cases that go-yaml knows: y Y yes Yes YES on On ON true True TRUE. */
static bool is_word(const char *s, const char *word)
{
    size_t n = strlen(word);
    if (strlen(s) != n)
        return false;
    if (strcmp(s, word) == 0)
        return true;
    if (s[0] != word[0] - 'a' + 'A')
        return false;
    bool lower = true, upper = true;
    for (size_t i = 1; i < n; i++) {
        lower = lower && s[i] == word[i];
        upper = upper && s[i] == word[i] - 'a' + 'A';
    }
    return lower || upper;
}

static bool any_word(const char *s, const char *const words[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_word(s, words[i]))
            return true;
    return false;
}

/* Digits of <base>, at least one; false beyond uint64 or at any other character. */
static bool digits_value(const char *s, unsigned base, uint64_t *ret)
{
    if (!*s)
        return false;
    uint64_t v = 0;
    for (; *s; s++) {
        unsigned d = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
                     : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10)
                     : *s >= 'A' && *s <= 'F' ? (unsigned)(*s - 'A' + 10)
                                              : 99;
        if (d >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    *ret = v;
    return true;
}

/* strconv.ParseInt(s, 0, 64) of go-yaml: 0x, 0b, 0o, and a leading 0 is octal when its digits are. */
static bool to_integer(const char *s, int64_t *ret)
{
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    uint64_t v;
    bool ok;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        ok = digits_value(s + 2, 16, &v);
    else if (s[0] == '0' && (s[1] == 'b' || s[1] == 'B'))
        ok = digits_value(s + 2, 2, &v);
    else if (s[0] == '0' && (s[1] == 'o' || s[1] == 'O'))
        ok = digits_value(s + 2, 8, &v);
    else if (s[0] == '0' && s[1])
        ok = digits_value(s + 1, 8, &v);
    else
        ok = digits_value(s, 10, &v);
    if (!ok || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *s)
{
    if (*s == '-' || *s == '+')
        s++;
    size_t whole = strspn(s, "0123456789");
    s += whole;
    size_t fraction = 0;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (!whole && !fraction)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        size_t exponent = strspn(s, "0123456789");
        if (!exponent)
            return false;
        s += exponent;
    }
    return !*s;
}

static json_t *from_double(double d)
{
    /* A whole number is written without a fraction by Go's JSON encoder, and so becomes an integer to its reader. */
    if (d == floor(d) && fabs(d) < 9007199254740992.0)
        return json_integer((json_int_t)d);
    return json_real(d);
}

static json_t *to_number(const char *text)
{
    char *plain = mem_dup_str(text);
    size_t n = 0;
    for (const char *p = text; *p; p++)
        if (*p != '_')
            plain[n++] = *p;
    plain[n] = '\0';
    json_t *j = NULL;
    int64_t i;
    if (to_integer(plain, &i)) {
        j = json_integer(i);
    } else if (is_float(plain)) {
        /* The program never leaves the C locale, so strtod's decimal point is a point. */
        double d = strtod(plain, NULL);
        j = isfinite(d) ? from_double(d) : NULL;
    }
    free(plain);
    return j;
}

static bool is_inf_or_nan(const char *s)
{
    static const char *const nan[] = {".nan", ".NaN", ".NAN"};
    static const char *const inf[] = {".inf", ".Inf", ".INF"};
    for (size_t i = 0; i < ARRAY_LEN(nan); i++)
        if (strcmp(s, nan[i]) == 0 || strcmp(s + (*s == '-' || *s == '+'), inf[i]) == 0)
            return true;
    return false;
}

static bool is_null_word(const char *s)
{
    return !*s || strcmp(s, "~") == 0 || is_word(s, "null");
}

static const char *const true_words[] = {"y", "yes", "on", "true"};
static const char *const false_words[] = {"n", "no", "off", "false"};

/* What a plain scalar means; NULL for a string. */
static json_t *resolve_plain(const char *s)
{
    if (is_null_word(s))
        return json_null();
    if (any_word(s, true_words, ARRAY_LEN(true_words)))
        return json_true();
    if (any_word(s, false_words, ARRAY_LEN(false_words)))
        return json_false();
    return strchr("+-.0123456789", *s) ? to_number(s) : NULL;
}

static Err *string_node(const Reader *r, const char *s, size_t n, json_t **ret)
{
    if (memchr(s, '\0', n))
        return at_mark(r->event.start_mark, "a string may not contain a NUL character");
    *ret = json_stringn(s, n);
    return *ret ? NULL : at_mark(r->event.start_mark, "a string must be UTF-8");
}

static Err *binary_node(const Reader *r, const char *s, size_t n, json_t **ret)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    SCOPED(str_done) Str out = {0};
    uint32_t bits = 0;
    size_t chars = 0, pads = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n' || s[i] == '\r' || s[i] == ' ')
            continue;
        const char *p = s[i] && !pads ? strchr(digit, s[i]) : NULL;
        if (s[i] == '=' && chars % 4 >= 2)
            pads++;
        else if (!p)
            return at_mark(r->event.start_mark, "!!binary value contains invalid base64 data");
        bits = bits << 6 | (p ? (uint32_t)(p - digit) : 0);
        if (++chars % 4 == 0) {
            char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
            str_add_n(&out, bytes, pads > 2 ? 0 : 3 - pads);
        }
    }
    if (chars % 4 || pads > 2)
        return at_mark(r->event.start_mark, "!!binary value contains invalid base64 data");
    return string_node(r, out.n ? out.p : "", out.n, ret);
}

#define TAG(t) "tag:yaml.org,2002:" t

/* A tag forces the type; the value must fit it (go-yaml: cannot decode !!str `x` as a !!int). */
static Err *tagged_node(const Reader *r, const char *tag, const char *s, size_t n, json_t **ret)
{
    if (strcmp(tag, TAG("str")) == 0 || strcmp(tag, "!") == 0)
        return string_node(r, s, n, ret);
    if (strcmp(tag, TAG("binary")) == 0)
        return binary_node(r, s, n, ret);
    json_t *j = strlen(s) == n ? resolve_plain(s) : NULL;
    bool fits = (strcmp(tag, TAG("int")) == 0 && json_is_integer(j)) ||
                (strcmp(tag, TAG("float")) == 0 && json_is_number(j)) ||
                (strcmp(tag, TAG("bool")) == 0 && json_is_boolean(j)) ||
                (strcmp(tag, TAG("null")) == 0 && json_is_null(j));
    if (fits) {
        *ret = j;
        return NULL;
    }
    json_decref(j);
    SCOPED(mem_free) char *what = mem_fmt("cannot decode the value as %s", tag);
    return at_mark(r->event.start_mark, what);
}

static Err *scalar_node(const Reader *r, json_t **ret)
{
    const char *s = (const char *)r->event.data.scalar.value;
    size_t n = r->event.data.scalar.length;
    const char *tag = (const char *)r->event.data.scalar.tag;
    if (tag && *tag)
        return tagged_node(r, tag, s, n, ret);
    if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE || strlen(s) != n)
        return string_node(r, s, n, ret);
    if (is_inf_or_nan(s))
        return at_mark(r->event.start_mark, "infinity and not-a-number have no JSON form: quote the value to mean text");
    *ret = resolve_plain(s);
    return *ret ? NULL : string_node(r, s, n, ret);
}

/* --- nodes ------------------------------------------------------------------------------------------------------ */

static Err *read_node(Reader *r, json_t **ret);

static Err *alias_node(Reader *r, json_t **ret)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    const Anchor *a = anchor_find(r, name);
    SCOPED(mem_free) char *what = mem_fmt(!a ? "unknown anchor '%s' referenced" : "anchor '%s' value contains itself", name);
    if (!a || !a->value)
        return at_mark(r->event.start_mark, what);
    r->n_nodes += count_nodes(a->value);
    if (r->n_nodes > MAX_NODES)
        return err_new(ERR_LIMIT, 0, "YAML: line %zu: more than %d values once aliases are expanded",
                       r->event.start_mark.line + 1, MAX_NODES);
    *ret = json_deep_copy(a->value);
    return NULL;
}

static Err *read_sequence(Reader *r, json_t **ret)
{
    size_t anchor = anchor_begin(r, r->event.data.sequence_start.anchor);
    SCOPED(json_unref) json_t *list = json_array();
    for (;;) {
        Err *e = next_event(r);
        if (e)
            return e;
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        json_t *item = NULL;
        e = read_node(r, &item);
        if (e)
            return e;
        json_array_append_new(list, item);
    }
    anchor_end(r, anchor, list);
    *ret = MOVE(list, NULL);
    return NULL;
}

/* sigs.k8s.io/yaml: numbers and booleans as keys become their text; so does null (go-yaml makes it "null"). */
static char *key_text(const json_t *j)
{
    if (json_is_string(j))
        return mem_dup_str(json_string_value(j));
    if (json_is_array(j) || json_is_object(j))
        return NULL;
    return json_text(j, false);
}

/* "<<": the keys of one mapping, or of a list of them, that the mapping itself does not have. */
static bool merge_into(json_t *map, const json_t *value)
{
    if (json_is_object(value)) {
        json_object_update_missing(map, (json_t *)(uintptr_t)value);
        return true;
    }
    if (!json_is_array(value))
        return false;
    size_t i;
    json_t *one;
    json_array_foreach(value, i, one)
    {
        if (!json_is_object(one))
            return false;
        json_object_update_missing(map, one);
    }
    return true;
}

static bool is_merge_key(const Reader *r)
{
    return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp((const char *)r->event.data.scalar.value, "<<") == 0;
}

static Err *read_pair(Reader *r, json_t *map, json_t *merged)
{
    yaml_mark_t mark = r->event.start_mark;
    bool is_merge = is_merge_key(r);
    SCOPED(json_unref) json_t *key = NULL;
    Err *e = read_node(r, &key);
    if (e)
        return e;
    SCOPED(mem_free) char *text = key_text(key);
    if (!text)
        return at_mark(mark, "a key must be a string, a number or a boolean");
    if ((e = next_event(r)) != NULL)
        return e;
    SCOPED(json_unref) json_t *value = NULL;
    if ((e = read_node(r, &value)) != NULL)
        return e;
    if (is_merge)
        return merge_into(merged, value) ? NULL : at_mark(mark, "map merge requires map or sequence of maps as the value");
    if (json_object_get(map, text)) {
        SCOPED(mem_free) char *what = mem_fmt("key \"%s\" already set in map", text);
        return at_mark(mark, what);
    }
    json_object_set_new(map, text, MOVE(value, NULL));
    return NULL;
}

static Err *read_mapping(Reader *r, json_t **ret)
{
    size_t anchor = anchor_begin(r, r->event.data.mapping_start.anchor);
    SCOPED(json_unref) json_t *map = json_object();
    SCOPED(json_unref) json_t *merged = json_object();
    for (;;) {
        Err *e = next_event(r);
        if (e)
            return e;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        e = read_pair(r, map, merged);
        if (e)
            return e;
    }
    json_object_update_missing(map, merged);
    anchor_end(r, anchor, map);
    *ret = MOVE(map, NULL);
    return NULL;
}

static Err *read_content(Reader *r, json_t **ret)
{
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        return alias_node(r, ret);
    case YAML_SCALAR_EVENT: {
        size_t anchor = anchor_begin(r, r->event.data.scalar.anchor);
        Err *e = scalar_node(r, ret);
        if (!e)
            anchor_end(r, anchor, *ret);
        return e;
    }
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(r, ret);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(r, ret);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        break;
    }
    return err_new(ERR_BUG, 0, "YAML: unexpected event %d", (int)r->event.type);
}

/* One value, beginning at the current event; the current event is its last one afterwards. */
static Err *read_node(Reader *r, json_t **ret)
{
    if (++r->n_nodes > MAX_NODES)
        return err_new(ERR_LIMIT, 0, "YAML: line %zu: more than %d values", r->event.start_mark.line + 1, MAX_NODES);
    if (r->depth >= MAX_DEPTH)
        return err_new(ERR_LIMIT, 0, "YAML: line %zu: nested deeper than %d", r->event.start_mark.line + 1, MAX_DEPTH);
    r->depth++;
    Err *e = read_content(r, ret);
    r->depth--;
    return e;
}

static void skip_space(const char **text, size_t *n)
{
    while (*n && **text && strchr(" \t\r\n", **text)) {
        ++*text;
        --*n;
    }
}

/* kubectl gives what begins with a brace to its JSON decoder, which takes several documents in a row. NULL: not JSON. */
static json_t *json_documents(const char *text, size_t n)
{
    SCOPED(json_unref) json_t *all = json_array();
    for (;;) {
        skip_space(&text, &n);
        if (!n)
            return json_array_size(all) ? MOVE(all, NULL) : NULL;
        json_error_t why;
        json_t *one = *text == '{' ? json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &why) : NULL;
        if (!one)
            return NULL;
        json_array_append_new(all, one);
        text += why.position;
        n -= (size_t)why.position;
    }
}

static bool begins_with_brace(const char *text, size_t n)
{
    skip_space(&text, &n);
    return n && *text == '{';
}

Err *yaml_parse_all(const char *text, size_t n, json_t **ret)
{
    if (n > MAX_TEXT)
        return err_new(ERR_LIMIT, 0, "YAML text of %zu bytes: must be at most %u", n, MAX_TEXT);
    if (begins_with_brace(text, n)) {
        if (json_too_deep(text, n))
            return err_new(ERR_LIMIT, 0, "JSON text: nested deeper than %d", MAX_DEPTH);
        /* What is not JSON may still be YAML in flow style, and YAML's error names the place better. */
        json_t *docs = json_documents(text, n);
        if (docs && count_nodes(docs) > MAX_NODES) {
            json_decref(docs);
            return err_new(ERR_LIMIT, 0, "JSON text: more than %d values", MAX_NODES);
        }
        if (docs) {
            *ret = docs;
            return NULL;
        }
    }
    SCOPED(reader_done) Reader r = {0};
    if (!yaml_parser_initialize(&r.parser))
        return err_new(ERR_BUG, 0, "YAML: the parser cannot be made");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    SCOPED(json_unref) json_t *all = json_array();
    for (;;) {
        Err *e = next_event(&r);
        if (e)
            return e;
        if (r.event.type == YAML_STREAM_END_EVENT)
            break;
        if (r.event.type == YAML_STREAM_START_EVENT || r.event.type == YAML_DOCUMENT_END_EVENT)
            continue;
        if (r.event.type == YAML_DOCUMENT_START_EVENT) {
            forget_anchors(&r);
            continue;
        }
        json_t *doc = NULL;
        e = read_node(&r, &doc);
        if (e)
            return e;
        if (json_is_null(doc))
            json_decref(doc);
        else
            json_array_append_new(all, doc);
    }
    *ret = MOVE(all, NULL);
    return NULL;
}

/* --- printing --------------------------------------------------------------------------------------------------- */

static void print_node(Str *s, const json_t *j, size_t indent, bool in_list);

/* Would a reader take this plain text for something other than the same string? Also what go-yaml's encoder quotes because
 * other readers might: YAML 1.1's base 60 numbers, timestamps. */
static bool reads_as_other(const char *s)
{
    json_t *j = resolve_plain(s);
    bool other = j != NULL;
    json_decref(j);
    if (other || is_inf_or_nan(s) || strcmp(s, "<<") == 0 || strcmp(s, "=") == 0)
        return true;
    /* Digits, then a colon or a dash among digits: 1:20, 2001-01-01, 2001-01-01T00:00:00Z. */
    if (!strchr("+-0123456789", *s))
        return false;
    const char *p = s + (*s == '-' || *s == '+');
    size_t digits = strspn(p, "0123456789");
    return digits && (p[digits] == ':' || (digits == 4 && p[digits] == '-'));
}

/* The next code point of valid UTF-8 (jansson holds no other). */
static uint32_t next_code(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    size_t more = s[0] < 0x80 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? s[0] : s[0] & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++)
        c = c << 6 | (s[i] & 0x3f);
    *p += 1 + more;
    return c;
}

/* YAML's printable characters, without those that end a line (also NEL, LS, PS) and the byte order mark. */
static bool is_printable_code(uint32_t c)
{
    return (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xd7ff && c != 0x2028 && c != 0x2029) ||
           (c >= 0xe000 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

static bool is_printable(const char *s, const char *also)
{
    while (*s) {
        uint32_t c = next_code(&s);
        if (!is_printable_code(c) && !(c < 0x80 && strchr(also, (int)c)))
            return false;
    }
    return true;
}

/* May <s> stand unquoted in block context? */
static bool is_plain(const char *s)
{
    if (!*s || reads_as_other(s) || !is_printable(s, "") || *s == ' ' || strchr("#,[]{}&*!|>'\"%@`", *s))
        return false;
    if (strchr("-?:", *s) && (!s[1] || s[1] == ' '))
        return false;
    if (strcmp(s, "---") == 0 || strcmp(s, "...") == 0 || str_starts(s, "--- ") || str_starts(s, "... "))
        return false;
    for (const char *p = s; *p; p++) {
        if ((*p == ':' && (p[1] == ' ' || !p[1])) || (*p == '#' && p > s && p[-1] == ' '))
            return false;
    }
    return s[strlen(s) - 1] != ' ';
}

/* Lines of printable text, the first not beginning with a space, none ending with one: fit for a | block. */
static bool is_block(const char *s)
{
    return strchr(s, '\n') && !strchr(" \t\n", *s) && !strstr(s, " \n") && !str_ends(s, " ") && is_printable(s, "\n\t");
}

static void print_block(Str *s, const char *text, size_t indent)
{
    size_t n = strlen(text), trailing = 0;
    while (trailing < n && text[n - 1 - trailing] == '\n')
        trailing++;
    str_add(s, trailing == 0 ? "|-" : trailing == 1 ? "|" : "|+");
    const char *end = text + n - (trailing ? 1 : 0);
    for (const char *line = text; line <= end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((eol ? eol : end) - line);
        str_add_c(s, '\n');
        if (len)
            str_fmt(s, "%*s%.*s", (int)indent, "", (int)len, line);
        if (!eol)
            break;
        line = eol + 1;
    }
}

static void print_escaped(Str *s, const char *text)
{
    static const char special[] = "\n\t\r\"\\", letter[] = "ntr\"\\";
    str_add_c(s, '"');
    for (const char *p = text; *p;) {
        const char *from = p;
        uint32_t c = next_code(&p);
        const char *at = c < 0x80 ? strchr(special, (int)c) : NULL;
        if (at)
            str_fmt(s, "\\%c", letter[at - special]);
        else if (is_printable_code(c))
            str_add_n(s, from, (size_t)(p - from));
        else
            str_fmt(s, c < 0x100 ? "\\x%02X" : "\\u%04X", c);
    }
    str_add_c(s, '"');
}

static void print_string(Str *s, const char *text, size_t indent)
{
    if (is_plain(text)) {
        str_add(s, text);
    } else if (is_block(text)) {
        print_block(s, text, indent);
    } else if (!*text || reads_as_other(text) || !is_printable(text, "")) {
        print_escaped(s, text); /* go-yaml marks text that looks like a number or a word with double quotes */
    } else {
        str_add_c(s, '\'');
        for (const char *p = text; *p; p++)
            str_add(s, *p == '\'' ? "''" : (char[]){*p, '\0'});
        str_add_c(s, '\'');
    }
}

static void print_scalar(Str *s, const json_t *j, size_t indent)
{
    if (json_is_string(j)) {
        print_string(s, json_string_value(j), indent);
        return;
    }
    SCOPED(mem_free) char *text = json_text(j, false);
    str_add(s, text);
}

static bool is_empty(const json_t *j)
{
    return (json_is_object(j) && !json_object_size(j)) || (json_is_array(j) && !json_array_size(j));
}

static bool is_scalar(const json_t *j)
{
    return !json_is_object(j) && !json_is_array(j);
}

/* What follows "key:" or nothing: the value on the same line, or on lines of its own. */
static void print_value(Str *s, const json_t *v, size_t indent)
{
    if (is_empty(v)) {
        str_add(s, json_is_object(v) ? " {}" : " []");
    } else if (is_scalar(v)) {
        str_add_c(s, ' ');
        print_scalar(s, v, indent + 2);
    } else {
        str_add_c(s, '\n');
        /* A list under a key is not indented, as kubectl prints it. */
        print_node(s, v, json_is_array(v) ? indent : indent + 2, false);
        return;
    }
    str_add_c(s, '\n');
}

static void print_indent(Str *s, size_t n)
{
    str_fmt(s, "%*s", (int)n, "");
}

static void print_map(Str *s, const json_t *j, size_t indent, bool in_list)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        if (!in_list)
            print_indent(s, indent);
        in_list = false;
        if (is_plain(key))
            str_add(s, key);
        else
            print_escaped(s, key);
        str_add_c(s, ':');
        print_value(s, v, indent);
    }
}

static void print_list(Str *s, const json_t *j, size_t indent, bool in_list)
{
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
    {
        if (!in_list)
            print_indent(s, indent);
        in_list = false;
        str_add(s, "-");
        if (is_empty(v) || is_scalar(v)) {
            print_value(s, v, indent);
        } else {
            str_add_c(s, ' ');
            print_node(s, v, indent + 2, true);
        }
    }
}

/* <in_list>: the cursor stands behind "- " already. */
static void print_node(Str *s, const json_t *j, size_t indent, bool in_list)
{
    if (json_is_object(j))
        print_map(s, j, indent, in_list);
    else
        print_list(s, j, indent, in_list);
}

char *yaml_text(const json_t *j)
{
    Str s = {0};
    if (is_scalar(j)) {
        print_scalar(&s, j, 2);
        str_add_c(&s, '\n');
    } else if (is_empty(j)) {
        str_add(&s, json_is_object(j) ? "{}\n" : "[]\n");
    } else {
        print_node(&s, j, 0, false);
    }
    return str_take(&s);
}
