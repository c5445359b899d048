/* select.h - which objects a list or a watch is about, by its selectors. */
#ifndef REPRISE_APISERVER_SELECT_H
#define REPRISE_APISERVER_SELECT_H

#include "kube/selector.h"
#include "store/store.h"

typedef struct {
    const LabelSelector *labels; /* borrowed */
    const FieldSelector *fields;
} Selection;
/* Does it select everything? */
bool selection_all(const Selection *s);
/* What the key of an object tells: 0 = it is not selected, 1 = only selection_has() can say, 2 = it is selected. */
int selection_key(const Selection *s, const ObjItem *i);
/* An ObjMatch, with the Selection as its argument. Parses the text only when name and namespace do not decide. */
bool selection_match(void *arg, const ObjItem *i);
bool selection_has(const Selection *s, const json_t *o);

#endif
