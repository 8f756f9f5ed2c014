/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/suspend/transfer.h"

#include <unistd.h>

#include "base/clock.h"
#include "share/attach.h"
#include "swap/blocks/block.h"
#include "swap/store/copy_queue.h"
#include "swap/store/host_pool.h"
#include "swap/store/swap_image.h"

#define PATIENCE 30000000000ull /* ns without any memory coming free */

enum { RUN = 16, PAUSE_US = 2000 }; /* pieces that are made together */

static CUdeviceptr address(const struct gs_block *block, unsigned piece)
{
    return block->at + piece * GS_PIECE;
}

/* Halted, nobody adds or removes blocks, so they can be walked through without the lock. */
#define EACH_PIECE(block, piece)                                                                \
    for (size_t n_ = 0; (block = gs_block_number(n_)); n_++)                                    \
        for (piece = block->piece; piece < block->piece + block->count; piece++)

static void away(uint64_t by)
{
    struct gs_region_slot *slot = gs_shared_slot();
    if (slot)
        __atomic_add_fetch(&slot->away, by, __ATOMIC_RELAXED);
}

struct gs_whereabouts gs_move_survey(void)
{
    struct gs_whereabouts found = {0};
    struct gs_block *block;
    struct gs_piece *piece;
    EACH_PIECE(block, piece)
        *(piece->here ? &found.here[block->gpu] : &found.away) += piece->bytes;
    return found;
}

void gs_move_soil(void)
{
    struct gs_block *block;
    struct gs_piece *piece;
    EACH_PIECE(block, piece)
        piece->stored = false;
    gs_image_clear();
}

/* Whether a piece has to go: the first ones do, by address, until few enough bytes are left. */
static bool goes(const struct gs_piece *piece, uint64_t *left, uint64_t keep)
{
    if (!piece->here || *left <= keep)
        return false;
    *left -= piece->bytes;
    return true;
}

uint64_t gs_move_size(const uint64_t keep[GS_GPUS])
{
    struct gs_whereabouts now = gs_move_survey();
    uint64_t bytes = 0;
    struct gs_block *block;
    struct gs_piece *piece;
    EACH_PIECE(block, piece)
        bytes += goes(piece, &now.here[block->gpu], keep[block->gpu]) && !piece->stored ? piece->bytes : 0;
    return bytes;
}

/* Copies a piece part by part, as its place in the image lies in several units. */
static enum gs_failure copy(struct gs_ferry *ferry, CUdeviceptr at, const struct gs_piece *piece, bool out)
{
    for (uint64_t done = 0, bytes; done < piece->bytes; done += bytes) {
        uint64_t together;
        /* Waiting for host memory, let the neighbour have the memory that it waits for before it gives any. */
        while (!gs_image_has(piece->image + done) && gs_ferry_wait(ferry))
            ;
        unsigned char *host = gs_image_at(piece->image + done, &together);
        if (!host)
            return GS_FAILED_HOST_MEMORY;
        bytes = together < piece->bytes - done ? together : piece->bytes - done;
        CUresult result = out ? cuda()->cuMemcpyDtoHAsync_v2(host, at + done, bytes, ferry->stream)
                              : cuda()->cuMemcpyHtoDAsync_v2(at + done, host, bytes, ferry->stream);
        if (result != CUDA_SUCCESS)
            return GS_FAILED_DRIVER;
    }
    return GS_NO_FAILURE;
}

/* Its copy is made: its memory is somebody else's. */
static CUresult left(const struct gs_load *load, bool whole)
{
    struct gs_block *block = load->block;
    struct gs_piece *piece = &block->piece[load->first];
    if (!whole)
        return CUDA_SUCCESS;
    piece->stored = true;
    CUresult result = gs_piece_drop(piece, address(block, load->first));
    away(piece->bytes);
    return result;
}

static enum gs_failure send_out(struct gs_ferry *ferry, struct gs_block *block, struct gs_piece *piece,
                                uint64_t *moved)
{
    struct gs_load load = {block, (unsigned)(piece - block->piece), 1};
    if (!piece->stored) {
        piece->image = gs_image_end();
        enum gs_failure failure = copy(ferry, address(block, load.first), piece, true);
        if (failure)
            return failure;
        gs_image_append(piece->bytes);
        *moved += piece->bytes;
    }
    gs_ferry_sent(ferry, &load);
    return ferry->error ? GS_FAILED_DRIVER : GS_NO_FAILURE;
}

/* The first block's context serves all blocks of a GPU. */
static bool board_ferry(struct gs_ferry *ferry, int gpu, CUresult (*arrived)(const struct gs_load *, bool))
{
    struct gs_block *block;
    *ferry = (struct gs_ferry){0};
    for (size_t n = 0; (block = gs_block_number(n)); n++)
        if (block->gpu == gpu)
            return cuda()->cuCtxSetCurrent(block->context) == CUDA_SUCCESS &&
                   gs_ferry_open(ferry, arrived) == CUDA_SUCCESS;
    return false;
}

static bool misses_pieces(int gpu)
{
    struct gs_block *block;
    struct gs_piece *piece;
    EACH_PIECE(block, piece)
        if (block->gpu == gpu && !piece->here)
            return true;
    return false;
}

static enum gs_failure move_gpu_out(int gpu, uint64_t here, uint64_t keep, uint64_t *moved)
{
    struct gs_ferry ferry;
    struct gs_block *block;
    struct gs_piece *piece;
    bool open = board_ferry(&ferry, gpu, left);
    enum gs_failure failure = open ? GS_NO_FAILURE : GS_FAILED_DRIVER;
    EACH_PIECE(block, piece)
        if (!failure && block->gpu == gpu && goes(piece, &here, keep))
            failure = send_out(&ferry, block, piece, moved);
    CUresult closed = gs_ferry_close(&ferry);
    return failure ? failure : closed == CUDA_SUCCESS ? GS_NO_FAILURE : GS_FAILED_DRIVER;
}

enum gs_failure gs_move_out(const uint64_t keep[GS_GPUS], uint64_t *moved)
{
    struct gs_whereabouts now = gs_move_survey();
    enum gs_failure failure = GS_NO_FAILURE;
    gs_image_returns(false);
    for (int gpu = 0; gpu < GS_GPUS && !failure; gpu++)
        if (now.here[gpu] > keep[gpu])
            failure = move_gpu_out(gpu, now.here[gpu], keep[gpu], moved);
    return failure;
}

/* What could not be filled is given back, so that it can be tried again. */
static void unbuild(const struct gs_load *load)
{
    struct gs_block *block = load->block;
    for (unsigned i = load->first; i < load->first + load->count; i++)
        gs_piece_drop(&block->piece[i], address(block, i));
}

static CUresult returned(const struct gs_load *load, bool whole)
{
    struct gs_block *block = load->block;
    if (!whole) {
        unbuild(load);
        return CUDA_SUCCESS;
    }
    for (unsigned i = load->first; i < load->first + load->count; i++) {
        struct gs_piece *piece = &block->piece[i];
        away(0 - piece->bytes);
        if (!gs_image_is_returning())
            continue;
        piece->stored = false;
        gs_image_returned(piece->image, piece->bytes);
    }
    return CUDA_SUCCESS;
}

/* Physical memory for a piece. When the GPU is full, a neighbour may be leaving it at this moment. */
static CUresult create(struct gs_ferry *ferry, struct gs_piece *piece, CUdevice device, bool (*wanted)(void),
                       bool wait)
{
    uint64_t until = gs_now() + PATIENCE;
    for (;;) {
        CUresult result = gs_piece_create(piece, device);
        if (result != CUDA_ERROR_OUT_OF_MEMORY || !wait || !wanted() || gs_now() > until)
            return result;
        gs_host_returns();
        if (!gs_ferry_wait(ferry)) /* what arrives gives host memory back, which lets the neighbour go on */
            usleep(PAUSE_US);
    }
}

/* Makes and maps up to so many pieces; the first is waited for. How many there are. */
static unsigned build(struct gs_ferry *ferry, struct gs_block *block, unsigned first, unsigned most,
                      bool (*wanted)(void), CUresult *result)
{
    unsigned built = 0;
    while (built < most && !block->piece[first + built].here) {
        struct gs_piece *piece = &block->piece[first + built];
        *result = create(ferry, piece, block->device, wanted, built == 0);
        if (*result == CUDA_SUCCESS)
            *result = gs_piece_map(piece, address(block, first + built));
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
        bytes += block->piece[i].bytes;
    return bytes;
}

/* Copies into pieces that were built. Until their bytes are there they count as away. */
static enum gs_failure fill(struct gs_ferry *ferry, struct gs_block *block, const struct gs_load *load,
                            uint64_t *moved)
{
    uint64_t bytes = bytes_of(block, load->first, load->count);
    if (gs_pieces_open(address(block, load->first), bytes, block->device) != CUDA_SUCCESS)
        return GS_FAILED_DRIVER;
    for (unsigned i = load->first; i < load->first + load->count; i++)
        if (copy(ferry, address(block, i), &block->piece[i], false))
            return GS_FAILED_DRIVER;
    gs_ferry_sent(ferry, load);
    *moved += bytes;
    return ferry->error ? GS_FAILED_DRIVER : GS_NO_FAILURE;
}

static enum gs_failure bring_in(struct gs_ferry *ferry, struct gs_block *block, bool (*wanted)(void),
                                uint64_t *moved)
{
    for (unsigned first = 0; first < block->count;) {
        unsigned rest = block->count - first;
        CUresult result = CUDA_SUCCESS;
        if (block->piece[first].here) {
            first++;
            continue;
        }
        struct gs_load load = {block, first, 0};
        load.count = build(ferry, block, first, rest < RUN ? rest : RUN, wanted, &result);
        if (!load.count)
            return result == CUDA_ERROR_OUT_OF_MEMORY ? GS_FAILED_GPU_MEMORY : GS_FAILED_DRIVER;
        enum gs_failure failure = fill(ferry, block, &load, moved);
        if (failure) {
            cuda()->cuStreamSynchronize(ferry->stream);
            unbuild(&load);
            return failure;
        }
        first += load.count;
    }
    return GS_NO_FAILURE;
}

static enum gs_failure move_gpu_in(int gpu, bool (*wanted)(void), uint64_t *moved)
{
    struct gs_ferry ferry;
    struct gs_block *block;
    bool open = board_ferry(&ferry, gpu, returned);
    enum gs_failure failure = open ? GS_NO_FAILURE : GS_FAILED_DRIVER;
    for (size_t n = 0; !failure && (block = gs_block_number(n)); n++)
        if (block->gpu == gpu)
            failure = bring_in(&ferry, block, wanted, moved);
    CUresult closed = gs_ferry_close(&ferry);
    return failure ? failure : closed == CUDA_SUCCESS ? GS_NO_FAILURE : GS_FAILED_DRIVER;
}

enum gs_failure gs_move_in(bool (*wanted)(void), uint64_t *moved)
{
    enum gs_failure failure = GS_NO_FAILURE;
    gs_image_returns(gs_host_scarce());
    for (int gpu = 0; gpu < GS_GPUS && !failure; gpu++)
        if (misses_pieces(gpu))
            failure = move_gpu_in(gpu, wanted, moved);
    return failure;
}
