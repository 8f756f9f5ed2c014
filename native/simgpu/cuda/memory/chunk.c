/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/memory/chunk.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cuda/core/charge.h"
#include "cuda/core/device.h"
#include "cuda/core/handle.h"
#include "cuda/memory/arena.h"
#include "machine/residue.h"

static int shared_fd = -1;
static off_t shared_end;
static uint64_t residue_given; /* old content in chunks of this process */

static int memory_file(const char *name)
{
    return (int)syscall(SYS_memfd_create, name, 1u /* MFD_CLOEXEC */);
}

int gs_chunk_file(void)
{
    if (shared_fd < 0)
        shared_fd = sim.slot->heap_fd = memory_file("simgpu-heap");
    return shared_fd;
}

static bool back(gs_chunk *chunk)
{
    char name[64];
    if (!chunk->own_fd) {
        chunk->fd = gs_chunk_file();
        chunk->offset = shared_end;
        shared_end += (off_t)chunk->size;
        return chunk->fd >= 0 && ftruncate(shared_fd, shared_end) == 0;
    }
    /* The name tells an importer what the file is. */
    snprintf(name, sizeof name, "simgpu-chunk:%d:%llu", chunk->device,
             (unsigned long long)chunk->size);
    chunk->fd = memory_file(name);
    return chunk->fd >= 0 && ftruncate(chunk->fd, (off_t)chunk->size) == 0;
}

/* What a driver that does not clear memory leaves in it. */
static void leave_residue(gs_chunk *chunk)
{
    unsigned char page[GS_RESIDUE_PAGE];
    if (!sim.image->residue || chunk->device < 0)
        return;
    const uint64_t all = gs_residue_of(sim.image, gs_home(chunk->device), page);
    const uint64_t left = all > residue_given ? all - residue_given : 0;
    const uint64_t bytes = left < chunk->size ? left : chunk->size;
    residue_given += chunk->residue = bytes;
    for (uint64_t at = 0; at < bytes; at += sizeof page) {
        const uint64_t size = bytes - at < sizeof page ? bytes - at : sizeof page;
        if (pwrite(chunk->fd, page, size, chunk->offset + (off_t)at) < 0)
            return;
    }
}

CUresult gs_chunk_new(int device, uint64_t size, bool own_fd, gs_chunk **chunk)
{
    TRY(gs_charge(device, size, false));
    *chunk = gs_handle_new(KIND_CHUNK, sizeof **chunk);
    **chunk = (gs_chunk){.device = device, .size = size, .refs = 1, .own_fd = own_fd, .fd = -1};
    if (back(*chunk)) {
        leave_residue(*chunk);
        return CUDA_SUCCESS;
    }
    gs_uncharge(device, size, false);
    gs_handle_free(*chunk);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

gs_chunk *gs_chunk_import(int device, uint64_t size, int fd, off_t offset)
{
    gs_chunk *chunk = gs_handle_new(KIND_CHUNK, sizeof *chunk);
    *chunk = (gs_chunk){.device = device,
                        .size = size,
                        .fd = fd,
                        .offset = offset,
                        .refs = 1,
                        .own_fd = true,
                        .imported = true};
    return chunk;
}

void gs_chunk_drop(gs_chunk *chunk)
{
    if (--chunk->refs > 0)
        return;
    if (!chunk->imported)
        gs_uncharge(chunk->device, chunk->size, false);
    residue_given -= chunk->residue;
    if (chunk->own_fd)
        close(chunk->fd);
    else
        fallocate(chunk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, chunk->offset,
                  (off_t)chunk->size);
    gs_handle_free(chunk);
}

bool gs_chunk_map(gs_chunk *chunk, uint64_t offset, CUdeviceptr at, uint64_t size, int protection)
{
    return mmap(gs_bytes(at), size, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, chunk->fd,
                chunk->offset + (off_t)offset)
           != MAP_FAILED;
}

bool gs_chunk_place(gs_chunk *chunk, CUdeviceptr *at)
{
    *at = gs_arena_take(chunk->size, GS_GRANULE, 0);
    if (*at && gs_chunk_map(chunk, 0, *at, chunk->size, PROT_READ | PROT_WRITE))
        return true;
    if (*at)
        gs_arena_give(*at, chunk->size);
    gs_chunk_drop(chunk);
    return false;
}

void gs_chunk_remove(gs_chunk *chunk, CUdeviceptr at)
{
    gs_arena_unmap(at, chunk->size);
    gs_arena_give(at, chunk->size);
    gs_chunk_drop(chunk);
}

/* The name of an exported chunk's file ("/memfd:simgpu-chunk:DEVICE:SIZE (deleted)"). */
gs_chunk *gs_chunk_from_fd(int fd)
{
    char path[64], name[128] = "";
    int device;
    unsigned long long size;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, name, sizeof name - 1) < 0
        || sscanf(name, "/memfd:simgpu-chunk:%d:%llu", &device, &size) != 2)
        return NULL;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return own < 0 ? NULL : gs_chunk_import(device, size, own, 0);
}
