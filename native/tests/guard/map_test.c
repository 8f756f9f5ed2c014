/* SPDX-License-Identifier: Apache-2.0 */
/* The hash map against a plain array, with keys that collide. */
#include <string.h>

#include "check.h"
#include "base/map.h"

enum { KEYS = 600, STEPS = 200000 };

int main(void)
{
    struct gs_map map = {0};
    uint64_t model[KEYS] = {0};
    size_t count = 0;
    unsigned seed = 1;
    for (int step = 0; step < STEPS; step++) {
        unsigned k = (unsigned)rand_r(&seed) % KEYS;
        uint64_t key = 0x7f0000000000ull + (uint64_t)k * (2ull << 20);
        struct gs_entry *entry = gs_map_find(&map, GS_POINTER, key);
        CHECK((entry != NULL) == (model[k] != 0));
        CHECK(!entry || entry->bytes == model[k]);
        CHECK(!gs_map_find(&map, GS_HANDLE, key));
        if (entry && rand_r(&seed) % 2) {
            gs_map_remove(&map, entry);
            model[k] = 0;
            count--;
        } else {
            count += model[k] == 0;
            model[k] = (uint64_t)step + 1;
            CHECK(
                gs_map_put(&map,
                           &(struct gs_entry){.space = GS_POINTER, .key = key, .bytes = model[k]}));
        }
        CHECK(map.count == count);
    }
    free(map.entries);
    return 0;
}
