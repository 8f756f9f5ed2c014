/* SPDX-License-Identifier: Apache-2.0 */
#include "share/prefault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/thread.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { THREADS = 16, PAGE = 4096 };
#define STEP ((size_t)4 << 20)

struct work {
    char *memory;
    size_t bytes;
    int file;
    off_t at;
    _Atomic size_t next;
    _Atomic int error;
};

/* For Linux before 5.14, which has no MADV_POPULATE_WRITE. */
static int prefault_by_access(struct work *work, size_t from, size_t bytes)
{
    if (work->file >= 0)
        return fallocate(work->file, 0, work->at + (off_t)from, (off_t)bytes) < 0 ? errno : 0;
    for (size_t i = 0; i < bytes; i += PAGE)
        ((volatile char *)work->memory)[from + i] = 0;
    return 0;
}

static int prefault_step(struct work *work, size_t from)
{
    size_t bytes = work->bytes - from < STEP ? work->bytes - from : STEP;
    if (madvise(work->memory + from, bytes, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno == EINVAL)
        return prefault_by_access(work, from, bytes);
    return errno == EFAULT ? ENOSPC : errno;
}

static void *run(void *argument)
{
    struct work *work = argument;
    for (size_t from; (from = atomic_fetch_add(&work->next, STEP)) < work->bytes && !work->error;) {
        int error = prefault_step(work, from);
        if (error)
            work->error = error;
    }
    return NULL;
}

static unsigned start(struct work *work, pthread_t *thread, unsigned threads)
{
    unsigned started = 0;
    while (started < threads && gs_thread_start(&thread[started], run, work) == 0)
        started++;
    return started;
}

int gs_prefault(void *memory, size_t bytes, int file, off_t at, unsigned threads)
{
    pthread_t thread[THREADS];
    struct work work = {.memory = memory, .bytes = bytes, .file = file, .at = at};
    size_t steps = (bytes + STEP - 1) / STEP;
    unsigned more = threads < THREADS ? threads : THREADS;
    more = more > steps ? (unsigned)steps : more;
    more = start(&work, thread, more ? more - 1 : 0);
    run(&work);
    while (more)
        pthread_join(thread[--more], NULL);
    return work.error;
}
