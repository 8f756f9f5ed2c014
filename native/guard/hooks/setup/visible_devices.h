/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GPUs that a program sees: cuInit() shows the driver the GPUs of the share only, whatever
 * CUDA_VISIBLE_DEVICES says, and puts the program's own value back.
 * Owner: visible_devices.c, until the driver has started. Threads: any; calls of cuInit() wait for
 * each other until one succeeds. Limits: the environment is read by cuInit() only.
 */
#ifndef GS_VISIBLE_DEVICES_H
#define GS_VISIBLE_DEVICES_H

/*
 * At the start of the program: where the region cannot be mapped, nothing says which GPUs the
 * numbers mean and nothing is limited, so the program finds no GPU.
 */
void gs_visible_devices_unknown(void);

/* In the child of a fork. */
void gs_visible_devices_forget(void);

#endif
