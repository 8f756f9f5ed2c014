/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks on their way to the swap image in host memory and back. Only the suspend thread calls this, while the process
 * is quiesced and its work is done.
 */
#ifndef GS_TRANSFER_H
#define GS_TRANSFER_H

#include "share/region.h"

/* How many bytes of blocks are on the GPUs, and how many are not. */
struct gs_whereabouts {
    uint64_t here[GS_GPUS];
    uint64_t away;
};
struct gs_whereabouts gs_transfer_survey(void);

/* Forgets that the swap image holds anything: the program may have changed it. */
void gs_transfer_mark_dirty(void);

/* Bytes that would have to be copied to leave no more than keep[] on each GPU. */
uint64_t gs_transfer_size(const uint64_t keep[GS_GPUS]);

/* Each adds what it copied to *moved, and keeps the slot's `away` up to date. Whatever happens, nothing is lost. */
enum gs_failure gs_transfer_out(const uint64_t keep[GS_GPUS], uint64_t *moved);

/* `wanted` says whether to go on waiting for room on the GPU. */
enum gs_failure gs_transfer_in(bool (*wanted)(void), uint64_t *moved);

#endif
