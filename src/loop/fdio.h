/* fdio.h - bytes through descriptors of any kind that can be polled (pipes, terminals, sockets) on the event loop. What reads and what
 * writes have a descriptor each: one that goes both ways is duplicated. The process ignores SIGPIPE.
 *
 * Callbacks come from the loop, never from within a function here; in one, every function here may be called, free() too. */
#ifndef REPRISE_LOOP_FDIO_H
#define REPRISE_LOOP_FDIO_H

#include <uv.h>

#include "base/str.h"

typedef struct FdReader FdReader;
/* <n> 0: the end, once; <sys>: why, 0 when the other side closed (which terminals say with EIO). */
typedef void FdReaderData(void *arg, const void *bytes, size_t n, int sys);
/* Reads at once, and on. <fd>: taken, does not block from now on. */
FdReader *fd_reader_new(uv_loop_t *loop, int fd, FdReaderData *data, void *arg);
void fd_reader_pause(FdReader *r, bool pause);
void fd_reader_free(FdReader *r); /* NULL is fine */

typedef struct FdWriter FdWriter;
/* Each may be NULL. */
typedef struct {
    void (*on_drained)(void *arg); /* what could not be written at once is written */
    void (*on_ended)(void *arg);   /* after fd_writer_end(): all is written, and the descriptor closed (a socket's sending half) */
    void (*on_broken)(void *arg);  /* nobody reads any more; what is written is dropped */
} FdWriterOps;
FdWriter *fd_writer_new(uv_loop_t *loop, int fd /* taken, does not block from now on */, const FdWriterOps *ops /* borrowed */, void *arg);
void fd_writer_write(FdWriter *w, const void *bytes, size_t n); /* copied as far as it cannot be written at once */
void fd_writer_end(FdWriter *w);                                /* no more will be written */
size_t fd_writer_queued(const FdWriter *w);
void fd_writer_free(FdWriter *w); /* what is queued is dropped; NULL is fine */

#endif
