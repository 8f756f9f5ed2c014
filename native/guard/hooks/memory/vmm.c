/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual memory management: physical memory of cuMemCreate() lives while a handle to it is held or
 * a part of it is mapped. Imported handles are not recorded: their memory is charged to the process
 * that created it.
 */
#include "hooks/memory/vmm.h"

#include <pthread.h>
#include <stdlib.h>

#include "charge/device.h"
#include "charge/ledger.h"
#include "charge/pressure.h"
#include "charge/unmovable.h"
#include "driver/quiesce.h"
#include "share/attach.h"
#include "swap/blocks/heap.h"

struct physical {
    uint64_t bytes;
    int gpu;
    unsigned handles, mappings;
};

enum { PAGE = 64 << 10 }; /* the finest step of a mapping */

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void put(enum gs_space space, uint64_t key, uint64_t bytes, struct physical *memory)
{
    struct gs_entry old,
        entry = {.space = (uint8_t)space, .key = key, .bytes = bytes, .owner = memory};
    gs_ledger_put(&entry, &old);
}

/* Needs the lock. */
static void free_unused(struct physical *memory)
{
    if (memory->handles || memory->mappings)
        return;
    gs_uncharge(GS_EXACT, memory->gpu, memory->bytes);
    gs_unmovable_drop(GS_UNMOVABLE_MAPPED);
    free(memory);
}

/* The references of a handle are counted in its entry. Needs the lock. */
static void add_handle(uint64_t handle, struct physical *memory)
{
    struct gs_entry entry = {.bytes = 0};
    gs_ledger_find(GS_HANDLE, handle, &entry);
    put(GS_HANDLE, handle, entry.bytes + 1, memory);
    memory->handles++;
}

/* Takes one reference out of the ledger; the memory still counts it. Needs the lock. */
static struct physical *detach_handle(uint64_t handle)
{
    struct gs_entry entry;
    if (!gs_ledger_take(GS_HANDLE, handle, &entry))
        return NULL;
    if (entry.bytes > 1)
        put(GS_HANDLE, handle, entry.bytes - 1, entry.owner);
    return entry.owner;
}

static CUresult created(CUresult result, uint64_t handle, struct physical *memory)
{
    pthread_mutex_lock(&lock);
    if (result == CUDA_SUCCESS)
        add_handle(handle, memory);
    else
        free_unused(memory);
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
                     const CUmemAllocationProp *properties, unsigned long long flags)
{
    int gpu = properties ? gs_gpu_at(&properties->location) : -1;
    if (gpu < 0)
        return cuda()->cuMemCreate(handle, bytes, properties, flags);
    if (!gs_charge_or_reclaim(GS_EXACT, gpu, bytes))
        return gs_refuse(gpu);
    struct physical *memory = malloc(sizeof *memory);
    if (!memory) {
        gs_uncharge(GS_EXACT, gpu, bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *memory = (struct physical){.bytes = bytes, .gpu = gpu};
    gs_unmovable_add(GS_UNMOVABLE_MAPPED);
    CUresult result = GS_INSIDE(cuda()->cuMemCreate(handle, bytes, properties, flags));
    return created(result, result == CUDA_SUCCESS ? *handle : 0, memory);
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    /* Before the call: directly after it another thread may get the same handle. */
    pthread_mutex_lock(&lock);
    struct physical *memory = detach_handle(handle);
    pthread_mutex_unlock(&lock);
    CUresult result = cuda()->cuMemRelease(handle);
    if (!memory)
        return result;
    pthread_mutex_lock(&lock);
    memory->handles--;
    if (result == CUDA_SUCCESS)
        free_unused(memory);
    else
        add_handle(handle, memory);
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    CUresult result = cuda()->cuMemMap(address, bytes, offset, handle, flags);
    if (result != CUDA_SUCCESS || !gs_active())
        return result;
    struct gs_entry entry = {.owner = NULL};
    pthread_mutex_lock(&lock);
    gs_ledger_find(GS_HANDLE, handle, &entry);
    struct physical *memory = entry.owner;
    put(GS_MAPPING, address, bytes, memory);
    if (memory)
        memory->mappings++;
    pthread_mutex_unlock(&lock);
    return result;
}

static void unmapped(uint64_t address, uint64_t end)
{
    struct gs_entry entry;
    while (address < end) {
        if (!gs_ledger_take(GS_MAPPING, address, &entry)) {
            address += PAGE;
            continue;
        }
        address += entry.bytes;
        struct physical *memory = entry.owner;
        if (memory) {
            memory->mappings--;
            free_unused(memory);
        }
    }
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes)
{
    /* The lock covers the call: another thread may map the same address directly after it. */
    if (!gs_active())
        return cuda()->cuMemUnmap(address, bytes);
    pthread_mutex_lock(&lock);
    CUresult result = cuda()->cuMemUnmap(address, bytes);
    if (result == CUDA_SUCCESS)
        unmapped(address, address + bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

struct address {
    uint64_t at;
    struct physical *memory;
};

static bool covers(const struct gs_entry *entry, void *searched)
{
    struct address *address = searched;
    if (entry->space != GS_MAPPING || address->at < entry->key
        || address->at - entry->key >= entry->bytes)
        return false;
    address->memory = entry->owner;
    return true;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *pointer)
{
    struct gs_allocation plain;
    if (gs_heap_find((uintptr_t)pointer, &plain))
        return CUDA_ERROR_INVALID_VALUE; /* as the driver does for pointers of cuMemAlloc() */
    CUresult result = cuda()->cuMemRetainAllocationHandle(handle, pointer);
    if (result != CUDA_SUCCESS || !gs_active())
        return result;
    struct address address = {.at = (uintptr_t)pointer};
    pthread_mutex_lock(&lock);
    gs_ledger_search(covers, &address);
    if (address.memory)
        add_handle(*handle, address.memory);
    pthread_mutex_unlock(&lock);
    return result;
}

void gs_vmm_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}
