/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: what the files of the simulated NVML share: handles, devices, and the answers.
 * Owner: the image; a handle is an address in nvml_handles and is never freed.
 * Threads: each export takes the image lock around its answer, except scope LIBRARY.
 * Limits: the exports of api.def. An unknown device gives NVML_ERROR_INVALID_ARGUMENT.
 *
 * Model: api.def lists every export with its scope. api.c checks the library state, the handle and
 * the driver release according to the scope, and calls answer_NAME(), which the other files define.
 */
#ifndef GS_SIM_NVML_H
#define GS_SIM_NVML_H

#include "gs_nvml.h"
#include "machine/image.h"

/* A handle is an address in this table; its index is the device's index in the image. */
struct nvmlDevice_st {
    char unused;
};
extern struct nvmlDevice_st nvml_handles[GS_MAX_DEVICES];

#define NVML(scope, since, name, parameters, arguments) nvmlReturn_t answer_##name parameters;
#define NVML_ALIAS(name, target, parameters, arguments)
#define NVML_UNSUPPORTED(name)
#include "nvml/api.def"
#undef NVML
#undef NVML_ALIAS
#undef NVML_UNSUPPORTED

gs_image *nvml_image(void);
int nvml_index(nvmlDevice_t device);
gs_device *nvml_device(nvmlDevice_t device);
/* The physical GPU of a device: itself, or the parent of a MIG instance. */
gs_device *nvml_physical(nvmlDevice_t device);
/* Whether `index` is `device` itself or one of its MIG instances. */
bool nvml_holds(int device, int index);

/* Copies a text; NVML_ERROR_INSUFFICIENT_SIZE when it does not fit with its NUL. */
nvmlReturn_t nvml_text(const char *text, char *out, unsigned length);
/* Answers with one number; NVML_ERROR_INVALID_ARGUMENT without a place for it. */
nvmlReturn_t nvml_number(unsigned value, unsigned *out);
/* Percent of the last second that was busy. */
unsigned nvml_percent(const gs_busy *busy);
/* Major branch of a driver version: 580 of "580.159.03". */
unsigned nvml_branch(const char *driver);
void nvml_pci_parts(const gs_device *device, unsigned *domain, unsigned *bus, unsigned *slot);

#endif
