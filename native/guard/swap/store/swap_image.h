/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The swap image: the content of chunks that are off the GPU, packed into host memory in the order
 * in which they left. Positions count bytes from its begin.
 * Owner: the transfers. Threads: the suspend thread only.
 * Limits: appended at the end only; a unit is freed when all bytes in it have returned, if that is
 * wanted.
 */
#ifndef GS_SWAP_IMAGE_H
#define GS_SWAP_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

/* The position of the next bytes. */
uint64_t gs_swap_image_end(void);

/* Bytes of host memory that it holds, used or not. */
uint64_t gs_swap_image_held(void);

/* Takes host memory for so many more bytes, as far as it is free now. */
void gs_swap_image_reserve(uint64_t bytes);

/* Takes and registers one more unit; false without a free one. Needs a current context. */
bool gs_swap_image_reserve_registered(void);

/* Whether there is host memory at a position, so that gs_swap_image_at() does not wait. */
bool gs_swap_image_has(uint64_t place);

/*
 * Registered host memory at a position, and how many bytes follow without a gap. Beyond what is
 * held it waits for a unit while other processes free some; NULL when they do not.
 */
unsigned char *gs_swap_image_at(uint64_t place, uint64_t *together);

/* So many bytes were written, or are being written, at the end. */
void gs_swap_image_append(uint64_t bytes);

/* Whether a unit is freed as soon as all of its bytes have returned to the GPU. */
void gs_swap_image_returns(bool returns);
void gs_swap_image_returned(uint64_t place, uint64_t bytes);
bool gs_swap_image_is_returning(void);

/* Forgets the content and keeps the host memory. */
void gs_swap_image_clear(void);

/* Frees up to so many units. Only while it is clear. */
void gs_swap_image_shrink(unsigned units);

/* The last context has ended; in the child of a fork. */
void gs_swap_image_unregistered(void);
void gs_swap_image_forget(void);

#endif
