/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The global variables that PTX text declares.
 * Owner: none; no state. Threads: any.
 * Limits: sizes are read as numbers; the text need not be valid, and nothing is reported then.
 */
#ifndef GS_PTX_H
#define GS_PTX_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of all `.global` variables that the text defines; UINT64_MAX when they overflow. */
uint64_t gs_ptx_bytes(const char *text, size_t length);

#endif
