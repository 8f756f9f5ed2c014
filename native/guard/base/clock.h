/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_CLOCK_H
#define GS_CLOCK_H

#include <stdint.h>

uint64_t gs_now(void); /* ns of CLOCK_MONOTONIC */

#endif
