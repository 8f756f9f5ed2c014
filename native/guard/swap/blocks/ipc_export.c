/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/blocks/ipc_export.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/process.h"
#include "charge/unmovable.h"
#include "share/region.h"

static_assert(sizeof(struct gs_ticket) == CU_IPC_HANDLE_SIZE, "a ticket takes the place of a handle");

struct gs_shown {
    int list;
    struct gs_shown_piece piece[];
};

static void close_all(struct gs_shown *shown, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(shown->piece[i].fd);
    if (shown->list >= 0)
        close(shown->list);
    free(shown);
}

static CUresult export(const struct gs_block *block, struct gs_shown *shown)
{
    for (unsigned i = 0; i < block->count; i++) {
        int fd = -1;
        CUresult result = cuda()->cuMemExportToShareableHandle(&fd, block->piece[i].handle,
                                                               CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
        if (result != CUDA_SUCCESS) {
            close_all(shown, i);
            return result;
        }
        shown->piece[i] = (struct gs_shown_piece){.fd = fd, .bytes = block->piece[i].bytes};
    }
    return CUDA_SUCCESS;
}

static CUresult write_list(const struct gs_block *block, struct gs_shown *shown)
{
    size_t bytes = block->count * sizeof *shown->piece;
    shown->list = (int)syscall(SYS_memfd_create, "gpushare-block", 1u /* MFD_CLOEXEC */);
    if (shown->list >= 0 && write(shown->list, shown->piece, bytes) == (ssize_t)bytes)
        return CUDA_SUCCESS;
    close_all(shown, block->count);
    return CUDA_ERROR_OPERATING_SYSTEM;
}

static CUresult begin(struct gs_block *block)
{
    struct gs_shown *shown = calloc(1, sizeof *shown + block->count * sizeof *shown->piece);
    if (!shown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    shown->list = -1;
    CUresult result = export(block, shown);
    if (result == CUDA_SUCCESS)
        result = write_list(block, shown);
    if (result != CUDA_SUCCESS)
        return result;
    /* Where Yama guards ptrace, nobody but a parent could fetch descriptors from us. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    block->shown = shown;
    gs_fixed_add(GS_FIXED_EXPORTED);
    return CUDA_SUCCESS;
}

CUresult gs_show(struct gs_block *block, uint64_t offset, struct gs_ticket *ticket)
{
    CUresult result = block->shown ? CUDA_SUCCESS : begin(block);
    if (result == CUDA_SUCCESS)
        *ticket = (struct gs_ticket){.magic = GS_TICKET_MAGIC, .pid = getpid(), .list = block->shown->list,
                                     .start = gs_process_start(getpid()), .bytes = block->bytes,
                                     .offset = offset, .count = block->count};
    return result;
}

void gs_hide(struct gs_block *block)
{
    if (!block->shown)
        return;
    close_all(block->shown, block->count);
    block->shown = NULL;
    gs_fixed_drop(GS_FIXED_EXPORTED);
}
