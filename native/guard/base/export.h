/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks what the library exports; everything else is hidden. tests/guard/test_build.py compares
 * with hooks.def. Threads: any; no state.
 */
#ifndef GS_EXPORT_H
#define GS_EXPORT_H

#define GS_EXPORT __attribute__((visibility("default")))

#endif
