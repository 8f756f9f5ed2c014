/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU page as a file: created and written by the daemon, mapped by the guards. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/export.h"
#include "base/shared_file.h"
#include "share/gpu_page.h"

static bool sound(const struct gs_gpu_page *page)
{
    return page->magic == GS_GPU_PAGE_MAGIC
           && (page->version == GS_GPU_PAGE_VERSION || page->version == GS_GPU_PAGE_FORMER)
           && page->header_size == offsetof(struct gs_gpu_page, share_slot)
           && page->share_slot_size == sizeof(struct gs_share_slot)
           && page->process_slot_size == sizeof(struct gs_process_slot)
           && page->share_slot_count == GS_SHARE_SLOTS
           && page->process_slot_count == GS_PROCESS_SLOTS;
}

struct gs_gpu_page *gs_gpu_page_map(const char *path)
{
    struct gs_gpu_page *page = gs_shared_file_map(path, sizeof *page);
    if (!page || sound(page))
        return page;
    gs_gpu_page_unmap(page);
    errno = EBADMSG;
    return NULL;
}

void gs_gpu_page_unmap(struct gs_gpu_page *page)
{
    gs_shared_file_unmap(page, sizeof *page);
}

static void fill(void *content, const void *with)
{
    struct gs_gpu_page *page = content;
    const char *uuid = with;
    page->version = GS_GPU_PAGE_VERSION;
    page->header_size = offsetof(struct gs_gpu_page, share_slot);
    page->share_slot_size = sizeof(struct gs_share_slot);
    page->process_slot_size = sizeof(struct gs_process_slot);
    page->share_slot_count = GS_SHARE_SLOTS;
    page->process_slot_count = GS_PROCESS_SLOTS;
    memcpy(page->uuid, uuid, strnlen(uuid, sizeof page->uuid - 1));
    page->magic = GS_GPU_PAGE_MAGIC;
}

/* In whole pages of memory, because the driver pins pages for the GPU to read. */
GS_EXPORT int gpushare_gpu_page_create(const char *path, const char *uuid)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE),
           size = (sizeof(struct gs_gpu_page) + page - 1) / page * page;
    return gs_shared_file_make(path, size, fill, uuid);
}

/* Neither maps nor locks, as with regions: every tenant of the GPU can write this file. */
GS_EXPORT int gpushare_gpu_page_set_share(const char *path, unsigned slot,
                                          const struct gs_share_policy *policy)
{
    struct gs_gpu_page head;
    if (slot >= GS_SHARE_SLOTS)
        return -EINVAL;
    int fd = gs_shared_file_open(path, 0, sizeof(struct gs_gpu_page));
    if (fd < 0)
        return fd;
    size_t header = offsetof(struct gs_gpu_page, share_slot),
           at = header + slot * sizeof(struct gs_share_slot);
    bool whole = pread(fd, &head, header, 0) == (ssize_t)header && sound(&head);
    struct gs_share_slot fresh = {.policy = *policy};
    /* A share slot that becomes free is cleared, so its next share starts with zero counters. */
    size_t size = policy->share[0] ? sizeof *policy : sizeof fresh;
    int result = !whole                                                 ? -EBADMSG
                 : pwrite(fd, &fresh, size, (off_t)at) == (ssize_t)size ? 0
                                                                        : -EIO;
    close(fd);
    return result;
}
