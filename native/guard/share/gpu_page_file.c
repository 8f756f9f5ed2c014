/* SPDX-License-Identifier: Apache-2.0 */
/* The board as a file: made and written by the daemon, mapped by the guards. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/export.h"
#include "base/shared_file.h"
#include "share/gpu_page.h"

static bool sound(const struct gs_board *board)
{
    return board->magic == GS_BOARD_MAGIC && board->version == GS_BOARD_VERSION &&
           board->header_size == offsetof(struct gs_board, seat) && board->seat_size == sizeof(struct gs_seat) &&
           board->rider_size == sizeof(struct gs_rider) && board->seat_count == GS_SEATS &&
           board->rider_count == GS_RIDERS;
}

struct gs_board *gs_board_map(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), error = EBADMSG;
    if (fd < 0)
        return NULL;
    struct gs_board *board = MAP_FAILED;
    if (fstat(fd, &info) == 0 && info.st_size >= (off_t)sizeof *board) {
        board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = board == MAP_FAILED ? errno : EBADMSG;
    }
    close(fd);
    if (board != MAP_FAILED && sound(board))
        return board;
    if (board != MAP_FAILED)
        gs_board_unmap(board);
    errno = error;
    return NULL;
}

void gs_board_unmap(struct gs_board *board)
{
    munmap(board, sizeof *board);
}

static void fill(void *content, const void *with)
{
    struct gs_board *board = content;
    const char *uuid = with;
    board->version = GS_BOARD_VERSION;
    board->header_size = offsetof(struct gs_board, seat);
    board->seat_size = sizeof(struct gs_seat);
    board->rider_size = sizeof(struct gs_rider);
    board->seat_count = GS_SEATS;
    board->rider_count = GS_RIDERS;
    memcpy(board->uuid, uuid, strnlen(uuid, sizeof board->uuid - 1));
    board->magic = GS_BOARD_MAGIC;
}

/* Whole pages: the GPU is to see parts of it, and a page is what the driver can pin. */
GS_EXPORT int gpushare_board_create(const char *path, const char *uuid)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (sizeof(struct gs_board) + page - 1) / page * page;
    return gs_shared_file_make(path, size, fill, uuid);
}

/* Neither maps nor locks, as with regions: every tenant of the GPU can write this file. */
GS_EXPORT int gpushare_board_seat(const char *path, unsigned seat, const struct gs_seat_policy *policy)
{
    struct gs_board head;
    if (seat >= GS_SEATS)
        return -EINVAL;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    size_t at = offsetof(struct gs_board, seat) + seat * sizeof(struct gs_seat), header = offsetof(struct gs_board, seat);
    bool whole = pread(fd, &head, header, 0) == (ssize_t)header && sound(&head);
    struct gs_seat fresh = {.policy = *policy};
    /* A seat that is given away begins with nothing of whoever had it before. */
    size_t size = policy->share[0] ? sizeof *policy : sizeof fresh;
    int result = !whole ? -EBADMSG : pwrite(fd, &fresh, size, (off_t)at) == (ssize_t)size ? 0 : -EIO;
    close(fd);
    return result;
}
