#include "cli/complete.h"

/* What operands are: the first, and those behind it. */
static const struct {
    const char *command;
    WantKind first, more; /* WANT_NAMES of the first: Pods; of more: of the type that is the first */
} commands[] = {
    {"get", WANT_TYPES, WANT_NAMES},       {"describe", WANT_TYPES, WANT_NAMES},
    {"delete", WANT_TYPES, WANT_NAMES},    {"wait", WANT_TYPES, WANT_NAMES},
    {"logs", WANT_NAMES, WANT_CONTAINERS}, {"exec", WANT_NAMES, WANT_NOTHING},
    {"label", WANT_TYPES, WANT_NAMES},     {"annotate", WANT_TYPES, WANT_NAMES},
    {"patch", WANT_TYPES, WANT_NAMES},     {"attach", WANT_NAMES, WANT_NOTHING},  {"port-forward", WANT_NAMES, WANT_NOTHING},
};

static size_t row_of(const char *command)
{
    size_t i = 0;
    while (i < ARRAY_LEN(commands) && !str_eq(commands[i].command, command))
        i++;
    return i;
}

bool complete_operands(const CliCommand *c)
{
    return row_of(c->name) < ARRAY_LEN(commands);
}

bool complete_option(const CliOption *o)
{
    return str_eq(o->name, "namespace") || str_eq(o->name, "container");
}

static const CliOption *option_of(const CliCommand *c, const char *word)
{
    const CliOption *o;
    size_t n = strcspn(word, "=");
    for (size_t i = 0; word[0] == '-' && (o = cli_option_at(c, i)) != NULL; i++) {
        if (word[1] == '-' ? n == strlen(o->name) + 2 && strncmp(o->name, word + 2, n - 2) == 0
                           : o->letter && word[1] == o->letter)
            return o;
    }
    return NULL;
}

typedef struct {
    const CliCommand *c;
    const char *operands[64];
    size_t n;
    const CliOption *open; /* its value is at the cursor */
    bool over;             /* behind "--": somebody else's words */
    Want w;
} State;

static void value(State *s, const CliOption *o, const char *text)
{
    if (str_eq(o->name, "namespace"))
        s->w.namespace_ = text;
    else if (str_eq(o->name, "api-socket"))
        s->w.socket = text;
}

/* All but the word at the cursor. */
static void walk(State *s, const char *const *words, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const char *word = words[i];
        const CliOption *o = s->over ? NULL : option_of(s->c, word);
        s->open = NULL;
        if (str_eq(word, "--")) {
            s->over = true;
        } else if (!o) {
            if (word[0] != '-' && s->n < ARRAY_LEN(s->operands))
                s->operands[s->n++] = word;
        } else if (o->arg) {
            const char *attached = word[1] == '-' ? strchr(word, '=') : word[2] ? word + 1 : NULL;
            if (attached) {
                value(s, o, attached + 1);
                continue;
            }
            if (i + 1 < n && str_eq(words[i + 1], "="))
                i++;
            if (i + 1 < n)
                value(s, o, words[++i]);
            else
                s->open = o;
        }
    }
}

/* "pod/x" is x. */
static char *pod_name(const char *operand)
{
    const char *slash = strchr(operand, '/');
    return mem_dup_str(slash ? slash + 1 : operand);
}

static void by_operand(State *s, const char *cursor)
{
    size_t row = row_of(s->c->name);
    const char *slash = strchr(cursor, '/');
    if (row == ARRAY_LEN(commands) || s->over)
        return;
    bool types = commands[row].first == WANT_TYPES;
    if (types && slash) { /* pods/x */
        s->w.kind = WANT_NAMES;
        s->w.type = mem_dup_strn(cursor, (size_t)(slash - cursor));
        s->w.pairs = true;
        return;
    }
    s->w.kind = s->n ? commands[row].more : commands[row].first;
    if (s->w.kind == WANT_CONTAINERS)
        s->w.pod = pod_name(s->operands[0]);
    if (s->w.kind != WANT_NAMES)
        return;
    if (s->n && strchr(s->operands[0], '/')) /* pairs go on as pairs */
        s->w.kind = WANT_NOTHING;
    else
        s->w.type = mem_dup_str(s->n ? s->operands[0] : "pods");
}

Want complete_wants(const char *const *words, size_t n)
{
    State s = {.c = n >= 2 ? cli_command(words[0]) : NULL};
    if (!s.c)
        return s.w;
    const char *cursor = words[n - 1];
    size_t before = n - 1;
    if (str_eq(cursor, "=")) /* --name= */
        cursor = "";
    else if (before > 1 && str_eq(words[before - 1], "="))
        before--;
    walk(&s, words, before);
    const CliOption *o = s.open ? s.open : cursor[0] == '-' && strchr(cursor, '=') ? option_of(s.c, cursor) : NULL;
    if (o && str_eq(o->name, "namespace")) {
        s.w.kind = WANT_NAMESPACES;
    } else if (o && str_eq(o->name, "container") && s.n) {
        s.w.kind = WANT_CONTAINERS;
        s.w.pod = pod_name(s.operands[0]);
    } else if (!o) {
        by_operand(&s, cursor);
    }
    return s.w;
}

void want_done(Want *w)
{
    free(w->type);
    free(w->pod);
    *w = (Want){0};
}
