// SPDX-License-Identifier: Apache-2.0
// The v3 dialect's words and tables.
#ifndef GS_SIM_MPS_V3_H
#define GS_SIM_MPS_V3_H

#include "mps/mps.h"

enum { V3_COLUMNS = 8, V3_CELL = 160 };

// `module verb [NAME...] --option=value --flag`
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

const char *v3_option(const v3_call *call, const char *key); // NULL: not given
void v3_error(const v3_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
void v3_row(const v3_call *call, int count, char cells[][V3_CELL]);
void v3_header(const v3_call *call, const char *comma_list);
bool v3_is_name(const char *name);
// Takes the three limits a namespace has from the options; false after an error.
bool v3_limits(const v3_call *call, mps_limits *limits);
bool v3_set_limit(mps_limits *limits, const char *key, const char *value);
void v3_show_limits(const mps_limits *limits, char cells[3][V3_CELL]);

// mps_v3_server.c
mps_server *v3_server_create(const char *name, uint32_t uid, const mps_limits *limits, uint64_t devices);
uint64_t v3_devices(const char *list); // NULL: every device of the daemon
bool v3_namespace_create(int server, const char *name, const mps_limits *limits);
void v3_server(v3_call *call);
void v3_namespace(v3_call *call);
// mps_v3_rest.c
void v3_client(v3_call *call);
void v3_device(v3_call *call);
void v3_sm_partition(v3_call *call);
void v3_feature(v3_call *call);
void v3_memacct(v3_call *call);
bool v3_feature_set(const char *name, bool on);

#endif
