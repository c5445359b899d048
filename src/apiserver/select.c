/* select.c - see select.h. */
#include "apiserver/select.h"

bool selection_all(const Selection *s)
{
    return !s->labels->n && !s->fields->n;
}

bool selection_has(const Selection *s, const json_t *o)
{
    return label_selector_matches(s->labels, json_object_get(json_object_get(o, "metadata"), "labels")) &&
           field_selector_matches(s->fields, o);
}

int selection_key(const Selection *s, const ObjItem *i)
{
    int all = s->labels->n ? 1 : 2;
    for (size_t k = 0; k < s->fields->n; k++) {
        const FieldTerm *t = &s->fields->v[k];
        const char *is = str_eq(t->field, "metadata.name") ? i->name : str_eq(t->field, "metadata.namespace") ? i->namespace_ : NULL;
        if (!is)
            all = 1;
        else if (str_eq(is, t->value) == t->differs)
            return 0;
    }
    return all;
}

bool selection_match(void *arg, const ObjItem *i)
{
    const Selection *s = arg;
    int key = selection_key(s, i);
    if (key != 1)
        return key;
    SCOPED(json_unref) json_t *o = objitem_json(i);
    return selection_has(s, o);
}
