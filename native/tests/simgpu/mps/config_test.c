/* SPDX-License-Identifier: Apache-2.0 */
/* What users write to MPS: sizes, percentages, limits, and invalid forms of each. */
#include <stdlib.h>
#include <string.h>

#include "mps/config.h"
#include "mps/state.h"
#include "../expect.h"

static void sizes(void)
{
    uint64_t bytes;
    EXPECT(mps_parse_bytes("4G", &bytes) && bytes == 4ull << 30);
    EXPECT(mps_parse_bytes("512m", &bytes) && bytes == 512ull << 20);
    EXPECT(mps_parse_bytes("0", &bytes) && bytes == 0);
    EXPECT(!mps_parse_bytes("", &bytes) && !mps_parse_bytes("G", &bytes)
           && !mps_parse_bytes("-1G", &bytes));
    EXPECT(!mps_parse_bytes("4GiB", &bytes) && !mps_parse_bytes("4T", &bytes));
}

static void percentages(void)
{
    uint32_t percent;
    EXPECT(mps_parse_percent("25", &percent) && percent == 25);
    EXPECT(mps_parse_percent("0.5", &percent) && percent == 1);
    EXPECT(!mps_parse_percent("0", &percent) && !mps_parse_percent("101", &percent));
    EXPECT(!mps_parse_percent("nan", &percent) && !mps_parse_percent("x", &percent)
           && !mps_parse_percent("", &percent));
}

static void last_entry_wins(void)
{
    mps_limits limits;
    mps_limits_clear(&limits);
    EXPECT(mps_limits_pin_list(&limits, "0=4G,GPU-one=2G"));
    EXPECT(mps_limits_pinned(&limits, 0) == 2ull << 30);
    EXPECT(mps_limits_pin(&limits, "0", 3ull << 30));
    EXPECT(mps_limits_pinned(&limits, 0) == 3ull << 30);
    EXPECT(mps_limits_pinned(&limits, 1) == GS_NO_LIMIT);
    EXPECT(!mps_limits_pin_list(&limits, "0") && !mps_limits_pin_list(&limits, "0=lots"));
    for (int i = 0; i < 2 * MPS_MAX_PINNED; i++) {
        char device[16];
        snprintf(device, sizeof device, "d%d", i);
        mps_limits_pin(&limits, device, 1);
    }
    EXPECT(!mps_limits_pin(&limits, "one-too-many", 1));
}

static void visible_devices(void)
{
    mps_find_devices(NULL);
    EXPECT(mps.device_count == 2);
    mps_find_devices("GPU-two,0");
    EXPECT(mps.device_count == 2 && mps.devices[0] == 1 && mps_device_of("1") == 0);
    mps_find_devices("9,0");
    EXPECT(mps.device_count == 0 && mps_device_of("0") == -1);
    mps_find_devices(NULL);
}

int main(void)
{
    mps.image = calloc(1, sizeof *mps.image);
    mps.image->gpus = 2;
    for (int i = 0; i < 2; i++) {
        mps.image->devices[i].present = true;
        strcpy(mps.image->devices[i].uuid, i == 0 ? "GPU-one" : "GPU-two");
    }
    visible_devices();
    sizes();
    percentages();
    last_entry_wins();
    free(mps.image);
    return failures != 0;
}
