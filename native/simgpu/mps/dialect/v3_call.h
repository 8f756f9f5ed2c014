/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one command of protocol 3: its words, its options, and how its answer is written.
 * Owner: the words point into the command line.
 * Threads: one.
 * Limits: V3_COLUMNS columns, cells are cut at V3_CELL - 1 characters.
 */
#ifndef GS_SIM_MPS_V3_CALL_H
#define GS_SIM_MPS_V3_CALL_H

#include "mps/state.h"

enum { V3_COLUMNS = 8, V3_CELL = 160 };

/* `module verb [NAME...] --option=value --flag` */
typedef struct {
    const char *module, *verb;
    int name_count, option_count;
    char *names[MPS_MAX_WORDS];
    struct {
        char *key, *value; // value "" for a flag
    } options[MPS_MAX_WORDS];
    bool csv, header;
    FILE *out;
} v3_call;

const char *v3_option(const v3_call *call, const char *key); /* NULL: not given */
void v3_error(const v3_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void v3_unknown_verb(const v3_call *call);
void v3_row(const v3_call *call, int count, char cells[][V3_CELL]);
void v3_header(const v3_call *call, const char *comma_list);
bool v3_is_name(const char *name);
/* Takes the three limits a namespace has from the options; false after an error. */
bool v3_limits(const v3_call *call, mps_limits *limits);
bool v3_set_limit(mps_limits *limits, const char *key, const char *value);
void v3_show_limits(const mps_limits *limits, char cells[3][V3_CELL]);

void v3_read_words(v3_call *call, int count, char **words);
bool v3_choose_format(v3_call *call); /* false after an error */

#endif
