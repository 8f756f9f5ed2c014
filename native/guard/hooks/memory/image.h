/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much device memory the data of a module image takes: PTX text, an ELF cubin, or a fat binary
 * of them.
 * Owner: none; no state. Threads: any.
 * Limits: global variables, and code if asked for; what is compressed counts as nothing, because
 * only the driver can read it. An image in memory has no length, so it is trusted as the driver
 * trusts it.
 */
#ifndef GS_IMAGE_H
#define GS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `length`: of the image, SIZE_MAX when unknown. `code`: count code too. */
uint64_t gs_image_bytes(const void *image, size_t length, bool code);

/* The same for a file; 0 when it cannot be read. */
uint64_t gs_image_file_bytes(const char *path, bool code);

#endif
