/* store_fixture.h - a store in a directory of its own, objects in one line, errors as text. */
#ifndef REPRISE_TESTS_STORE_FIXTURE_H
#define REPRISE_TESTS_STORE_FIXTURE_H

#include "check.h"

#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"
#include "store/store.h"

typedef struct {
    char dir[48], path[64];
    ObjStore *s;
    char *note;
} Fixture;

static inline UNUSED void fixture_open(Fixture *f, const ObjStoreOptions *o)
{
    free(f->note);
    f->note = NULL;
    CHECK_OK(objstore_open(f->path, o, &f->s, &f->note));
    if (!f->s)
        exit(1);
}
static inline UNUSED void fixture_close(Fixture *f)
{
    objstore_close(f->s);
    f->s = NULL;
}
static inline UNUSED Fixture fixture_new(const ObjStoreOptions *o)
{
    Fixture f = {0};
    strcpy(f.dir, "/tmp/reprise-store-XXXXXX");
    CHECK(mkdtemp(f.dir) != NULL);
    (void)snprintf(f.path, sizeof f.path, "%s/store.db", f.dir);
    fixture_open(&f, o);
    return f;
}
static inline UNUSED void fixture_done(Fixture *f)
{
    fixture_close(f);
    free(f->note);
    CHECK_OK(fs_remove_tree(f->dir));
}

/* A Pod of that name with a text in its spec. Caller owns. */
static inline UNUSED json_t *pod(const char *ns, const char *name, const char *text)
{
    return json_pack("{s:s, s:s, s:{s:s*, s:s, s:s+}, s:{s:s}}", "apiVersion", "v1", "kind", "Pod", "metadata", "namespace", ns,
                     "name", name, "uid", "uid-", name, "spec", "text", text);
}
static inline UNUSED ObjItem *create(ObjStore *s, const char *ns, const char *name, const char *text)
{
    SCOPED(json_unref) json_t *j = pod(ns, name, text);
    ObjItem *i = NULL;
    CHECK_OK(objstore_create(s, "pods", j, NULL, &i));
    return i;
}
static inline UNUSED int64_t put(ObjStore *s, const char *name, const char *text)
{
    SCOPED(json_unref) json_t *j = pod("default", name, text);
    SCOPED(objitem_unref) ObjItem *i = NULL;
    if (objstore_get(s, "pods", "default", name))
        CHECK_OK(objstore_update(s, "pods", j, NULL, &i));
    else
        CHECK_OK(objstore_create(s, "pods", j, NULL, &i));
    return i ? i->rv : 0;
}
static inline UNUSED void drop(ObjStore *s, const char *name)
{
    CHECK_OK(objstore_delete(s, "pods", "default", name, NULL, NULL));
}
/* The words and the reason: "NotFound: pods ..."; <e> is taken. */
static inline UNUSED char *said(Err *e)
{
    SCOPED(err_free) Err *mine = e;
    if (!e)
        return mem_dup_str("no error");
    SCOPED(mem_free) char *t = err_text(e);
    return mem_fmt("%s: %s", e->reason, t);
}
#define CHECK_SAID(e, want)                                                                                            \
    do {                                                                                                               \
        char *said_ = said(e);                                                                                         \
        CHECK_STR(said_, want);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)
/* spec.text of what is there; NULL: not there. Caller frees. */
static inline UNUSED char *text_now(ObjStore *s, const char *name)
{
    const ObjItem *i = objstore_get(s, "pods", "default", name);
    if (!i)
        return NULL;
    SCOPED(json_unref) json_t *j = objitem_json(i);
    return mem_dup_str(json_str(json_object_get(j, "spec"), "text"));
}
#define CHECK_NOW(s, name, want)                                                                                       \
    do {                                                                                                               \
        char *now_ = text_now(s, name);                                                                                \
        CHECK_STR(now_, want);                                                                                         \
        free(now_);                                                                                                    \
    } while (0)
/* "a b c": the names of a page. Caller frees. */
static inline UNUSED char *names_of(const ObjList *l)
{
    Str t = {0};
    for (size_t i = 0; i < l->n; i++)
        str_fmt(&t, "%s%s", i ? " " : "", l->item[i]->key);
    return str_take(&t);
}
/* What a watch has now: "+a ~b -c !", and "GONE" at its end when it is. Caller frees. */
static inline UNUSED char *events_of(ObjWatch *w)
{
    Str t = {0};
    ObjEvent e;
    ObjNext n;
    while ((n = objwatch_next(w, &e)) == OBJ_EVENT) {
        str_fmt(&t, "%s%c%s", t.n ? " " : "", " +~-!"[e.type], e.item ? e.item->name : "");
        if (e.item)
            CHECK_INT(e.item->rv, e.rv);
        CHECK_INT(e.prev != NULL, e.type == OBJ_MODIFIED || e.type == OBJ_DELETED);
    }
    if (n == OBJ_GONE)
        str_fmt(&t, "%sGONE", t.n ? " " : "");
    return str_take(&t);
}
#define CHECK_EVENTS(w, want)                                                                                          \
    do {                                                                                                               \
        char *events_ = events_of(w);                                                                                  \
        CHECK_STR(events_, want);                                                                                      \
        free(events_);                                                                                                 \
    } while (0)

#endif
