/* complete.h - what may stand at the cursor of a command line that the API knows about. Pure: by the table of commands. */
#ifndef REPRISE_CLI_COMPLETE_H
#define REPRISE_CLI_COMPLETE_H

#include "cli/cli.h"

typedef enum { WANT_NOTHING, WANT_TYPES, WANT_NAMES, WANT_CONTAINERS, WANT_NAMESPACES } WantKind;
typedef struct {
    WantKind kind;
    char *type;              /* WANT_NAMES: "pods", as it was written */
    bool pairs;              /* WANT_NAMES: as TYPE/NAME */
    char *pod;               /* WANT_CONTAINERS */
    const char *namespace_;  /* as given before the cursor, borrowed from the words; NULL = not */
    const char *socket;
} Want;

/* <words>: from the command's name on; the last one is at the cursor, maybe "". Shells that split --name=value at the "=" pass it as
 * a word of its own. Caller want_done()s. */
Want complete_wants(const char *const *words, size_t n);
void want_done(Want *w);
/* Does the API complete this command's operands, or the value of this option? */
bool complete_operands(const CliCommand *c);
bool complete_option(const CliOption *o);

#endif
