/* stamp.c - what the benchmarks run in every container: a static program whose first act is to look at the clock.
 *
 *   stamp init NUMBER      records its start and exits 0
 *   stamp main NUMBER      records its start and waits to be killed
 *   stamp trigger NUMBER   records its start, waits for the board's go, records its exit, exits 88
 *   stamp take NUMBER      records its start, takes an item from the board's queue into $STAMP_DIR/item.POD, exits 0
 *   stamp work NUMBER      records its start, reads that item and removes it, records its exit, exits 88; "last" as a third
 *                          argument makes that 0, "alone" too, and it takes the item itself
 *
 * NUMBER is written into the records on $STAMP_DIR/board (default /stamps): see board.h. POD is NUMBER / 2, as the Pods of the
 * task benchmark have two containers. */
#include <signal.h>
#include <string.h>

#include "board.h"

#define FAILED 70
#define TRIGGER 88

static _Noreturn void forever(void)
{
    for (;;)
        (void)pause();
}

static void item_path(char *path, size_t n, const char *dir, unsigned who)
{
    (void)snprintf(path, n, "%s/item.%u", dir, who / 2);
}

static void take(Board *b, const char *dir, unsigned who)
{
    char path[256];
    board_sleep(&b->held, 1);
    item_path(path, sizeof path, dir, who);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%u\n", __atomic_fetch_add(&b->item, 1, __ATOMIC_SEQ_CST)) < 2)
        _exit(FAILED);
    (void)close(fd);
}

/* The work on an item is trivial: what is measured is everything round it. */
static void work(const char *dir, unsigned who)
{
    char path[256], item[16];
    item_path(path, sizeof path, dir, who);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, item, sizeof item) < 2 || unlink(path) < 0)
        _exit(FAILED);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    int64_t start = now_ns();
    const char *dir = getenv("STAMP_DIR"), *role = argc > 2 ? argv[1] : "", *how = argc > 3 ? argv[3] : "";
    if (!dir)
        dir = "/stamps";
    Board *b = board_open(dir);
    if (!b || !*role)
        return FAILED;
    unsigned who = (unsigned)strtoul(argv[2], NULL, 10);
    uint32_t go = __atomic_load_n(&b->go, __ATOMIC_SEQ_CST); /* before the start is told: no go after that is missed */
    board_put(b, who, BOARD_START, start);
    if (strcmp(role, "init") == 0)
        return 0;
    if (strcmp(role, "take") == 0) {
        take(b, dir, who);
        return 0;
    }
    if (strcmp(role, "trigger") == 0)
        board_sleep(&b->go, go);
    else if (strcmp(role, "work") == 0) {
        if (strcmp(how, "alone") == 0)
            take(b, dir, who);
        work(dir, who);
    } else
        forever();
    board_put(b, who, BOARD_EXIT, now_ns());
    _exit(*how ? 0 : TRIGGER);
}
