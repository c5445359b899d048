/* managed.h - metadata.managedFields: who owns which fields, since when. */
#ifndef REPRISE_PATCH_MANAGED_H
#define REPRISE_PATCH_MANAGED_H

#include "patch/fieldset.h"

/* Apply entries are one for each manager and subresource, Update entries also for each version. */
typedef struct {
    char *name, *api_version, *subresource; /* owned; subresource "" = none */
    bool applied;                           /* operation Apply, else Update */
    char *time;                             /* owned; NULL: none */
    FieldSet *set;                          /* owned */
} Manager;
typedef struct {
    Manager *v;
    size_t n;
} Managers;
void managers_done(Managers *m);
static inline UNUSED void managers_done_at(Managers *m) { managers_done(m); }

/* The manager that this is one and the same entry of; NULL: none. */
Manager *managers_find(const Managers *m, const char *name, bool applied, const char *api_version, const char *subresource);
/* Finds or makes it, with an empty set. Pointers into m are void afterwards. */
Manager *managers_get(Managers *m, const char *name, bool applied, const char *api_version, const char *subresource);
/* Replaces a set; takes it. */
void manager_set(Manager *m, FieldSet *set);
/* Drops those whose sets are empty, and those of versions other than <api_version> unless it is NULL. */
void managers_drop(Managers *m, const char *api_version);
/* Update entries over ten become one, "ancient-changes", oldest first. */
void managers_cap(Managers *m, const char *api_version);

/* The list of metadata.managedFields; NULL or null is none. Errors in apimachinery's words. */
MUST_USE Err *managers_decode(const json_t *list, Managers *ret);
/* Sorted by operation, time and name; NULL when there is none. New reference. */
MUST_USE json_t *managers_encode(Managers *m);
/* "kubectl" using v1, as conflicts say it. Caller frees. */
MUST_USE char *manager_text(const Manager *m);

#endif
