/* SPDX-License-Identifier: Apache-2.0 */
#include "region_view.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share/region.h"

static const struct gs_region *region;
static const char *path = "";
static uint64_t denied_before;

static uint64_t denied(void)
{
    uint64_t sum = 0;
    for (uint32_t gpu = 0; region && gpu < region->gpu_count && gpu < GS_GPUS; gpu++)
        sum += __atomic_load_n(&region->gpu[gpu].denied, __ATOMIC_RELAXED);
    return sum;
}

static const struct gs_region *map(int file)
{
    struct stat status;
    if (file < 0 || fstat(file, &status) || (uint64_t)status.st_size < sizeof(struct gs_region))
        return NULL;
    const struct gs_region *mapped = mmap(NULL, sizeof *mapped, PROT_READ, MAP_SHARED, file, 0);
    bool ours = mapped != MAP_FAILED && mapped->magic == GS_REGION_MAGIC
                && mapped->version == GS_REGION_VERSION;
    return ours ? mapped : NULL;
}

void region_open(void)
{
    const char *name = getenv("GPUSHARE_REGION");
    if (!name || !*name)
        return;
    path = name;
    int file = open(name, O_RDONLY | O_CLOEXEC);
    region = map(file);
    if (file >= 0)
        close(file);
    denied_before = denied();
}

bool region_attached(void)
{
    for (uint32_t slot = 0; region && slot < GS_REGION_SLOTS; slot++)
        if (__atomic_load_n(&region->slot[slot].pid, __ATOMIC_RELAXED) == getpid())
            return true;
    return false;
}

void region_write(struct json *json)
{
    json_open(json, "guard", '{');
    json_bool(json, "loaded", dlsym(RTLD_DEFAULT, "gpushare_region_create") != NULL);
    json_text(json, "region", path);
    json_bool(json, "mapped", region != NULL);
    json_bool(json, "attached", region_attached());
    json_number(json, "denied", (int64_t)(denied() - denied_before));
    json_close(json, '}');
}
