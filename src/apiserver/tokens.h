/* tokens.h - bearer tokens of a file in kube-apiserver's format: token,user,uid[,"group1,group2"]. */
#ifndef REPRISE_APISERVER_TOKENS_H
#define REPRISE_APISERVER_TOKENS_H

#include <sys/stat.h>

#include "apiserver/auth.h"

typedef struct {
    char *token, *user, *uid;
    StrVec groups;
} Token;
typedef struct {
    size_t n;
    Token *v;
} Tokens;
void tokens_done(Tokens *t);
static inline UNUSED void tokens_done_at(Tokens *t) { tokens_done(t); }
/* Pure. As Go's csv reader: quotes, "" within them, empty lines; lines that begin with # are values, too. ERR_INVALID names the line. */
MUST_USE Err *tokens_parse(const char *text, size_t n, Tokens *ret);
/* NULL: none. Takes the same time wherever the difference is. */
const Token *tokens_find(const Tokens *t, const char *token);

/* A file that may change: looked at with each request that has a token, read when it is another one. One that cannot be read any more
 * leaves nobody in: who has removed it has meant that. */
typedef struct {
    char *path;
    struct stat seen;
    Tokens tokens;
    char *error; /* why there are none; NULL = none */
} TokenFile;
/* <path> NULL: no tokens. */
MUST_USE Err *token_file_open(TokenFile *f, const char *path);
void token_file_done(TokenFile *f);
/* Who has the token of "Bearer xyz"; false: nobody. */
bool token_file_user(TokenFile *f, const char *authorization, ApiUser *ret);

#endif
