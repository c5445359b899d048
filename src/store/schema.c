/* schema.c - versions of the tables, and the steps between them. A step is never changed once it was released; a new one is added
 * below, OBJSTORE_SCHEMA goes up, and the test's fixture of version 0 must come through all of them. */
#include "store/db_priv.h"

#define APPLICATION_ID 0x72707265 /* "rpre" */

static const struct {
    int to;
    const char *why, *sql;
} steps[] = {
    {1, "objects, as the first prototype had them, and expiry for events",
     "CREATE TABLE IF NOT EXISTS objects(id INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL,"
     " name TEXT NOT NULL, uid TEXT NOT NULL, rv INTEGER NOT NULL, json TEXT NOT NULL, UNIQUE(resource, namespace, name));"
     "ALTER TABLE objects ADD COLUMN expires INTEGER;"
     "CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"},
    {2, "checksums, and the place of the resourceVersion, so that nothing is parsed at open",
     "ALTER TABLE objects ADD COLUMN kind TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE objects ADD COLUMN rv_at INTEGER NOT NULL DEFAULT 0;" /* 0: not known, the row is parsed */
     "ALTER TABLE objects ADD COLUMN crc INTEGER;"                      /* NULL: none yet */
     "UPDATE objects SET kind = coalesce(json_extract(json, '$.kind'), '') WHERE json_valid(json);"},
    {3, "in-place restarts",
     "CREATE TABLE restarts(uid TEXT NOT NULL, attempt INTEGER NOT NULL, container TEXT NOT NULL, code INTEGER, rule TEXT NOT NULL,"
     " begun INTEGER NOT NULL, done INTEGER, PRIMARY KEY(uid, attempt)) WITHOUT ROWID;"},
};
_Static_assert(ARRAY_LEN(steps) == OBJSTORE_SCHEMA, "a step for each version");

int objdb_number(sqlite3 *h, const char *sql, int64_t otherwise, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    *ret = otherwise;
    int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        rc = SQLITE_DONE;
    }
    (void)sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int run_steps(sqlite3 *h, int64_t version)
{
    int rc = sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(steps); i++)
        if (steps[i].to > version)
            rc = sqlite3_exec(h, steps[i].sql, NULL, NULL, NULL);
    char end[160];
    (void)sqlite3_snprintf(sizeof end, end, "PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT", OBJSTORE_SCHEMA,
                           APPLICATION_ID);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(h, end, NULL, NULL, NULL);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(h))
        (void)sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

Err *objdb_migrate(sqlite3 *h, const char *path, int *ret_rc)
{
    int64_t version, id, tables, objects;
    int rc = objdb_number(h, "PRAGMA user_version", 0, &version);
    if (rc == SQLITE_OK)
        rc = objdb_number(h, "PRAGMA application_id", 0, &id);
    if (rc == SQLITE_OK)
        rc = objdb_number(h, "SELECT count(*) FROM sqlite_schema WHERE type='table'", 0, &tables);
    if (rc == SQLITE_OK)
        rc = objdb_number(h, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='objects'", 0, &objects);
    if (rc == SQLITE_OK && ((id != 0 && id != APPLICATION_ID) || (tables && !objects)))
        return err_new(ERR_INVALID, 0, "%s is a database, but none of reprise: name another path", path);
    if (rc == SQLITE_OK && version > OBJSTORE_SCHEMA)
        return err_new(ERR_UNSUPPORTED, 0,
                       "the store %s has schema version %lld, this reprise knows %d and older: run the reprise that wrote it, or move "
                       "the file away to begin with nothing",
                       path, (long long)version, OBJSTORE_SCHEMA);
    if (rc == SQLITE_OK && version < OBJSTORE_SCHEMA)
        rc = run_steps(h, version);
    *ret_rc = rc;
    return rc == SQLITE_OK ? NULL : objdb_error(h, rc, path, "prepare the tables of");
}
