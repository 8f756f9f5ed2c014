/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/suspend/transfer.h"

#include <unistd.h>

#include "base/clock.h"
#include "share/attach.h"
#include "swap/blocks/block.h"
#include "swap/store/copy_queue.h"
#include "swap/store/host_pool.h"
#include "swap/store/swap_image.h"

#define PATIENCE 30000000000ull /* ns without free memory */

enum { RUN = 16, PAUSE_US = 2000 }; /* chunks allocated together */

static CUdeviceptr address(const struct gs_block *block, unsigned chunk)
{
    return block->at + chunk * GS_CHUNK;
}

/* Without the lock: while the process is quiesced, no thread adds or removes blocks. */
#define EACH_CHUNK(block, chunk)                             \
    for (size_t n_ = 0; (block = gs_block_number(n_)); n_++) \
        for (chunk = block->chunk; chunk < block->chunk + block->count; chunk++)

static void away(uint64_t by)
{
    struct gs_region_slot *slot = gs_shared_slot();
    if (slot)
        __atomic_add_fetch(&slot->away, by, __ATOMIC_RELAXED);
}

struct gs_whereabouts gs_transfer_survey(void)
{
    struct gs_whereabouts survey = {0};
    struct gs_block *block;
    struct gs_chunk *chunk;
    EACH_CHUNK(block, chunk)
    *(chunk->here ? &survey.here[block->gpu] : &survey.away) += chunk->bytes;
    return survey;
}

void gs_transfer_mark_dirty(void)
{
    struct gs_block *block;
    struct gs_chunk *chunk;
    EACH_CHUNK(block, chunk)
    chunk->stored = false;
    gs_swap_image_clear();
}

/* Whether a chunk has to leave: the first ones by address do, until only `keep` bytes are left. */
static bool goes(const struct gs_chunk *chunk, uint64_t *left, uint64_t keep)
{
    if (!chunk->here || *left <= keep)
        return false;
    *left -= chunk->bytes;
    return true;
}

uint64_t gs_transfer_size(const uint64_t keep[GS_GPUS])
{
    struct gs_whereabouts now = gs_transfer_survey();
    uint64_t bytes = 0;
    struct gs_block *block;
    struct gs_chunk *chunk;
    EACH_CHUNK(block, chunk)
    bytes +=
        goes(chunk, &now.here[block->gpu], keep[block->gpu]) && !chunk->stored ? chunk->bytes : 0;
    return bytes;
}

/* Copies a chunk in parts, because its place in the swap image spans several units. */
static enum gs_failure copy(struct gs_copy_queue *queue, CUdeviceptr at,
                            const struct gs_chunk *chunk, bool out)
{
    for (uint64_t done = 0, bytes; done < chunk->bytes; done += bytes) {
        uint64_t together;
        /*
         * Finish copies before waiting: a process that would free host memory may wait for this GPU
         * memory.
         */
        while (!gs_swap_image_has(chunk->image + done) && gs_copy_queue_wait(queue))
            ;
        unsigned char *host = gs_swap_image_at(chunk->image + done, &together);
        if (!host)
            return GS_FAILED_HOST_MEMORY;
        bytes = together < chunk->bytes - done ? together : chunk->bytes - done;
        CUresult result = out ? cuda()->cuMemcpyDtoHAsync_v2(host, at + done, bytes, queue->stream)
                              : cuda()->cuMemcpyHtoDAsync_v2(at + done, host, bytes, queue->stream);
        if (result != CUDA_SUCCESS)
            return GS_FAILED_DRIVER;
    }
    return GS_NO_FAILURE;
}

/* After the copy: frees the chunk. */
static CUresult left(const struct gs_copy_batch *batch, bool whole)
{
    struct gs_block *block = batch->block;
    struct gs_chunk *chunk = &block->chunk[batch->first];
    if (!whole)
        return CUDA_SUCCESS;
    chunk->stored = true;
    CUresult result = gs_chunk_drop(chunk, address(block, batch->first));
    away(chunk->bytes);
    return result;
}

static enum gs_failure send_out(struct gs_copy_queue *queue, struct gs_block *block,
                                struct gs_chunk *chunk, uint64_t *moved)
{
    struct gs_copy_batch batch = {block, (unsigned)(chunk - block->chunk), 1};
    if (!chunk->stored) {
        chunk->image = gs_swap_image_end();
        enum gs_failure failure = copy(queue, address(block, batch.first), chunk, true);
        if (failure)
            return failure;
        gs_swap_image_append(chunk->bytes);
        *moved += chunk->bytes;
    }
    gs_copy_queue_sent(queue, &batch);
    return queue->error ? GS_FAILED_DRIVER : GS_NO_FAILURE;
}

/* With the context of the first block, which serves all blocks of a GPU. */
static bool open_queue(struct gs_copy_queue *queue, int gpu,
                       CUresult (*arrived)(const struct gs_copy_batch *, bool))
{
    struct gs_block *block;
    *queue = (struct gs_copy_queue){0};
    for (size_t n = 0; (block = gs_block_number(n)); n++)
        if (block->gpu == gpu)
            return cuda()->cuCtxSetCurrent(block->context) == CUDA_SUCCESS
                   && gs_copy_queue_open(queue, arrived) == CUDA_SUCCESS;
    return false;
}

static bool misses_chunks(int gpu)
{
    struct gs_block *block;
    struct gs_chunk *chunk;
    EACH_CHUNK(block, chunk)
    if (block->gpu == gpu && !chunk->here)
        return true;
    return false;
}

static enum gs_failure move_gpu_out(int gpu, uint64_t here, uint64_t keep, uint64_t *moved)
{
    struct gs_copy_queue queue;
    struct gs_block *block;
    struct gs_chunk *chunk;
    bool open = open_queue(&queue, gpu, left);
    enum gs_failure failure = open ? GS_NO_FAILURE : GS_FAILED_DRIVER;
    EACH_CHUNK(block, chunk)
    if (!failure && block->gpu == gpu && goes(chunk, &here, keep))
        failure = send_out(&queue, block, chunk, moved);
    CUresult closed = gs_copy_queue_close(&queue);
    return failure ? failure : closed == CUDA_SUCCESS ? GS_NO_FAILURE : GS_FAILED_DRIVER;
}

enum gs_failure gs_transfer_out(const uint64_t keep[GS_GPUS], uint64_t *moved)
{
    struct gs_whereabouts now = gs_transfer_survey();
    enum gs_failure failure = GS_NO_FAILURE;
    gs_swap_image_returns(false);
    for (int gpu = 0; gpu < GS_GPUS && !failure; gpu++)
        if (now.here[gpu] > keep[gpu])
            failure = move_gpu_out(gpu, now.here[gpu], keep[gpu], moved);
    return failure;
}

/* Frees chunks that could not be filled, so that the transfer can be repeated. */
static void unbuild(const struct gs_copy_batch *batch)
{
    struct gs_block *block = batch->block;
    for (unsigned i = batch->first; i < batch->first + batch->count; i++)
        gs_chunk_drop(&block->chunk[i], address(block, i));
}

static CUresult returned(const struct gs_copy_batch *batch, bool whole)
{
    struct gs_block *block = batch->block;
    if (!whole) {
        unbuild(batch);
        return CUDA_SUCCESS;
    }
    for (unsigned i = batch->first; i < batch->first + batch->count; i++) {
        struct gs_chunk *chunk = &block->chunk[i];
        away(0 - chunk->bytes);
        if (!gs_swap_image_is_returning())
            continue;
        chunk->stored = false;
        gs_swap_image_returned(chunk->image, chunk->bytes);
    }
    return CUDA_SUCCESS;
}

/* Allocates a chunk. While the GPU is full, another process may be leaving it. */
static CUresult create(struct gs_copy_queue *queue, struct gs_chunk *chunk, CUdevice device,
                       bool (*still_ordered)(void), bool wait)
{
    uint64_t until = gs_now() + PATIENCE;
    for (;;) {
        CUresult result = gs_chunk_create(chunk, device);
        if (result != CUDA_ERROR_OUT_OF_MEMORY || !wait || !still_ordered() || gs_now() > until)
            return result;
        gs_host_pool_returns();
        if (!gs_copy_queue_wait(
                queue)) /* arrived chunks free host memory, which that process may need */
            usleep(PAUSE_US);
    }
}

/* Allocates and maps up to `most` chunks, waiting for the first only, and returns how many. */
static unsigned build(struct gs_copy_queue *queue, struct gs_block *block, unsigned first,
                      unsigned most, bool (*still_ordered)(void), CUresult *result)
{
    unsigned built = 0;
    while (built < most && !block->chunk[first + built].here) {
        struct gs_chunk *chunk = &block->chunk[first + built];
        *result = create(queue, chunk, block->device, still_ordered, built == 0);
        if (*result == CUDA_SUCCESS)
            *result = gs_chunk_map(chunk, address(block, first + built));
        if (*result != CUDA_SUCCESS)
            break;
        built++;
    }
    if (built)
        *result = CUDA_SUCCESS;
    return built;
}

static uint64_t bytes_of(const struct gs_block *block, unsigned first, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned i = first; i < first + count; i++)
        bytes += block->chunk[i].bytes;
    return bytes;
}

/* Copies into new chunks. Until their content is complete they count as away. */
static enum gs_failure fill(struct gs_copy_queue *queue, struct gs_block *block,
                            const struct gs_copy_batch *batch, uint64_t *moved)
{
    uint64_t bytes = bytes_of(block, batch->first, batch->count);
    if (gs_chunks_open(address(block, batch->first), bytes, block->device) != CUDA_SUCCESS)
        return GS_FAILED_DRIVER;
    for (unsigned i = batch->first; i < batch->first + batch->count; i++)
        if (copy(queue, address(block, i), &block->chunk[i], false))
            return GS_FAILED_DRIVER;
    gs_copy_queue_sent(queue, batch);
    *moved += bytes;
    return queue->error ? GS_FAILED_DRIVER : GS_NO_FAILURE;
}

static enum gs_failure bring_in(struct gs_copy_queue *queue, struct gs_block *block,
                                bool (*still_ordered)(void), uint64_t *moved)
{
    for (unsigned first = 0; first < block->count;) {
        unsigned rest = block->count - first;
        CUresult result = CUDA_SUCCESS;
        if (block->chunk[first].here) {
            first++;
            continue;
        }
        struct gs_copy_batch batch = {block, first, 0};
        batch.count = build(queue, block, first, rest < RUN ? rest : RUN, still_ordered, &result);
        if (!batch.count)
            return result == CUDA_ERROR_OUT_OF_MEMORY ? GS_FAILED_GPU_MEMORY : GS_FAILED_DRIVER;
        enum gs_failure failure = fill(queue, block, &batch, moved);
        if (failure) {
            cuda()->cuStreamSynchronize(queue->stream);
            unbuild(&batch);
            return failure;
        }
        first += batch.count;
    }
    return GS_NO_FAILURE;
}

static enum gs_failure move_gpu_in(int gpu, bool (*still_ordered)(void), uint64_t *moved)
{
    struct gs_copy_queue queue;
    struct gs_block *block;
    bool open = open_queue(&queue, gpu, returned);
    enum gs_failure failure = open ? GS_NO_FAILURE : GS_FAILED_DRIVER;
    for (size_t n = 0; !failure && (block = gs_block_number(n)); n++)
        if (block->gpu == gpu)
            failure = bring_in(&queue, block, still_ordered, moved);
    CUresult closed = gs_copy_queue_close(&queue);
    return failure ? failure : closed == CUDA_SUCCESS ? GS_NO_FAILURE : GS_FAILED_DRIVER;
}

enum gs_failure gs_transfer_in(bool (*still_ordered)(void), uint64_t *moved)
{
    enum gs_failure failure = GS_NO_FAILURE;
    gs_swap_image_returns(gs_host_pool_scarce());
    for (int gpu = 0; gpu < GS_GPUS && !failure; gpu++)
        if (misses_chunks(gpu))
            failure = move_gpu_in(gpu, still_ordered, moved);
    return failure;
}
