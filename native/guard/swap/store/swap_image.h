/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has left the GPU, packed into host memory in the order in which it left. Only the suspend thread uses it.
 */
#ifndef GS_SWAP_IMAGE_H
#define GS_SWAP_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Where the next bytes go. */
uint64_t gs_swap_image_end(void);

/* Host memory that it holds. */
uint64_t gs_swap_image_held(void);

/* Takes host memory for so many more bytes, as far as there is some now. */
void gs_swap_image_reserve(uint64_t bytes);

/* One unit more, registered; false when there is none. Wants a current context. */
bool gs_swap_image_reserve_registered(void);

/* Whether there is host memory at a place, so that gs_swap_image_at() need not wait. */
bool gs_swap_image_has(uint64_t place);

/*
 * Registered host memory at a place up to the end, and how many bytes of it lie together. Beyond what is held it waits
 * for a unit as long as anybody gives some back. NULL when nobody does.
 */
unsigned char *gs_swap_image_at(uint64_t place, uint64_t *together);

/* So many bytes were, or are being, put at the end. */
void gs_swap_image_append(uint64_t bytes);

/* From now on units are, or are not, given back as soon as all of their bytes were. */
void gs_swap_image_returns(bool returns);
void gs_swap_image_returned(uint64_t place, uint64_t bytes);
bool gs_swap_image_is_returning(void);

/* Nothing in it counts any more; its host memory is kept. */
void gs_swap_image_clear(void);

/* Gives back up to so many units; wants it clear. */
void gs_swap_image_shrink(unsigned units);

void gs_swap_image_unregistered(void);
void gs_swap_image_forget(void);

#endif
