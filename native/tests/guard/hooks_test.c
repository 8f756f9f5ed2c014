/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs under the guard. With `all` it runs itself once per scenario, with the guard preloaded
 * and a new region of 64 MiB with contexts of 2 MiB, and checks the region afterwards.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "gs_cuda.h"
#include "share/region.h"

#define MIB (1ull << 20)

enum { PROCESSES = 8, THREADS = 4, ROUNDS = 400, HELD = 24 };

static const char *guard, *driver, *next_library, *linked;
static char region_path[64], counter_path[64];

static struct {
    cuMemAlloc_v2_fn *alloc;
    cuMemFree_v2_fn *free;
    cuMemGetInfo_v2_fn *info;
    cuDevicePrimaryCtxRetain_fn *retain;
    cuDevicePrimaryCtxRelease_v2_fn *release;
    cuCtxSetCurrent_fn *set;
    cuGetProcAddress_v2_fn *address;
    void *handle;
} cu;

static void load(void)
{
    cu.handle = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    CHECK(cu.handle);
    cu.alloc = dlsym(cu.handle, "cuMemAlloc_v2");
    cu.free = dlsym(cu.handle, "cuMemFree_v2");
    cu.info = dlsym(cu.handle, "cuMemGetInfo_v2");
    cu.retain = dlsym(cu.handle, "cuDevicePrimaryCtxRetain");
    cu.release = dlsym(cu.handle, "cuDevicePrimaryCtxRelease_v2");
    cu.set = dlsym(cu.handle, "cuCtxSetCurrent");
    cu.address = dlsym(cu.handle, "cuGetProcAddress_v2");
}

static void start(CUdevice device)
{
    CUcontext context;
    load();
    CHECK(cu.retain(&context, device) == CUDA_SUCCESS && cu.set(context) == CUDA_SUCCESS);
}

static struct gs_region *region(void)
{
    struct gs_region *mapped = gs_region_map(region_path);
    CHECK(mapped);
    return mapped;
}

static uint64_t used(void)
{
    struct gs_region *mapped = region();
    uint64_t bytes = gs_region_used(mapped, 0);
    gs_region_unmap(mapped);
    return bytes;
}

static void by_dlsym(void)
{
    CUdeviceptr a, b;
    start(0);
    CHECK(used() == 2 * MIB);
    CHECK(cu.alloc(&a, 62 * MIB) == CUDA_SUCCESS && used() == 64 * MIB);
    CHECK(cu.alloc(&b, 1) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(cu.free(a) == CUDA_SUCCESS && used() == 2 * MIB);
    CHECK(cu.alloc(&a, SIZE_MAX) == CUDA_ERROR_OUT_OF_MEMORY && used() == 2 * MIB);
    CHECK(cu.alloc(&a, 0) == CUDA_ERROR_INVALID_VALUE && used() == 2 * MIB);
    CHECK(cu.alloc(NULL, MIB) == CUDA_ERROR_INVALID_VALUE && used() == 2 * MIB);
    CHECK(cu.free(0) == CUDA_ERROR_INVALID_VALUE);
    CHECK(dlvsym(RTLD_DEFAULT, "getpid", "GLIBC_2.2.5") == (void *)getpid);
    CHECK(!dlsym(cu.handle, "cuNoSuchCall") && dlerror());
    CHECK(dlsym(cu.handle, "cuMemAlloc_v2") && !dlerror());
}

static void by_small_blocks(void)
{
    CUdeviceptr small[5000];
    start(0);
    for (int i = 0; i < 4096; i++)
        CHECK(cu.alloc(&small[i], 500) == CUDA_SUCCESS);
    CHECK(used() == 4 * MIB); /* 4096 x 512 bytes are one page, plus the context */
    CHECK(cu.alloc(&small[4096], 1) == CUDA_SUCCESS && used() == 6 * MIB);
    for (int i = 0; i <= 4096; i++)
        CHECK(cu.free(small[i]) == CUDA_SUCCESS);
    CHECK(used() == 2 * MIB);
    CHECK(cu.alloc(&small[0], 3 * MIB) == CUDA_SUCCESS && used() == 6 * MIB);
}

static void by_proc_address(void)
{
    void *function;
    CUdriverProcAddressQueryResult status = 99;
    start(0);
    CHECK(cu.address("cuMemAlloc", &function, 13000, 0, &status) == CUDA_SUCCESS && status == 0);
    CUdeviceptr a;
    CHECK(((cuMemAlloc_v2_fn *)function)(&a, 63 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(((cuMemAlloc_v2_fn *)function)(&a, 60 * MIB) == CUDA_SUCCESS);
    CHECK(cu.free(a) == CUDA_SUCCESS);

    unsigned narrow[2] = {0, 0xabcd};
    CHECK(cu.address("cuMemAlloc", &function, 2000, 0, NULL) == CUDA_SUCCESS);
    CHECK(((CUresult (*)(unsigned *, unsigned))function)(narrow, 4 * MIB) == CUDA_SUCCESS);
    CHECK(narrow[1] == 0xabcd && used() == 6 * MIB); /* in the requested ABI, and charged */
    CHECK(((CUresult (*)(unsigned *, unsigned))function)(narrow, 63 * MIB)
          == CUDA_ERROR_OUT_OF_MEMORY);

    CHECK(cu.address("cuMemAlloc", &function, 99000, 0, &status) == CUDA_SUCCESS);
    CHECK(region()->unhooked == 1); /* newer than the guard knows: returned as it is, and counted */
    CHECK(cu.address("cuNothing", &function, 13000, 77, &status) == CUDA_ERROR_NOT_FOUND);
    CHECK(status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    CHECK(cu.address("cuGetProcAddress", &function, 12000, 0, NULL) == CUDA_SUCCESS
          && function == cu.address);
}

static void by_memory_info(void)
{
    size_t free = 1, total = 1;
    CUdeviceptr a;
    start(0);
    CHECK(cu.alloc(&a, 10 * MIB) == CUDA_SUCCESS);
    CHECK(cu.info(NULL, NULL) == CUDA_SUCCESS);
    CHECK(cu.info(&free, NULL) == CUDA_SUCCESS && free == 52 * MIB);
    CHECK(cu.info(NULL, &total) == CUDA_SUCCESS && total == 64 * MIB);
    CHECK(
        gpushare_region_set_limit(region_path, "GPU-11111111-1111-1111-1111-111111111111", 8 * MIB)
        == 0);
    CHECK(cu.info(&free, &total) == CUDA_SUCCESS && free == 0 && total == 8 * MIB);
    CHECK(cu.alloc(&a, 1) == CUDA_ERROR_OUT_OF_MEMORY);
}

static void without_a_driver(void)
{
    CHECK(!dlsym(RTLD_DEFAULT, "cuMemAlloc_v2") && dlerror());
    CHECK(!dlsym(RTLD_DEFAULT, "cuInit"));
    CHECK(dlsym(RTLD_DEFAULT, "getpid") && dlsym(RTLD_NEXT, "getpid"));
}

static void after_reset(void)
{
    CUdeviceptr a;
    start(0);
    CHECK(cu.alloc(&a, 20 * MIB) == CUDA_SUCCESS && used() == 22 * MIB);
    CHECK(cu.release(0) == CUDA_SUCCESS && used() == 0);
}

static void unlisted(void)
{
    CUdeviceptr a;
    start(1);
    CHECK(cu.alloc(&a, 100 * MIB) == CUDA_SUCCESS && used() == 0 && region()->unlisted == 2);
}

/* A context that no interposed call created, as those of green contexts and export tables. */
static void unseen_context(void)
{
    CUdeviceptr a;
    load();
    CHECK(cu.set((CUcontext)0x1000) == CUDA_SUCCESS && used() == 0);
    CHECK(cu.alloc(&a, 10 * MIB) == CUDA_SUCCESS && used() == 12 * MIB);
    CHECK(cu.alloc(&a, 60 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
}

static void forked(void)
{
    CUdeviceptr a;
    start(0);
    CHECK(cu.alloc(&a, 10 * MIB) == CUDA_SUCCESS);
    pid_t child = fork();
    if (child == 0) {
        CHECK(cu.free(a) == CUDA_SUCCESS && used() == 12 * MIB); /* not charged to the child */
        start(0);
        CHECK(cu.alloc(&a, 20 * MIB) == CUDA_SUCCESS && used() == 34 * MIB);
        CHECK(region()->slots_high == 2);
        CHECK(region()->slot[1].unmovable == GS_UNMOVABLE_LEGACY); /* its own alone */
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(cu.alloc(&a, 40 * MIB) == CUDA_SUCCESS
          && used() == 52 * MIB); /* the dead child's memory is free */
}

static void executed(void)
{
    CUdeviceptr a;
    if (getenv("AGAIN")) {
        start(0);
        CHECK(cu.alloc(&a, 60 * MIB) == CUDA_SUCCESS && used() == 62 * MIB); /* of 64 */
        return;
    }
    start(0);
    CHECK(cu.alloc(&a, 10 * MIB) == CUDA_SUCCESS && used() == 12 * MIB);
    setenv("AGAIN", "1", 1);
    execl("/proc/self/exe", "hooks_test", "executed", guard, driver, next_library, linked, NULL);
}

static void *race(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    CUcontext context;
    CHECK(cu.retain(&context, 0) == CUDA_SUCCESS && cu.set(context) == CUDA_SUCCESS);
    CUdeviceptr held[HELD] = {0};
    for (int i = 0; i < ROUNDS + HELD; i++) {
        CUdeviceptr *place = &held[i % HELD];
        CHECK(!*place || cu.free(*place) == CUDA_SUCCESS);
        *place = 0;
        if (i >= ROUNDS)
            continue;
        CUresult result = cu.alloc(place, (rand_r(&seed) % 5 + 1) * 2 * MIB);
        CHECK(result == CUDA_SUCCESS || (result == CUDA_ERROR_OUT_OF_MEMORY && !*place));
    }
    return NULL;
}

static void raced(void)
{
    for (int p = 0; p < PROCESSES; p++) {
        if (fork())
            continue;
        pthread_t threads[THREADS];
        unsigned seeds[THREADS];
        CUcontext context;
        load();
        while (cu.retain(&context, 0) == CUDA_ERROR_OUT_OF_MEMORY)
            sched_yield(); /* the other processes may have all of it now */
        for (int t = 0; t < THREADS; t++) {
            seeds[t] = (unsigned)(p * THREADS + t);
            pthread_create(&threads[t], NULL, race, &seeds[t]);
        }
        for (int t = 0; t < THREADS; t++)
            pthread_join(threads[t], NULL);
        _exit(0);
    }
    for (int p = 0, status; p < PROCESSES; p++)
        CHECK(wait(&status) > 0 && status == 0);
    struct {
        uint64_t used, peak;
    } counter;
    int fd = open(counter_path, O_RDONLY);
    CHECK(read(fd, &counter, sizeof counter) == sizeof counter);
    struct gs_region *mapped = region();
    CHECK(counter.used == 0 && counter.peak <= 64 * MIB - 2 * MIB && counter.peak > 32 * MIB);
    CHECK(mapped->gpu[0].peak <= 64 * MIB && mapped->gpu[0].denied > 0);
}

static int open_files(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void without_traces(void)
{
    int files = open_files();
    mode_t mask = umask(022);
    CHECK(mask == 027);
    umask(mask);
    CUdeviceptr a;
    start(0);
    errno = 4711;
    CHECK(cu.alloc(&a, 10 * MIB) == CUDA_SUCCESS
          && cu.alloc(&a, 99 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(errno == 4711 && dlsym(cu.handle, "cuMemAlloc_v2") && errno == 4711);
    CHECK(open_files() == files && umask(0) == mask);
#if !defined(__SANITIZE_ADDRESS__) \
    && !defined(__SANITIZE_THREAD__) /* these handle signals themselves */
    for (int signal = 1; signal < 32; signal++) {
        struct sigaction action;
        CHECK(sigaction(signal, NULL, &action) < 0 || action.sa_handler == SIG_DFL);
    }
#endif
    CHECK(strcmp(getenv("LD_PRELOAD"), guard) == 0);
}

static void behind_another_library(void)
{
    CHECK(getppid() > 1000000);
}

static void open_when_corrupt(void)
{
    CUdeviceptr a;
    CHECK(truncate(region_path, 100) == 0);
    if (!getenv("AGAIN")) {
        setenv("AGAIN", "1", 1);
        execl("/proc/self/exe", "hooks_test", "open_when_corrupt", guard, driver, next_library,
              linked, NULL);
    }
    start(0);
    CHECK(cu.alloc(&a, 100 * MIB) == CUDA_SUCCESS);
    struct stat info;
    CHECK(stat(getenv("GPUSHARE_GUARD_LOG"), &info) == 0 && info.st_size > 0);
}

static const struct scenario {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"by_dlsym", by_dlsym},
    {"by_small_blocks", by_small_blocks},
    {"by_proc_address", by_proc_address},
    {"by_memory_info", by_memory_info},
    {"without_a_driver", without_a_driver},
    {"after_reset", after_reset},
    {"unlisted", unlisted},
    {"unseen_context", unseen_context},
    {"forked", forked},
    {"executed", executed},
    {"raced", raced},
    {"without_traces", without_traces},
    {"behind_another_library", behind_another_library},
    {"linked", NULL},
    {"open_when_corrupt", open_when_corrupt},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static void prepare(const struct scenario *scenario, const char *log)
{
    char preload[8192];
    bool two = strcmp(scenario->name, "behind_another_library") == 0;
    snprintf(preload, sizeof preload, "%s%s%s", guard, two ? ":" : "", two ? next_library : "");
    setenv("LD_PRELOAD", preload, 1);
    setenv("LD_LIBRARY_PATH", driver, 1);
    setenv("GPUSHARE_REGION", region_path, 1);
    setenv("GPUSHARE_GUARD_LOG", log, 1);
    setenv("FAKE_CUDA_COUNTER", counter_path, 1);
    umask(027);
}

static void run_under_guard(const struct scenario *scenario)
{
    const struct gpushare_grant grant = {"GPU-11111111-1111-1111-1111-111111111111", 64 * MIB,
                                         2 * MIB, 0};
    char log[80];
    int status;
    snprintf(log, sizeof log, "%s.log", region_path);
    CHECK(gpushare_region_create(region_path, &grant, 1) == 0);
    pid_t child = fork();
    if (child == 0) {
        prepare(scenario, log);
        execl(scenario->run ? "/proc/self/exe" : linked, "hooks_test", scenario->name, guard,
              driver, next_library, linked, NULL);
    }
    CHECK(waitpid(child, &status, 0) == child);
    fprintf(stderr, "%s %s\n", status ? "FAILED" : "ok", scenario->name);
    unlink(region_path);
    unlink(counter_path);
    unlink(log);
    CHECK(status == 0);
}

/* hooks_test SCENARIO|all GUARD DRIVER-FOLDER NEXT-LIBRARY LINKED-PROGRAM */
int main(int count, char **arguments)
{
    CHECK(count == 6);
    guard = arguments[2];
    driver = arguments[3];
    next_library = arguments[4];
    linked = arguments[5];
    bool all = strcmp(arguments[1], "all") == 0;
    snprintf(region_path, sizeof region_path, "/tmp/gs-hooks-test-%d", (int)getpid());
    if (!all)
        snprintf(region_path, sizeof region_path, "%s", getenv("GPUSHARE_REGION"));
    snprintf(counter_path, sizeof counter_path, "%.50s.counter", region_path);
    for (int i = 0; i < SCENARIOS; i++) {
        if (all)
            run_under_guard(&scenarios[i]);
        else if (strcmp(scenarios[i].name, arguments[1]) == 0)
            scenarios[i].run();
    }
    return 0;
}
