/* replay.c - main() of a fuzz target in an ordinary build: runs each file of the corpus once, and its first half, and says so in
 * TAP. Each input lies in memory of its exact size, so that ASan sees the first byte read behind it. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { INPUT_MAX = 8 << 20 };

static uint8_t *read_all(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rbe");
    uint8_t *buf = malloc(INPUT_MAX);
    if (!f || !buf)
        abort();
    *ret_n = fread(buf, 1, INPUT_MAX, f);
    fclose(f);
    return buf;
}

static void run_exact(const uint8_t *data, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        abort();
    memcpy(exact, data, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    if (!d) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
        return 2;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[4096];
        size_t n;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        uint8_t *data = read_all(path, &n);
        run_exact(data, n);
        run_exact(data, n / 2);
        free(data);
        printf("ok %u - %s\n", ++count, e->d_name);
    }
    closedir(d);
    run_exact((const uint8_t *)"", 0);
    printf("1..%u\n", count);
    return count ? 0 : 1; /* an empty corpus proves nothing */
}
