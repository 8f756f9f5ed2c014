/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what every test of the simulated driver needs: a machine, assertions, other processes.
 * Owner: the test program; the machine is removed at exit.
 * Threads: the main thread.
 * Limits: one machine per program. A failed assertion ends the program with exit code 1.
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

/* Creates a machine from key=value lines (machine/spec.h) and selects it for this process. */
void machine(const char *spec);
/* Runs `gpushare-sim-machine fault IMAGE words`. */
void fault(const char *words);
gs_image *image(void);
uint64_t used(int device);

/* Makes the primary context of GPU 0 current. */
CUcontext begin(void);
size_t free_memory(void);
extern const char kernels[]; /* PTX: spin, work, gs_fill, gs_saxpy, gs_poke */
CUfunction kernel(const char *name);
void spin(CUstream stream, uint64_t nanoseconds);

/* Another process: this program with `role` as its argument, and pipes to and from it. */
typedef struct other {
    pid_t pid;
    int to, from;
} other;
other start(const char *role);
void say(int fd, long long value);
long long hear(int fd);
int finish(other *process); /* closes, waits, returns its exit status (128 + signal) */

#endif
