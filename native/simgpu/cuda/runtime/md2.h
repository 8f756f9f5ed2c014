/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: MD2 (RFC 1319), and the authentication code made of it (RFC 2104).
 * Owner: the caller.
 * Threads: no state outside the struct.
 * Limits: keys of exactly one block of 16 bytes. MD2 is obsolete; the CUDA runtime uses it.
 */
#ifndef GS_SIM_CUDA_MD2_H
#define GS_SIM_CUDA_MD2_H

#include <stddef.h>
#include <stdint.h>

enum { GS_MD2_BLOCK = 16 };

typedef struct gs_md2 {
    uint8_t state[48]; /* the first block is the digest */
    uint8_t checksum[GS_MD2_BLOCK];
    uint8_t block[GS_MD2_BLOCK];
    size_t filled;
} gs_md2;

/* Zeroed is a valid beginning. */
void gs_md2_add(gs_md2 *hash, const void *data, size_t size);
void gs_md2_end(gs_md2 *hash, uint8_t digest[GS_MD2_BLOCK]);

typedef struct gs_hmac {
    gs_md2 inner, outer;
} gs_hmac;

gs_hmac gs_hmac_begin(const uint8_t key[GS_MD2_BLOCK]);
void gs_hmac_end(gs_hmac *code, uint8_t digest[GS_MD2_BLOCK]);

#endif
