/* tokens.c - see tokens.h. */
#include "apiserver/tokens.h"

#include "os/fs.h"

#define TOKENS_MAX ((size_t)1 << 20) /* bytes of the file */

void tokens_done(Tokens *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i].token)
            explicit_bzero(t->v[i].token, strlen(t->v[i].token));
        free(t->v[i].token);
        free(t->v[i].user);
        free(t->v[i].uid);
        strvec_done(&t->v[i].groups);
    }
    free(t->v);
    *t = (Tokens){0};
}

/* One column: plain up to the comma, or in quotes, where "" is a quote. *p is left at the comma, the line's end, or what is wrong. */
static char *column(const char **p, const char *end)
{
    Str s = {0};
    const char *c = *p;
    if (c < end && *c == '"') {
        for (c++; c < end && !(*c == '"' && (c + 1 == end || c[1] != '"')); c++) {
            str_add_c(&s, *c);
            c += *c == '"';
        }
        c += c < end;
    } else {
        while (c < end && *c != ',')
            str_add_c(&s, *c++);
    }
    *p = c;
    return str_take(&s);
}

static void add_groups(Token *t, const char *list)
{
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        if (n)
            strvec_add_take(&t->groups, mem_dup_strn(p, n));
        p += n + (p[n] == ',');
    }
}

static Err *parse_line(const char *p, const char *end, unsigned line, Tokens *ret)
{
    SCOPED(strvec_done) StrVec columns = {0};
    for (;;) {
        strvec_add_take(&columns, column(&p, end));
        if (p == end)
            break;
        if (*p++ != ',')
            return err_new(ERR_INVALID, 0, "line %u: what follows a quote is no comma", line);
    }
    if (columns.n < 3)
        return err_new(ERR_INVALID, 0, "line %u must have at least 3 columns (token, user name, user uid), found %zu", line, columns.n);
    if (!*columns.v[0] || !*columns.v[1])
        return err_new(ERR_INVALID, 0, "line %u: the %s is empty", line, *columns.v[0] ? "user name" : "token");
    ret->v = mem_grow(ret->v, ret->n + 1, sizeof *ret->v);
    Token *t = &ret->v[ret->n++];
    *t = (Token){mem_dup_str(columns.v[0]), mem_dup_str(columns.v[1]), mem_dup_str(columns.v[2]), {0}};
    if (columns.n > 3)
        add_groups(t, columns.v[3]);
    return NULL;
}

Err *tokens_parse(const char *text, size_t n, Tokens *ret)
{
    const char *p = text, *end = text + n;
    *ret = (Tokens){0};
    for (unsigned line = 1; p < end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        const char *last = stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        Err *e = last > p ? parse_line(p, last, line, ret) : NULL;
        if (e) {
            tokens_done(ret);
            return e;
        }
        p = stop + (stop < end);
    }
    return NULL;
}

/* Every byte of both is looked at. */
static bool same(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned char differ = n != m;
    for (size_t i = 0; i < m; i++)
        differ |= (unsigned char)(b[i] ^ (n ? a[i % n] : 0));
    return !differ;
}

const Token *tokens_find(const Tokens *t, const char *token)
{
    const Token *found = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (same(t->v[i].token, token))
            found = &t->v[i]; /* the last one counts, as upstream */
    return found;
}

static Err *read_file(TokenFile *f)
{
    SCOPED(str_done) Str text = {0};
    Tokens now;
    tokens_done(&f->tokens);
    Err *e = fs_read(f->path, TOKENS_MAX, &text);
    if (!e) {
        e = tokens_parse(str_or(text.p, ""), text.n, &now);
        if (!e)
            f->tokens = now;
        if (text.p)
            explicit_bzero(text.p, text.n);
    }
    return e ? err_wrap(e, "token file %s", f->path) : NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

Err *token_file_open(TokenFile *f, const char *path)
{
    *f = (TokenFile){.path = mem_dup_str(path)};
    if (!path)
        return NULL;
    if (stat(path, &f->seen) < 0)
        f->seen = (struct stat){0};
    Err *e = read_file(f);
    if (e)
        token_file_done(f);
    return e;
}

void token_file_done(TokenFile *f)
{
    tokens_done(&f->tokens);
    free(f->path);
    free(f->error);
    *f = (TokenFile){0};
}

static void look_again(TokenFile *f)
{
    struct stat now;
    if (stat(f->path, &now) < 0)
        now = (struct stat){0};
    if (same_file(&now, &f->seen))
        return;
    f->seen = now;
    SCOPED(err_free) Err *e = read_file(f);
    free(f->error);
    f->error = e ? err_text(e) : NULL;
}

bool token_file_user(TokenFile *f, const char *authorization, ApiUser *ret)
{
    if (!f->path || !authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *token = authorization + 7;
    token += strspn(token, " ");
    look_again(f);
    const Token *t = *token ? tokens_find(&f->tokens, token) : NULL;
    if (!t)
        return false;
    api_user_set(ret, t->user, t->uid, (const char *const *)t->groups.v);
    return true;
}
