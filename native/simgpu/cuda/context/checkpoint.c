/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checkpoint API. It acts on another process through the machine image: while a process is not
 * RUNNING its calls sleep (core/entry.c). A checkpoint releases its memory charge except for a
 * small residue; the bytes stay in the process' memfds, which are host memory. Locking waits for
 * calls in progress and for work on the GPU.
 */
#include "cuda/core/device.h"
#include "machine/slot.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RESIDUE = 4 << 20 }; /* stays on the GPU (H200, driver 580) */

static gs_image *machine(void)
{
    return gs_image_attach();
}

static void set_state(gs_slot *slot, gs_checkpoint_state state)
{
    __atomic_store_n((int *)&slot->checkpoint, (int)state, __ATOMIC_SEQ_CST);
    if (state == GS_RUNNING)
        syscall(SYS_futex, &slot->checkpoint, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Finds the process and checks that it is in `state`. On success the image stays locked. */
static CUresult lock_in_state(int pid, gs_checkpoint_state state, gs_slot **slot)
{
    CHECK(machine(), CUDA_ERROR_NO_DEVICE);
    gs_image_lock(machine());
    *slot = gs_slot_of(machine(), pid);
    CUresult result = !*slot                         ? CUDA_ERROR_INVALID_VALUE
                      : (*slot)->mps_client >= 0     ? CUDA_ERROR_NOT_SUPPORTED
                      : (*slot)->checkpoint != state ? CUDA_ERROR_ILLEGAL_STATE
                                                     : CUDA_SUCCESS;
    if (result != CUDA_SUCCESS)
        gs_image_unlock(machine());
    return result;
}

static bool idle(const gs_slot *slot)
{
    uint64_t now = gs_now_ns();
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (slot->use[i].tail > now)
            return false;
    return __atomic_load_n(&slot->in_call, __ATOMIC_SEQ_CST) == 0;
}

CUresult cuCheckpointProcessLock(int pid, CUcheckpointLockArgs *args)
{
    gs_slot *slot;
    uint64_t deadline =
        args && args->timeoutMs ? gs_now_ns() + args->timeoutMs * 1000000ull : UINT64_MAX;
    TRY(lock_in_state(pid, GS_RUNNING, &slot));
    set_state(slot, GS_LOCKED);
    gs_image_unlock(machine());
    while (!idle(slot)) {
        if (gs_slot_pid(slot) != pid)
            return CUDA_ERROR_INVALID_VALUE;
        if (gs_now_ns() > deadline) {
            set_state(slot, GS_RUNNING);
            return CUDA_ERROR_NOT_READY;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return CUDA_SUCCESS;
}

static bool has_managed(const gs_slot *slot)
{
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (slot->use[i].managed)
            return true;
    return false;
}

CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs *args)
{
    gs_slot *slot;
    (void)args;
    TRY(lock_in_state(pid, GS_LOCKED, &slot));
    bool unsupported = has_managed(slot);
    for (int i = 0; !unsupported && i < GS_MAX_DEVICES; i++) {
        slot->checkpointed[i] = slot->use[i].bytes;
        slot->use[i].bytes = MIN(slot->use[i].bytes, RESIDUE);
    }
    if (!unsupported)
        set_state(slot, GS_CHECKPOINTED);
    gs_image_unlock(machine());
    return unsupported ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

static int device_by_uuid(const CUuuid *uuid)
{
    CUuuid candidate;
    for (int i = 0; i < GS_MAX_DEVICES; i++) {
        const gs_device *device = &machine()->devices[i];
        if (device->present && gs_uuid(device->uuid, &candidate)
            && memcmp(&candidate, uuid, sizeof candidate) == 0)
            return i;
    }
    return -1;
}

static bool seen_by_driver(int device)
{
    return device < (int)machine()->gpus && machine()->devices[device].present
           && !machine()->devices[device].lost;
}

static CUresult add_pair(const CUcheckpointGpuPair *pair, int *target, bool *taken)
{
    int from = device_by_uuid(&pair->oldUuid), to = device_by_uuid(&pair->newUuid);
    CHECK(from >= 0 && to >= 0 && target[from] < 0 && !taken[to], CUDA_ERROR_INVALID_VALUE);
    CHECK(strcmp(machine()->devices[from].name, machine()->devices[to].name) == 0,
          CUDA_ERROR_INVALID_VALUE);
    target[from] = to;
    taken[to] = true;
    return CUDA_SUCCESS;
}

/*
 * The target of each device. A map names every GPU of the driver, independent of
 * CUDA_VISIBLE_DEVICES, once on each side, and joins only GPUs of one kind (driver 580; NVIDIA's
 * cuda-python tests).
 */
static CUresult read_map(const CUcheckpointRestoreArgs *args, int *target)
{
    bool taken[GS_MAX_DEVICES] = {false};
    bool given = args && args->gpuPairsCount;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        target[i] = given ? -1 : i;
    for (unsigned int k = 0; given && k < args->gpuPairsCount; k++)
        TRY(add_pair(&args->gpuPairs[k], target, taken));
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        CHECK(target[i] >= 0 || !seen_by_driver(i), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

static CUresult plan(const gs_slot *slot, const CUcheckpointRestoreArgs *args, int *target)
{
    TRY(read_map(args, target));
    for (int i = 0; i < GS_MAX_DEVICES; i++) {
        if (!slot->checkpointed[i])
            continue;
        CHECK(target[i] >= 0, CUDA_ERROR_INVALID_VALUE);
        uint64_t used =
            gs_device_used(machine(), target[i]) - (target[i] == i ? slot->use[i].bytes : 0);
        CHECK(used + slot->checkpointed[i] <= machine()->devices[target[i]].memory,
              CUDA_ERROR_OUT_OF_MEMORY);
    }
    return CUDA_SUCCESS;
}

static void move(gs_slot *slot, const int *target)
{
    gs_use before[GS_MAX_DEVICES];
    int home[GS_MAX_DEVICES];
    memcpy(before, slot->use, sizeof before);
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (slot->checkpointed[i])
            slot->use[i] = (gs_use){.busy = before[i].busy};
    for (int i = 0; i < GS_MAX_DEVICES; i++) {
        home[i] = slot->device_map[i] >= 0 ? slot->device_map[i] : i;
        if (!slot->checkpointed[i])
            continue;
        gs_use *use = &slot->use[target[i]];
        use->bytes += slot->checkpointed[i];
        use->contexts += before[i].contexts;
    }
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (target[home[i]] >= 0)
            slot->device_map[i] = target[home[i]];
    memset(slot->checkpointed, 0, sizeof slot->checkpointed);
}

CUresult cuCheckpointProcessRestore(int pid, CUcheckpointRestoreArgs *args)
{
    gs_slot *slot;
    int target[GS_MAX_DEVICES];
    TRY(lock_in_state(pid, GS_CHECKPOINTED, &slot));
    gs_image_reap(machine());
    CUresult result = plan(slot, args, target);
    if (result == CUDA_SUCCESS) {
        move(slot, target);
        set_state(slot, GS_LOCKED);
    }
    gs_image_unlock(machine());
    return result;
}

CUresult cuCheckpointProcessUnlock(int pid, CUcheckpointUnlockArgs *args)
{
    gs_slot *slot;
    (void)args;
    TRY(lock_in_state(pid, GS_LOCKED, &slot));
    set_state(slot, GS_RUNNING);
    gs_image_unlock(machine());
    return CUDA_SUCCESS;
}

CUresult cuCheckpointProcessGetState(int pid, CUprocessState *state)
{
    CHECK(state && machine(), CUDA_ERROR_INVALID_VALUE);
    gs_image_lock(machine());
    const gs_slot *slot = gs_slot_of(machine(), pid);
    if (slot)
        *state = (CUprocessState)slot->checkpoint;
    gs_image_unlock(machine());
    return slot ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuCheckpointProcessGetRestoreThreadId(int pid, int *thread)
{
    CHECK(thread && machine(), CUDA_ERROR_INVALID_VALUE);
    gs_image_lock(machine());
    const gs_slot *slot = gs_slot_of(machine(), pid);
    gs_image_unlock(machine());
    CHECK(slot, CUDA_ERROR_INVALID_VALUE);
    *thread = pid; /* the main thread restores */
    return CUDA_SUCCESS;
}
