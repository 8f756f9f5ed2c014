/* SPDX-License-Identifier: Apache-2.0 */
#include "charge/charge.h"
#include "driver/dlsym.h"
#include "schedule/process/attachment.h"

/* Not left to the first allocation: after an exec the region must forget what the old program held. */
__attribute__((constructor)) static void start(void)
{
    gs_next_dlsym();
    gs_active();
    gs_ride_start();
}
