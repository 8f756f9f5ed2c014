/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's memory limits per cgroup (r615): what counts against them, and what does not. */
#include "machine.h"

static void set_limit(int index, const char *cgroup, uint64_t hard)
{
    gs_image_lock(image());
    gs_limit *limit = &image()->limits[index];
    *limit = (gs_limit){.present = true, .device = 0, .soft = 0, .hard = hard};
    snprintf(limit->cgroup, sizeof limit->cgroup, "/sys/fs/cgroup%s", cgroup);
    gs_image_unlock(image());
}

static void a_limit_refuses_more(void)
{
    CUdeviceptr first, second;
    OK(cuMemAlloc_v2(&first, 700 * MiB));
    EQUAL(cuMemAlloc_v2(&second, 100 * MiB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cuMemAlloc_v2(&second, 60 * MiB));
    OK(cuMemFree_v2(first));
    OK(cuMemFree_v2(second));
}

/* The driver counts managed memory as system memory. */
static void managed_memory_does_not_count_against_a_limit(void)
{
    CUdeviceptr managed, device;
    OK(cuMemAllocManaged(&managed, 512 * MiB, CU_MEM_ATTACH_GLOBAL));
    OK(cuMemAlloc_v2(&device, 700 * MiB));
    OK(cuMemFree_v2(device));
    OK(cuMemFree_v2(managed));
}

static int role_neighbor(void)
{
    CUdeviceptr at;
    begin();
    OK(cuMemAlloc_v2(&at, 1500 * MiB));
    say(1, 0);
    hear(0);
    return 0;
}

/* A neighbor has used up the limit of the parent; a leaf's own limit still has room. */
static void managed_memory_is_resident_beyond_a_full_limit(void)
{
    CUdeviceptr managed;
    setenv("GPUSHARE_SIM_CGROUP", "/team/neighbor", 1);
    other neighbor = start("neighbor");
    hear(neighbor.from);
    uint64_t before = used(0);
    OK(cuMemAllocManaged(&managed, 512 * MiB, CU_MEM_ATTACH_GLOBAL));
    EQUAL(used(0) - before, 512 * MiB);
    OK(cuMemFree_v2(managed));
    say(neighbor.to, 0);
    EQUAL(finish(&neighbor), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "neighbor") == 0 ? role_neighbor() : 2;
    machine("driver=615.1.0\ngpus=1\ngpu.0.memory=8589934592\ngpu.0.context=268435456\n");
    setenv("GPUSHARE_SIM_CGROUP", "/team/job", 1);
    set_limit(0, "/team", 2200 * MiB);
    set_limit(1, "/team/job", 1024 * MiB);
    begin();
    a_limit_refuses_more();
    managed_memory_does_not_count_against_a_limit();
    managed_memory_is_resident_beyond_a_full_limit();
    puts("ok: cgroup limits");
    return 0;
}
