/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test of the simulated driver needs: a machine of its own, assertions, other processes.
 */
#ifndef GS_TEST_MACHINE_H
#define GS_TEST_MACHINE_H

#include "machine/image.h"
#include "gs_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MiB (1ull << 20)
#define GiB (1ull << 30)

#define ASSERT(condition)                                                   \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)
#define EQUAL(actual, expected)                                                                    \
    do {                                                                                           \
        long long a_ = (long long)(actual), e_ = (long long)(expected);                            \
        if (a_ != e_) {                                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual, a_, e_); \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define OK(call) EQUAL(call, CUDA_SUCCESS)

/* Make a machine from key=value lines (image.h), name it to this process; removed at exit. */
void machine(const char *spec);
/* Run `gpushare-sim-machine fault IMAGE words`. */
void fault(const char *words);
/* The machine's image as the tests see it. */
gs_image *image(void);
uint64_t used(int device);

/* The primary context of GPU 0, current. */
CUcontext begin(void);
size_t free_memory(void);
extern const char kernels[]; /* PTX: spin, work, gs_fill, gs_saxpy, gs_poke */
CUfunction kernel(const char *name);
void spin(CUstream stream, uint64_t nanoseconds);

/*
 * Another process: this program again, with `role` as its argument; it reads and writes through
 * pipes.
 */
typedef struct other {
    pid_t pid;
    int to, from;
} other;
other start(const char *role);
void say(int fd, long long value);
long long hear(int fd);
int finish(other *process); /* closes, waits, returns its exit status (128 + signal) */

#endif
