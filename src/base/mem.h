/* mem.h - memory and clean-up idioms.
 *
 * Out of memory aborts: the agent is crash-only (facts are read anew, shims live on), and input sizes are bounded
 * before anything is allocated for them. */
#ifndef REPRISE_BASE_MEM_H
#define REPRISE_BASE_MEM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* SCOPED(fn) declares a variable that fn() releases when it goes out of scope. SCOPED_FN makes fn usable so: it defines
 * fn_at(), which keeps errno and leaves <empty> behind. Empty is NULL for a pointer, -EBADF for a descriptor. */
/* unused: clang does not count the clean-up as a use. */
#define SCOPED(fn) __attribute__((cleanup(fn##_at), unused))
#define SCOPED_FN(fn, T, empty)                                                                                        \
    static inline UNUSED void fn##_at(T *p_)                                                                           \
    {                                                                                                                  \
        int saved_ = errno;                                                                                            \
        fn(*p_);                                                                                                       \
        *p_ = (empty);                                                                                                 \
        errno = saved_;                                                                                                \
    }
/* Hands a value over and leaves <empty> in its place: return MOVE(fd, -EBADF); */
#define MOVE(v, empty)                                                                                                 \
    ({                                                                                                                 \
        __typeof__(v) moved_ = (v);                                                                                    \
        (v) = (empty);                                                                                                 \
        moved_;                                                                                                        \
    })

/* All of these abort when memory is out; none returns NULL (mem_dup_str of NULL does). */
MUST_USE void *mem_alloc(size_t size);                        /* zeroed */
MUST_USE void *mem_alloc_n(size_t n, size_t size);            /* zeroed, overflow-checked */
MUST_USE void *mem_grow(void *p, size_t n, size_t size);      /* realloc to n*size, overflow-checked; new part is not zeroed */
MUST_USE char *mem_dup_str(const char *s);                    /* NULL -> NULL */
MUST_USE char *mem_dup_strn(const char *s, size_t n);         /* copies at most n bytes, adds NUL */
MUST_USE void *mem_dup(const void *p, size_t size);
MUST_USE char *mem_fmt(const char *fmt, ...) PRINTF_LIKE(1, 2); /* asprintf */
void mem_free(void *p);
static inline UNUSED void mem_free_at(void *pp)
{
    int saved = errno;
    void *p;
    memcpy(&p, pp, sizeof p);
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof p);
    errno = saved;
}
#define NEW(T) ((T *)mem_alloc(sizeof(T)))

/* Replaces an owned string: frees *dst, stores a copy of src (NULL allowed). */
void mem_set_str(char **dst, const char *src);

#endif
