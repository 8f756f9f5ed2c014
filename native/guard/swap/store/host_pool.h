/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory for the swap image, in units: from the host pool of the user where GPUSHARE_SWAP
 * names one, else memory of the process.
 * Owner: the swap image. Threads: the suspend thread only.
 * Limits: a named pool that cannot be used means no host memory at all, so that a user's limit
 * cannot be evaded. Units of a pool stay mapped and registered for the next suspension.
 */
#ifndef GS_HOST_POOL_H
#define GS_HOST_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct gs_host_unit {
    unsigned char *at;
    int unit; /* number in the pool; -1: memory of the process */
    bool registered;
};

/* Bytes per unit. */
uint64_t gs_host_pool_unit(void);

/* Takes a unit, with its pages; false when none is free now. */
bool gs_host_pool_take(struct gs_host_unit *host);
void gs_host_pool_give(struct gs_host_unit *host);

/* Registers a unit with the driver, for copies at full speed. Needs a current context. */
void gs_host_pool_register(struct gs_host_unit *host);

/* Registers one more free unit for later, up to `bytes`; false when nothing is left to do. */
bool gs_host_pool_register_ahead(uint64_t bytes);

/* The last context has ended, and with it all registrations. */
void gs_host_pool_unregistered(void);

/* Bytes registered now. */
uint64_t gs_host_pool_registered(void);

/* Whether memory of the process is used, as no pool is named. */
bool gs_host_pool_is_own(void);

/* Bytes that are free now, and the size. */
uint64_t gs_host_pool_left(void);
uint64_t gs_host_pool_most(void);

/* Less than half of the pool is free: keep nothing for later. Never for memory of the process. */
bool gs_host_pool_scarce(void);

/* Grows whenever a process of the user frees a unit. */
uint32_t gs_host_pool_given(void);

/*
 * Announces that this process frees units soon; whether any process announced so in the last 3 s.
 */
void gs_host_pool_returns(void);
bool gs_host_pool_someone_returns(void);

/* In the child of a fork. */
void gs_host_pool_forget(void);

#endif
