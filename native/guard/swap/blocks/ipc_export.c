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

static_assert(sizeof(struct gs_ticket) == CU_IPC_HANDLE_SIZE, "a ticket fits into an IPC handle");

struct gs_ipc_export {
    int list;
    struct gs_ipc_chunk chunk[];
};

static void close_all(struct gs_ipc_export *ipc_export, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(ipc_export->chunk[i].fd);
    if (ipc_export->list >= 0)
        close(ipc_export->list);
    free(ipc_export);
}

static CUresult export(const struct gs_block *block, struct gs_ipc_export *ipc_export)
{
    for (unsigned i = 0; i < block->count; i++) {
        int fd = -1;
        CUresult result =
            cuda()->cuMemExportToShareableHandle(&fd, block->chunk[i].handle,
                                                 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
        if (result != CUDA_SUCCESS) {
            close_all(ipc_export, i);
            return result;
        }
        ipc_export->chunk[i] = (struct gs_ipc_chunk){.fd = fd, .bytes = block->chunk[i].bytes};
    }
    return CUDA_SUCCESS;
}

static CUresult write_list(const struct gs_block *block, struct gs_ipc_export *ipc_export)
{
    size_t bytes = block->count * sizeof *ipc_export->chunk;
    ipc_export->list = (int)syscall(SYS_memfd_create, "gpushare-block", 1u /* MFD_CLOEXEC */);
    if (ipc_export->list >= 0
        && write(ipc_export->list, ipc_export->chunk, bytes) == (ssize_t)bytes)
        return CUDA_SUCCESS;
    close_all(ipc_export, block->count);
    return CUDA_ERROR_OPERATING_SYSTEM;
}

static CUresult begin(struct gs_block *block)
{
    struct gs_ipc_export *ipc_export =
        calloc(1, sizeof *ipc_export + block->count * sizeof *ipc_export->chunk);
    if (!ipc_export)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ipc_export->list = -1;
    CUresult result = export(block, ipc_export);
    if (result == CUDA_SUCCESS)
        result = write_list(block, ipc_export);
    if (result != CUDA_SUCCESS)
        return result;
    /* Yama would let only a parent process copy descriptors from here. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    block->ipc_export = ipc_export;
    gs_unmovable_add(GS_UNMOVABLE_EXPORTED);
    return CUDA_SUCCESS;
}

CUresult gs_ipc_export_block(struct gs_block *block, uint64_t offset, struct gs_ticket *ticket)
{
    CUresult result = block->ipc_export ? CUDA_SUCCESS : begin(block);
    if (result == CUDA_SUCCESS)
        *ticket = (struct gs_ticket){.magic = GS_TICKET_MAGIC,
                                     .pid = getpid(),
                                     .list = block->ipc_export->list,
                                     .start = gs_process_start(getpid()),
                                     .bytes = block->bytes,
                                     .offset = offset,
                                     .count = block->count};
    return result;
}

void gs_ipc_unexport(struct gs_block *block)
{
    if (!block->ipc_export)
        return;
    close_all(block->ipc_export, block->count);
    block->ipc_export = NULL;
    gs_unmovable_drop(GS_UNMOVABLE_EXPORTED);
}
