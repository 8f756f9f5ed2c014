/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes on one machine: capacity, process ends, sharing, compute modes, limits. */
#include "machine.h"
#include "machine/process.h"
#include "machine/slot.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { MODE_FAILED = 1000 };

/* Child: allocates sizes from the parent and answers with the results, until the pipe closes. */
static int role_allocate(void)
{
    CUdeviceptr at;
    long long size;
    CUcontext ctx;
    OK(cuInit(0));
    CUresult result = cuDevicePrimaryCtxRetain(&ctx, 0);
    if (result != CUDA_SUCCESS) {
        say(1, MODE_FAILED + result);
        return 0;
    }
    OK(cuCtxSetCurrent(ctx));
    say(1, CUDA_SUCCESS);
    while (read(0, &size, sizeof size) == sizeof size)
        say(1, cuMemAlloc_v2(&at, (size_t)size));
    return 0;
}

static long long allocate(other *process, uint64_t size)
{
    say(process->to, (long long)size);
    return hear(process->from);
}

static void capacity_is_that_of_the_gpu(void)
{
    other a = start("allocate"), b = start("allocate");
    uint64_t before;
    EQUAL(hear(a.from), CUDA_SUCCESS);
    EQUAL(hear(b.from), CUDA_SUCCESS);
    before = used(0);
    EQUAL(before, 512 * MiB + 2 * 500 * MiB);
    EQUAL(allocate(&a, 5 * GiB), CUDA_SUCCESS);
    EQUAL(allocate(&b, 2 * GiB), CUDA_ERROR_OUT_OF_MEMORY);
    EQUAL(allocate(&b, 1 * GiB), CUDA_SUCCESS);
    EQUAL(used(0) - before, 6 * GiB);
    kill(a.pid, SIGKILL);
    EQUAL(finish(&a), 128 + SIGKILL);
    EQUAL(allocate(&b, 2 * GiB), CUDA_SUCCESS); /* the memory of the ended process is free again */
    EQUAL(finish(&b), 0);
    EQUAL(used(0), 512 * MiB);
}

static void processes_are_listed(void)
{
    other a = start("allocate");
    EQUAL(hear(a.from), CUDA_SUCCESS);
    gs_image_lock(image());
    const gs_slot *slot = gs_slot_of(image(), a.pid);
    ASSERT(slot);
    EQUAL(slot->use[0].contexts, 1);
    EQUAL(slot->use[0].bytes, 500 * MiB);
    EQUAL(slot->start_time, gs_process_start(a.pid));
    gs_image_unlock(image());
    EQUAL(finish(&a), 0);
}

static void set_mode(int mode)
{
    gs_image_lock(image());
    image()->devices[0].compute_mode = mode;
    gs_image_unlock(image());
}

static void compute_modes_refuse_contexts(void)
{
    set_mode(CU_COMPUTEMODE_EXCLUSIVE_PROCESS);
    other a = start("allocate");
    EQUAL(hear(a.from), CUDA_SUCCESS);
    other b = start("allocate");
    EQUAL(hear(b.from), MODE_FAILED + CUDA_ERROR_DEVICE_UNAVAILABLE);
    EQUAL(finish(&a), 0);
    EQUAL(finish(&b), 0);
    other c = start("allocate");
    EQUAL(hear(c.from), CUDA_SUCCESS);
    EQUAL(finish(&c), 0);
    set_mode(CU_COMPUTEMODE_PROHIBITED);
    other d = start("allocate");
    EQUAL(hear(d.from), MODE_FAILED + CUDA_ERROR_DEVICE_UNAVAILABLE);
    EQUAL(finish(&d), 0);
    set_mode(CU_COMPUTEMODE_DEFAULT);
}

/* Child: opens an IPC handle, adds one to each byte, and reports the sum. */
static int role_import(void)
{
    CUipcMemHandle handle;
    CUdeviceptr at;
    unsigned char bytes[64];
    long long sum = 0;
    begin();
    uint64_t before = used(0);
    ASSERT(read(0, &handle, sizeof handle) == sizeof handle);
    OK(cuIpcOpenMemHandle_v2(&at, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    EQUAL(used(0), before); /* the importer is not charged */
    OK(cuMemcpyDtoH_v2(bytes, at, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++)
        sum += bytes[i]++;
    OK(cuMemcpyHtoD_v2(at, bytes, sizeof bytes));
    OK(cuIpcCloseMemHandle(at));
    EQUAL(cuIpcCloseMemHandle(at), CUDA_ERROR_INVALID_VALUE);
    say(1, sum);
    return 0;
}

static void memory_is_shared_by_handle(size_t size)
{
    CUipcMemHandle handle;
    CUdeviceptr first, at;
    unsigned char byte;
    OK(cuMemAlloc_v2(&first, size)); /* so that a small one does not start its granule */
    OK(cuMemAlloc_v2(&at, size));
    OK(cuMemsetD8_v2(at, 3, size));
    OK(cuIpcGetMemHandle(&handle, at));
    EQUAL(cuIpcGetMemHandle(&handle, at + 1), CUDA_ERROR_INVALID_VALUE);
    other process = start("import");
    ASSERT(write(process.to, &handle, sizeof handle) == sizeof handle);
    EQUAL(hear(process.from), 3 * 64);
    EQUAL(finish(&process), 0);
    OK(cuMemcpyDtoH_v2(&byte, at + 63, 1));
    EQUAL(byte, 4);
    OK(cuMemFree_v2(at));
    OK(cuMemFree_v2(first));
}

static void send_fd(int socket, int fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char byte = 0;
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    ASSERT(sendmsg(socket, &message, 0) == 1);
}

static int receive_fd(int socket)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    int fd;
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ASSERT(recvmsg(socket, &message, 0) == 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* Child: gets a pool by descriptor and a pointer into it. */
static void use_shared_pool(int socket)
{
    CUmemPoolPtrExportData data;
    CUmemoryPool pool;
    CUdeviceptr at;
    unsigned char byte;
    begin();
    int fd = receive_fd(socket);
    OK(cuMemPoolImportFromShareableHandle(&pool, (void *)(intptr_t)fd,
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    EQUAL(cuMemAllocFromPoolAsync(&at, 100, pool, NULL), CUDA_ERROR_INVALID_VALUE);
    ASSERT(read(socket, &data, sizeof data) == sizeof data);
    OK(cuMemPoolImportPointer(&at, pool, &data));
    OK(cuMemcpyDtoH_v2(&byte, at + 5, 1));
    EQUAL(byte, 61);
    OK(cuMemFreeAsync(at, NULL));
    OK(cuMemPoolDestroy(pool));
    _exit(0);
}

static void pools_are_shared_by_descriptor(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemPoolPtrExportData data;
    CUmemoryPool pool, plain;
    CUdeviceptr skipped, at;
    int pair[2], fd, status;
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    if (child == 0)
        use_shared_pool(pair[1]);
    begin();
    OK(cuDeviceGetDefaultMemPool(&plain, 0));
    EQUAL(cuMemPoolExportToShareableHandle(&fd, plain, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
          CUDA_ERROR_INVALID_VALUE);
    OK(cuMemPoolCreate(&pool, &props));
    OK(cuMemAllocFromPoolAsync(&skipped, 3 * MiB, pool, NULL));
    OK(cuMemAllocFromPoolAsync(&at, 1000, pool, NULL));
    OK(cuMemsetD8Async(at, 61, 1000, NULL));
    OK(cuStreamSynchronize(NULL));
    OK(cuMemPoolExportToShareableHandle(&fd, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(cuMemPoolExportPointer(&data, at));
    send_fd(pair[0], fd);
    ASSERT(write(pair[0], &data, sizeof data) == sizeof data);
    ASSERT(waitpid(child, &status, 0) == child);
    EQUAL(status, 0);
    OK(cuMemPoolDestroy(pool));
}

static CUdeviceptr map(CUmemGenericAllocationHandle handle)
{
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUdeviceptr at;
    OK(cuMemAddressReserve(&at, 2 * MiB, 0, 0, 0));
    OK(cuMemMap(at, 2 * MiB, 0, handle, 0));
    OK(cuMemSetAccess(at, 2 * MiB, &access, 1));
    return at;
}

/* Before this process uses CUDA: a forked child may use it then. */
static void chunks_are_shared_by_descriptor(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle;
    int pair[2], fd, status;
    unsigned char byte;
    ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    if (child == 0) {
        begin();
        fd = receive_fd(pair[1]);
        OK(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd,
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
        OK(cuMemcpyDtoH_v2(&byte, map(handle) + 99, 1));
        EQUAL(byte, 123);
        _exit(0);
    }
    begin();
    OK(cuMemCreate(&handle, 2 * MiB, &prop, 0));
    CUdeviceptr at = map(handle);
    OK(cuMemsetD8_v2(at, 123, 2 * MiB));
    OK(cuCtxSynchronize());
    OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    send_fd(pair[0], fd);
    ASSERT(waitpid(child, &status, 0) == child);
    EQUAL(status, 0);
    close(fd);
    EQUAL(cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)pair[0],
                                         CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
          CUDA_ERROR_INVALID_VALUE);
}

static void a_fork_cannot_use_cuda(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        CUdeviceptr at;
        _exit(cuMemAlloc_v2(&at, 100) == CUDA_ERROR_NOT_INITIALIZED
                      && cuInit(0) == CUDA_ERROR_NOT_INITIALIZED
                  ? 0
                  : 1);
    }
    ASSERT(waitpid(child, &status, 0) == child);
    EQUAL(status, 0);
    gs_image_lock(image());
    gs_image_reap(image());
    ASSERT(gs_slot_of(image(), getpid()) != NULL); /* and the parent's slot is unchanged */
    gs_image_unlock(image());
}

static void set_limit(const char *cgroup, uint64_t hard)
{
    gs_image_lock(image());
    image()->limits[0] = (gs_limit){.present = true, .device = 0, .soft = 0, .hard = hard};
    snprintf(image()->limits[0].cgroup, sizeof image()->limits[0].cgroup, "%s", cgroup);
    gs_image_unlock(image());
}

/* Child: what it sees and can allocate under a cgroup limit. */
static int role_limited(void)
{
    size_t available, total;
    CUdeviceptr at;
    begin();
    OK(cuMemGetInfo_v2(&available, &total));
    say(1, (long long)total);
    say(1, (long long)available);
    say(1, cuMemAlloc_v2(&at, 600 * MiB));
    say(1, cuMemAlloc_v2(&at, 500 * MiB));
    return 0;
}

static void cgroup_limits_hold(void)
{
    set_limit("/sys/fs/cgroup/share-a", 1 * GiB);
    setenv("GPUSHARE_SIM_CGROUP", "/share-a", 1);
    other leaf = start("limited");
    EQUAL(hear(leaf.from), 1 * GiB);
    EQUAL(hear(leaf.from), 1 * GiB - 500 * MiB);
    EQUAL(hear(leaf.from), CUDA_ERROR_OUT_OF_MEMORY);
    EQUAL(hear(leaf.from), CUDA_SUCCESS);
    EQUAL(finish(&leaf), 0);
    setenv("GPUSHARE_SIM_CGROUP", "/share-a/inner", 1); /* enforced, but not in the total */
    other inner = start("limited");
    ASSERT(hear(inner.from) > (long long)(7 * GiB));
    hear(inner.from);
    EQUAL(hear(inner.from), CUDA_ERROR_OUT_OF_MEMORY);
    EQUAL(hear(inner.from), CUDA_SUCCESS);
    EQUAL(finish(&inner), 0);
    setenv("GPUSHARE_SIM_CGROUP", "/share-ab", 1);
    other outside = start("limited");
    for (int i = 0; i < 2; i++)
        hear(outside.from);
    EQUAL(hear(outside.from), CUDA_SUCCESS);
    EQUAL(hear(outside.from), CUDA_SUCCESS);
    EQUAL(finish(&outside), 0);
    unsetenv("GPUSHARE_SIM_CGROUP");
}

static void killed_while_it_allocates(void)
{
    for (int i = 0; i < 10; i++) {
        other process = start("churn");
        EQUAL(hear(process.from), 1);
        kill(process.pid, SIGKILL);
        EQUAL(finish(&process), 128 + SIGKILL);
        EQUAL(used(0), 512 * MiB);
    }
}

static int role_churn(void)
{
    CUdeviceptr at;
    begin();
    say(1, 1);
    for (;;) {
        OK(cuMemAlloc_v2(&at, 4 * MiB));
        OK(cuMemFree_v2(at));
    }
}

int main(int argc, char **argv)
{
    const char *role = argc > 1 ? argv[1] : "";
    if (strcmp(role, "allocate") == 0)
        return role_allocate();
    if (strcmp(role, "import") == 0)
        return role_import();
    if (strcmp(role, "limited") == 0)
        return role_limited();
    if (strcmp(role, "churn") == 0)
        return role_churn();
    machine(
        "driver=615.71.09\ncuda=13040\ngpus=1\ngpu.0.memory=8589934592\ngpu.0.context=524288000\n");
    capacity_is_that_of_the_gpu();
    processes_are_listed();
    compute_modes_refuse_contexts();
    killed_while_it_allocates();
    cgroup_limits_hold();
    pid_t alone = fork(); /* before CUDA is initialized, like the next one */
    if (alone == 0) {
        pools_are_shared_by_descriptor();
        _exit(0);
    }
    int status;
    ASSERT(waitpid(alone, &status, 0) == alone);
    EQUAL(status, 0);
    chunks_are_shared_by_descriptor();
    memory_is_shared_by_handle(4 * MiB);
    memory_is_shared_by_handle(1000);
    a_fork_cannot_use_cuda();
    puts("ok: processes");
    return 0;
}
