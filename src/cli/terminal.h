/* terminal.h - stdin's terminal in raw mode, restored on every way out: return, exit(), and any signal that ends or stops the
 * process. One for the process. */
#ifndef REPRISE_CLI_TERMINAL_H
#define REPRISE_CLI_TERMINAL_H

#include "base/err.h"

bool terminal_is(int fd);
bool terminal_size(int fd, unsigned *width, unsigned *height);
MUST_USE Err *terminal_raw(void);
void terminal_restore(void); /* what was not changed is fine */

#endif
