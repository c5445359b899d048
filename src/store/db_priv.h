/* db_priv.h - what db.c, schema.c and load.c share: the only three files that call SQLite (with vfs.c, which is called by it). */
#ifndef REPRISE_STORE_DB_PRIV_H
#define REPRISE_STORE_DB_PRIV_H

#include <sqlite3.h>

#include "store/store_priv.h"

typedef enum {
    ST_BEGIN, ST_COMMIT, ST_PUT, ST_DELETE, ST_RESERVED, ST_RESTART, ST_RESTART_TRIM, ST_FORGET, ST_RESTARTS, ST_N
} ObjStatement;
struct ObjDb {
    sqlite3 *h;
    sqlite3_stmt *st[ST_N];
    bool full; /* synchronous=FULL */
};

/* Opens, checks and migrates. <wait_ms>: how long another process may still have it; 0 within the loop. *ret_corrupt: the file is
 * damaged, the error says how. */
MUST_USE Err *objdb_open(const char *path, int wait_ms, ObjDb **ret, bool *ret_corrupt);
void objdb_free(ObjDb *d); /* NULL is fine */
SCOPED_FN(objdb_free, ObjDb *, NULL)
/* Brings the schema up to OBJSTORE_SCHEMA, or refuses a newer one. */
MUST_USE Err *objdb_migrate(sqlite3 *h, const char *path, int *ret_rc);
/* First column of the first row as a number; <otherwise> when there is none. */
int objdb_number(sqlite3 *h, const char *sql, int64_t otherwise, int64_t *ret);
/* SQLite's code as an error about <path>; the errno is the VFS's. */
MUST_USE Err *objdb_error(sqlite3 *h, int rc, const char *path, const char *doing);
bool objdb_is_corrupt(int rc);
/* What a row's text is checked against when it is read. */
int64_t objdb_crc(const char *resource, const char *key, const char *text, size_t n);
int objdb_put(ObjDb *d, const ObjItem *i);
int objdb_run(ObjDb *d, ObjStatement st); /* steps a statement without rows, and resets it */
int objdb_sync(ObjDb *d, bool full);      /* not within a transaction */
int objdb_put_reserved(ObjDb *d, int64_t reserved);
/* What memory has, over what the file has: one durable transaction. */
int objdb_rewrite(ObjStore *s, ObjDb *d);

/* Reads all objects into memory. Rows that are not sound: *ret_corrupt, or left out and counted when <salvage>. */
MUST_USE Err *objdb_load(ObjStore *s, sqlite3 *h, const char *path, bool salvage, bool backwards, bool *ret_corrupt);
/* Whether the table has exactly what memory has. */
int objdb_compare(ObjStore *s, sqlite3 *h, bool *ret_same);
/* Renames the database and its journal; *ret is the new name, the caller's. */
MUST_USE Err *objdb_move_aside(const ObjStore *s, char **ret);

#endif
