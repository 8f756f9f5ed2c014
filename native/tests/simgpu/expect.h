/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: assertions that count failures and continue.
 * Owner: the test program, which returns `failures != 0`.
 * Threads: the main thread.
 * Limits: include it in one file of a program.
 */
#ifndef GS_TEST_EXPECT_H
#define GS_TEST_EXPECT_H

#include <stdio.h>

static int failures;

#define EXPECT(condition)                                                   \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                     \
        }                                                                   \
    } while (0)

#endif
