/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/core/driver.h"

gs_sim sim = {.lock = PTHREAD_MUTEX_INITIALIZER, .mps_socket = -1};
__thread int gs_per_thread_default;
