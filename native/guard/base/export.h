/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GS_EXPORT_H
#define GS_EXPORT_H

#define GS_EXPORT __attribute__((visibility("default")))

#endif
