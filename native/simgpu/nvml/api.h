/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulated NVML share. */
#ifndef GS_SIM_NVML_H
#define GS_SIM_NVML_H

#include "gs_nvml.h"
#include "machine/image.h"

/* A handle is a place in this table; its index is the device's index in the image. */
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

/* Copy a text out; NVML_ERROR_INSUFFICIENT_SIZE when it does not fit with its end. */
nvmlReturn_t nvml_text(const char *text, char *out, unsigned length);
/* Percent of the last second that was busy. */
unsigned nvml_percent(const gs_busy *busy);
/* Major branch of a driver version: 580 of "580.159.03". */
unsigned nvml_branch(const char *driver);
void nvml_pci_parts(const gs_device *device, unsigned *domain, unsigned *bus, unsigned *slot);

#endif
