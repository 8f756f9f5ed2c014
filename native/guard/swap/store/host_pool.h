/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory in units, for what leaves the GPU: from the tenant's pool where GPUSHARE_SWAP names one, else the
 * process' own. Only the suspend thread uses it.
 */
#ifndef GS_HOST_POOL_H
#define GS_HOST_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct gs_host_unit {
    unsigned char *at;
    int unit; /* in the pool; -1: our own */
    bool registered;
};

uint64_t gs_host_pool_unit(void);

/* A unit whose pages exist, if there is one now. `*at` is not NULL then. */
bool gs_host_pool_take(struct gs_host_unit *host);
void gs_host_pool_give(struct gs_host_unit *host);

/* Tells the driver, so that it copies at full speed. Wants a current context. */
void gs_host_pool_register(struct gs_host_unit *host);

/* Registers one more of the units that were touched ahead; false when there is nothing to do. */
bool gs_host_pool_register_ahead(uint64_t bytes);

/* Their context is gone. */
void gs_host_pool_unregistered(void);

uint64_t gs_host_pool_registered(void);

/* No pool is named: every process has its own. */
bool gs_host_pool_is_own(void);

/* How many bytes could be had now, and ever. */
uint64_t gs_host_pool_left(void);
uint64_t gs_host_pool_most(void);

/* Less than half of the pool is free, so that nothing should be kept for later. Never for our own. */
bool gs_host_pool_scarce(void);

/* Grows whenever a process of the tenant gives a unit back. */
uint32_t gs_host_pool_given(void);

/* This process is about to give units back; whether anybody was, of late. */
void gs_host_pool_returns(void);
bool gs_host_pool_someone_returns(void);

void gs_host_pool_forget(void);

#endif
