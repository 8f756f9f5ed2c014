/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/setup/visible_devices.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/real.h"
#include "hooks/setup/visible_list.h"
#include "share/attach.h"

#define VARIABLE "CUDA_VISIBLE_DEVICES"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static _Thread_local bool inside;
static char shown[sizeof VARIABLE + GS_VISIBLE_LIST] = VARIABLE "=";

static char **entry(void)
{
    for (char **at = environ; at && *at; at++)
        if (strncmp(*at, VARIABLE "=", sizeof VARIABLE) == 0)
            return at;
    return NULL;
}

/*
 * The entry is exchanged in place: setenv() could move the environment while another thread reads
 * it. Returns the program's entry, NULL where the variable is not set.
 */
static char *show(void)
{
    char **mine = entry();
    char *kept = mine ? *mine : NULL;
    gs_visible_list(gs_shared_region(), getenv("GPUSHARE_NUMBERS"),
                    kept ? kept + sizeof VARIABLE : NULL, shown + sizeof VARIABLE);
    if (mine)
        __atomic_store_n(mine, shown, __ATOMIC_RELEASE);
    else
        setenv(VARIABLE, shown + sizeof VARIABLE, 1);
    return kept;
}

/* Another thread may have set the variable meanwhile; that value stays. */
static void put_back(char *kept)
{
    char **mine = entry();
    if (!kept)
        unsetenv(VARIABLE);
    else if (mine && *mine == shown)
        __atomic_store_n(mine, kept, __ATOMIC_RELEASE);
}

static CUresult start(unsigned int flags)
{
    char *kept = show();
    inside = true;
    CUresult result = cuda()->cuInit(flags);
    inside = false;
    started = result == CUDA_SUCCESS;
    put_back(kept);
    return result;
}

CUresult cuInit(unsigned int flags)
{
    /* A driver library may call its own cuInit(). */
    if (inside || !gs_active())
        return cuda()->cuInit(flags);
    pthread_mutex_lock(&lock);
    CUresult result = started ? cuda()->cuInit(flags) : start(flags);
    pthread_mutex_unlock(&lock);
    return result;
}

void gs_visible_devices_unknown(void)
{
    const char *path = getenv("GPUSHARE_REGION");
    if (path && *path && !gs_active())
        setenv(VARIABLE, "", 1);
}

void gs_visible_devices_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    started = false;
}
