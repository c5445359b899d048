#include "api/path.h"

static void path_add(Str *s, const Path *p)
{
    if (!p)
        return;
    path_add(s, p->up);
    if (!p->key)
        str_fmt(s, "[%zu]", p->index);
    else if (p->is_map_key)
        str_fmt(s, "[%s]", p->key);
    else if (*p->key)
        str_fmt(s, "%s%s", s->n ? "." : "", p->key);
}

char *path_text(const Path *p)
{
    Str s = {0};
    path_add(&s, p);
    return str_take(&s);
}
