/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/dialect/v3.h"

#include <string.h>

#include "mps/dialect/v3_call.h"
#include "mps/dialect/v3_resources.h"
#include "mps/dialect/v3_server.h"
#include "mps/dialect/words.h"
#include "mps/log.h"
#include "mps/state.h"

static const struct {
    const char *name;
    void (*run)(v3_call *call);
} modules[] = {{"server", v3_server},
               {"namespace", v3_namespace},
               {"client", v3_client},
               {"device", v3_device},
               {"feature", v3_feature},
               {"memacct", v3_memacct},
               {"sm-partition", v3_sm_partition}};

void mps_v3(char *line, FILE *out)
{
    char *words[MPS_MAX_WORDS];
    mps_log("%s", line);
    const int count = mps_words(line, words);
    v3_call call = {.module = count > 0 ? words[0] : "",
                    .verb = count > 1 ? words[1] : "",
                    .out = out};
    if (count == 1 && strcmp(words[0], "quit") == 0) {
        mps.quitting = true;
        return;
    }
    if (count > 2)
        v3_read_words(&call, count - 2, words + 2);
    if (!v3_choose_format(&call))
        return;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (strcmp(modules[i].name, call.module) == 0) {
            modules[i].run(&call);
            return;
        }
    v3_error(&call, "unknown module \"%s\"", call.module);
}
