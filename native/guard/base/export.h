/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks what the library exports; everything else is hidden. tests/guard/test_build.py compares
 * with hooks.def.
 * Owner: none; no state. Threads: any.
 * Limits: for definitions outside hooks.def; real.h exports the hooks of that table by a pragma.
 */
#ifndef GS_EXPORT_H
#define GS_EXPORT_H

#define GS_EXPORT __attribute__((visibility("default")))

#endif
