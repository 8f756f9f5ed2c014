/* SPDX-License-Identifier: Apache-2.0 */
#include "dl.h"
#include "limit.h"
#include "ride.h"

/* Not left to the first allocation: after an exec the region must forget what the old program held. */
__attribute__((constructor)) static void start(void)
{
    gs_next_dlsym();
    gs_active();
    gs_ride_start();
}
