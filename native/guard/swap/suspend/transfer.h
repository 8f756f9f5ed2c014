/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers: moving the chunks of blocks to the swap image in host memory and back.
 * Owner: the suspend thread, while the process is quiesced and the GPU has finished its work; so no
 * lock is needed.
 * Threads: the suspend thread only.
 * Limits: one GPU after the other; a failure keeps every chunk either on the GPU or in the swap
 * image.
 */
#ifndef GS_TRANSFER_H
#define GS_TRANSFER_H

#include "share/region.h"

/* Bytes of blocks that are on each GPU, and that are not on one. */
struct gs_whereabouts {
    uint64_t here[GS_GPUS];
    uint64_t away;
};
struct gs_whereabouts gs_transfer_survey(void);

/* Discards the swap image: the program may have changed its memory. */
void gs_transfer_mark_dirty(void);

/* Bytes to be copied to leave no more than keep[] on each GPU. */
uint64_t gs_transfer_size(const uint64_t keep[GS_GPUS]);

/* Adds the bytes copied to *moved and keeps `away` in the slot up to date. */
enum gs_failure gs_transfer_out(const uint64_t keep[GS_GPUS], uint64_t *moved);

/* The same back. Waits for room on the GPU while still_ordered() is true. */
enum gs_failure gs_transfer_in(bool (*still_ordered)(void), uint64_t *moved);

#endif
