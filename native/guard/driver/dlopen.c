/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/dlopen.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/export.h"
#include "driver/driver_library.h"
#include "driver/interposed.h"
#include "driver/real.h"
#include "driver/redirect.h"
#include "share/attach.h"

typedef void *gs_dlmopen(Lmid_t space, const char *file, int mode);

static void *next_dlopen, *next_dlmopen;
static __thread bool preparing; /* constructors of the driver may load libraries */

gs_dlopen *gs_next_dlopen(void)
{
    return (gs_dlopen *)gs_next_once(&next_dlopen, "dlopen");
}

static gs_dlmopen *next_dlmopen_once(void)
{
    return (gs_dlmopen *)gs_next_once(&next_dlmopen, "dlmopen");
}

/* Invariant 5 of resolve.c: never closed. */
static void *load(const char *file, int mode)
{
    void *library = gs_next_dlopen()(file, RTLD_LAZY | RTLD_LOCAL | mode);
    if (!library)
        dlerror(); /* the program's next dlerror() is about its own call */
    return library;
}

static void redirect_both(void)
{
    cuda();
    nvml();
}

static void load_both(void)
{
    load("libcuda.so.1", 0);
    load("libnvidia-ml.so.1", 0);
    redirect_both();
}

static void load_one(const char *file, const void *caller)
{
    bool path = strchr(file, '/') && !strchr(file, '$');
    if (path || (!strchr(file, '/') && !gs_has_own_paths(caller)))
        load(file, 0);
    redirect_both();
}

static bool is_first_use(void)
{
    return !preparing && !gs_resolving() && gs_active();
}

static void prepare(const char *file, int mode, const void *caller)
{
    int kept_errno = errno;
    preparing = true;
    if (mode & RTLD_DEEPBIND)
        load_both();
    else if (gs_driver_library(file))
        load_one(file, caller);
    preparing = false;
    errno = kept_errno;
}

#define DLOPEN(function)                                                       \
    GS_EXPORT void *function(const char *file, int mode)                       \
    {                                                                          \
        gs_dlopen *next = gs_next_dlopen();                                    \
        if (file && !(mode & RTLD_NOLOAD) && !gs_cuda_ready && is_first_use()) \
            prepare(file, mode, __builtin_return_address(0));                  \
        TAIL_CALL return next(file, mode);                                     \
    }
DLOPEN(gs_dlopen_now)
DLOPEN(gs_dlopen_before)
GS_VERSIONS(dlopen, gs_dlopen_now, gs_dlopen_before, GS_FIRST_VERSION);

/*
 * A namespace that was made for the driver's libraries before the program's object came into it.
 * They keep it alive, and a process can have 16, so it is given back when nothing else is left.
 */
struct space {
    void *libraries[2];
    unsigned objects; /* with these libraries only */
};

enum { SPACES = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `spaces` */
static struct space spaces[SPACES];

static unsigned count_objects(const struct space *space)
{
    const struct link_map *object = space->libraries[0];
    unsigned count = 0;
    while (object->l_prev)
        object = object->l_prev;
    for (; object; object = object->l_next)
        count++;
    return count;
}

static bool take_unused(struct space *unused)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SPACES && !found; i++)
        if (spaces[i].libraries[0] && count_objects(&spaces[i]) == spaces[i].objects) {
            *unused = spaces[i];
            spaces[i] = (struct space){0};
            found = true;
        }
    pthread_mutex_unlock(&lock);
    return found;
}

static void give_back_unused(void)
{
    struct space unused;
    while (take_unused(&unused))
        for (int i = 1; i >= 0; i--)
            if (unused.libraries[i])
                dlclose(unused.libraries[i]);
}

static void remember(const struct space *space)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SPACES; i++)
        if (!spaces[i].libraries[0]) {
            spaces[i] = *space;
            break;
        }
    pthread_mutex_unlock(&lock);
}

static void *copy(Lmid_t where, const char *name)
{
    struct link_map *first = load(name, RTLD_NOLOAD);
    void *copied = first ? next_dlmopen_once()(where, first->l_name, RTLD_LAZY | RTLD_LOCAL) : NULL;
    if (copied)
        gs_redirect_copy(copied, first, name);
    else
        dlerror();
    return copied;
}

/* The new namespace, or LM_ID_NEWLM when there is no driver to copy. */
static Lmid_t make_space(void)
{
    Lmid_t made = LM_ID_NEWLM;
    int kept_errno = errno;
    preparing = true;
    give_back_unused();
    load_both();
    struct space space = {.libraries = {copy(LM_ID_NEWLM, "libcuda.so.1")}};
    if (space.libraries[0] && dlinfo(space.libraries[0], RTLD_DI_LMID, &made) == 0) {
        space.libraries[1] = copy(made, "libnvidia-ml.so.1");
        space.objects = count_objects(&space);
        remember(&space);
    }
    preparing = false;
    errno = kept_errno;
    return made;
}

#define DLMOPEN(function)                                              \
    GS_EXPORT void *function(Lmid_t space, const char *file, int mode) \
    {                                                                  \
        gs_dlmopen *next = next_dlmopen_once();                        \
        if (space == LM_ID_NEWLM && file && is_first_use())            \
            space = make_space();                                      \
        TAIL_CALL return next(space, file, mode);                      \
    }
DLMOPEN(gs_dlmopen_now)
DLMOPEN(gs_dlmopen_before)
GS_VERSIONS(dlmopen, gs_dlmopen_now, gs_dlmopen_before, GS_DLMOPEN_VERSION);

void gs_dlopen_forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
