/* fields.h - members of nested JSON objects by a path of names: what all that prints objects reads with. Pure. */
#ifndef REPRISE_CLIENT_FIELDS_H
#define REPRISE_CLIENT_FIELDS_H

#include "base/clock.h"
#include "base/str.h"
#include "wire/json.h"

/* Borrowed; NULL when a member on the way is absent or no object. "spec.securityContext.seccompProfile". */
const json_t *at(const json_t *o, const char *path);
/* "" when absent or no string. */
const char *at_str(const json_t *o, const char *path);
int64_t at_i64(const json_t *o, const char *path); /* 0 when absent */
bool at_true(const json_t *o, const char *path);
/* What Go prints for a value: a string as it is, numbers and booleans, objects and lists as JSON; "" for NULL. Caller frees. */
MUST_USE char *value_text(const json_t *v);
/* The keys of an object, sorted; none for NULL. Caller strvec_done()s. */
StrVec keys_sorted(const json_t *o);
/* RFC 3339 as Go's time.RFC1123Z in UTC: "Fri, 02 Jan 2026 15:04:05 +0000"; Go's zero time when absent. buf needs RFC1123_MAX bytes. */
#define RFC1123_MAX 48
char *rfc1123(const char *time, char *buf);
/* "name" or "name.group" of what an object's kind is called: pod/x, event.events.k8s.io/x. Caller frees. */
MUST_USE char *kind_lower(const json_t *object);
/* A deep copy with every object's keys sorted, as Go prints maps. */
MUST_USE json_t *json_sorted(const json_t *j);

#endif
