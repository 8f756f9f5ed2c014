/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint: a process stops at its next call; its memory leaves the GPU, moves, and returns. */
#include "machine.h"

#include <poll.h>

static int role_target(void)
{
    CUdeviceptr at;
    unsigned char byte = 0;
    long long order;
    begin();
    OK(cuMemAlloc_v2(&at, GiB));
    OK(cuMemsetD8_v2(at + 5, 88, 1));
    OK(cuCtxSynchronize());
    say(1, 1);
    while (read(0, &order, sizeof order) == sizeof order) {
        if (order == 'm')
            OK(cuMemAllocManaged(&at, 2 * MiB, CU_MEM_ATTACH_GLOBAL));
        else if (order == 's')
            spin(NULL, 10000000000ull);
        else
            OK(cuMemcpyDtoH_v2(&byte, at + 5, 1));
        say(1, byte);
    }
    return 0;
}

static bool answers(const other *process, int milliseconds)
{
    struct pollfd poll_for = {.fd = process->from, .events = POLLIN};
    return poll(&poll_for, 1, milliseconds) == 1;
}

static int state(pid_t pid)
{
    CUprocessState value;
    OK(cuCheckpointProcessGetState(pid, &value));
    return (int)value;
}

static CUuuid uuid(int device)
{
    CUuuid value;
    OK(cuDeviceGetUuid_v2(&value, device));
    return value;
}

static CUresult restore(pid_t pid, unsigned int count, CUcheckpointGpuPair *pairs)
{
    CUcheckpointRestoreArgs args = {.gpuPairs = pairs, .gpuPairsCount = count};
    return cuCheckpointProcessRestore(pid, &args);
}

static void memory_leaves_and_returns(void)
{
    other target = start("target");
    uint64_t empty = used(0);
    EQUAL(hear(target.from), 1);
    uint64_t full = used(0);
    ASSERT(full >= empty + GiB);
    EQUAL(state(target.pid), CU_PROCESS_STATE_RUNNING);
    EQUAL(cuCheckpointProcessCheckpoint(target.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
    OK(cuCheckpointProcessLock(target.pid, NULL));
    say(target.to, 'r');
    ASSERT(!answers(&target, 100)); /* its call waits */
    OK(cuCheckpointProcessCheckpoint(target.pid, NULL));
    EQUAL(state(target.pid), CU_PROCESS_STATE_CHECKPOINTED);
    EQUAL(used(0), 512 * MiB + 4 * MiB);
    EQUAL(cuCheckpointProcessUnlock(target.pid, NULL), CUDA_ERROR_ILLEGAL_STATE);
    OK(cuCheckpointProcessRestore(target.pid, NULL));
    EQUAL(used(0), full);
    ASSERT(!answers(&target, 50));
    OK(cuCheckpointProcessUnlock(target.pid, NULL));
    EQUAL(hear(target.from), 88);
    EQUAL(finish(&target), 0);
}

static void memory_moves_to_another_gpu(void)
{
    other target = start("target");
    EQUAL(hear(target.from), 1);
    OK(cuCheckpointProcessLock(target.pid, NULL));
    OK(cuCheckpointProcessCheckpoint(target.pid, NULL));
    EQUAL(restore(target.pid, 1, (CUcheckpointGpuPair[]){{uuid(0), uuid(1)}}),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(restore(target.pid, 2, (CUcheckpointGpuPair[]){{uuid(0), uuid(1)}, {uuid(1), uuid(1)}}),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(restore(target.pid, 2, (CUcheckpointGpuPair[]){{uuid(0), uuid(1)}, {uuid(0), uuid(0)}}),
          CUDA_ERROR_INVALID_VALUE);
    EQUAL(state(target.pid), CU_PROCESS_STATE_CHECKPOINTED); /* a refused map has no effect */
    OK(restore(target.pid, 2, (CUcheckpointGpuPair[]){{uuid(0), uuid(1)}, {uuid(1), uuid(0)}}));
    OK(cuCheckpointProcessUnlock(target.pid, NULL));
    EQUAL(used(0), 512 * MiB);
    EQUAL(used(1), 512 * MiB + 500 * MiB + GiB);
    say(target.to, 'r');
    EQUAL(hear(target.from), 88);
    EQUAL(finish(&target), 0);
    EQUAL(used(1), 512 * MiB);
}

static void unsupported_cases_are_refused(void)
{
    CUcheckpointLockArgs soon = {.timeoutMs = 50};
    other target = start("target");
    EQUAL(hear(target.from), 1);
    EQUAL(cuCheckpointProcessLock(1, NULL), CUDA_ERROR_INVALID_VALUE);
    say(target.to, 'm');
    EQUAL(hear(target.from), 0);
    OK(cuCheckpointProcessLock(target.pid, NULL));
    EQUAL(cuCheckpointProcessCheckpoint(target.pid, NULL), CUDA_ERROR_NOT_SUPPORTED);
    OK(cuCheckpointProcessUnlock(target.pid, NULL));
    say(target.to, 's');
    hear(target.from);
    EQUAL(cuCheckpointProcessLock(target.pid, &soon), CUDA_ERROR_NOT_READY);
    EQUAL(state(target.pid), CU_PROCESS_STATE_RUNNING);
    EQUAL(finish(&target), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "target") == 0 ? role_target() : 2;
    machine("gpus=2\ngpu.*.memory=8589934592\ngpu.*.context=524288000\n");
    OK(cuInit(0));
    memory_leaves_and_returns();
    memory_moves_to_another_gpu();
    unsupported_cases_are_refused();
    puts("ok: checkpoints");
    return 0;
}
