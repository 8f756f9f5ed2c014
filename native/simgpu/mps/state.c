/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/state.h"

mps_state mps = {.image_fd = -1};
