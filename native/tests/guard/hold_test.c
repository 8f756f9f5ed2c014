/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that holds GPU memory. Prints "ready". For each line of standard input it checks that
 * its memory is as written, writes it again with other values, and prints "good".
 *
 *   hold MIB SEED    holds MIB, in blocks of up to 70 MiB
 *   fill MIB         holds all that is free except MIB
 */
#include "suspendable.h"

enum { BLOCKS = 64 };

static CUdeviceptr at[BLOCKS];
static uint64_t bytes[BLOCKS];
static int blocks;

static void take(uint64_t missing)
{
    while (missing) {
        CHECK(blocks < BLOCKS);
        bytes[blocks] = missing < 70 * MIB ? missing : 70 * MIB;
        OK(cuMemAlloc_v2(&at[blocks], bytes[blocks]));
        missing -= bytes[blocks++];
    }
}

static void print_line(const char *line)
{
    CHECK(write(STDOUT_FILENO, line, strlen(line)) == (ssize_t)strlen(line));
}

static void answer(uint64_t seed)
{
    char line[16];
    for (uint64_t round = 0;; round++) {
        for (int i = 0; i < blocks; i++)
            write_pattern(at[i], bytes[i], seed + round + ((uint64_t)i << 40));
        print_line(round ? "good\n" : "ready\n");
        if (read(STDIN_FILENO, line, sizeof line) <= 0)
            return;
        for (int i = 0; i < blocks; i++)
            check_pattern(at[i], bytes[i], seed + round + ((uint64_t)i << 40));
    }
}

static void fill_card(uint64_t left)
{
    char line;
    size_t free, total;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    OK(cuMemGetInfo_v2(&free, &total));
    OK(cuMemAlloc_v2(&at[0], free - left));
    print_line("ready\n");
    CHECK(read(STDIN_FILENO, &line, 1) >= 0);
}

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    uint64_t amount = strtoull(arguments[2], NULL, 10) * MIB;
    if (strcmp(arguments[1], "fill") == 0) {
        fill_card(amount);
        return 0;
    }
    CHECK(count == 4);
    begin();
    take(amount);
    answer(strtoull(arguments[3], NULL, 10));
    return 0;
}
