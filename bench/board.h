/* board.h - a page of memory that everything measured shares with the driver: who started when, and what all wait for.
 *
 * The file "board" lies on a tmpfs and is seen as $STAMP_DIR/board (default /stamps) in every container, whatever started it.
 * A futex in it wakes all triggers at once, and another wakes the driver only when the last expected record is there: the
 * driver neither polls nor wakes in between, so on a machine with two cores it does not disturb what it measures.
 * bench/lib/board.py is the driver's side; both say the same layout. */
#ifndef BENCH_BOARD_H
#define BENCH_BOARD_H

#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BOARD_RECORDS 8192u /* a ring: more than 500 Pods leave in one restart */

enum { BOARD_START = 1, BOARD_EXIT = 2 };

typedef struct {
    uint32_t go;    /* futex: triggers exit when it changes */
    uint32_t done;  /* futex: changes when <count> has reached <want> */
    uint32_t next;  /* records taken; the record is <next> modulo BOARD_RECORDS */
    uint32_t count; /* records written */
    uint32_t want;
    uint32_t item;  /* the queue of the task benchmark: the next item to take */
    uint32_t held;  /* futex: 1 = nobody takes an item */
    uint32_t unused[9];
    struct {
        int64_t ns; /* CLOCK_MONOTONIC */
        uint32_t who, what;
    } records[BOARD_RECORDS];
} Board;

static inline int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline Board *board_open(const char *dir)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/board", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static inline void board_put(Board *b, uint32_t who, uint32_t what, int64_t ns)
{
    uint32_t i = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED) % BOARD_RECORDS;
    b->records[i].who = who;
    b->records[i].what = what;
    b->records[i].ns = ns;
    if (__atomic_add_fetch(&b->count, 1, __ATOMIC_SEQ_CST) == __atomic_load_n(&b->want, __ATOMIC_SEQ_CST)) {
        (void)__atomic_add_fetch(&b->done, 1, __ATOMIC_SEQ_CST);
        (void)syscall(SYS_futex, &b->done, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
    }
}

/* Sleeps until <word> is no longer <seen>. */
static inline void board_sleep(uint32_t *word, uint32_t seen)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen)
        (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

#endif
