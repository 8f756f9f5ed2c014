/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/spec.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TEXT, U32, LENGTH, I32, U64, BOOL, MODE, VGPU, CC } kind;

typedef struct field {
    const char *key;
    kind kind;
    size_t at, size;
} field;

#define MACHINE(key, kind, member) \
    {key, kind, offsetof(gs_image, member), sizeof(((gs_image *)0)->member)}
#define DEVICE(key, kind, member) \
    {key, kind, offsetof(gs_device, member), sizeof(((gs_device *)0)->member)}

static const field machine_fields[] = {
    MACHINE("driver", TEXT, driver),
    MACHINE("nvml", TEXT, nvml),
    MACHINE("vbios", TEXT, vbios),
    MACHINE("kernel", TEXT, kernel),
    MACHINE("cuda", U32, cuda),
    MACHINE("gpus", U32, gpus),
    MACHINE("residue", BOOL, residue),
    MACHINE("confidential", U32, confidential),
    MACHINE("confidential_tools", U32, confidential_tools),
};

static const field device_fields[] = {
    DEVICE("uuid", TEXT, uuid),
    DEVICE("name", TEXT, name),
    DEVICE("arch", TEXT, arch),
    DEVICE("serial", TEXT, serial),
    DEVICE("board", TEXT, board),
    DEVICE("pci", TEXT, pci),
    DEVICE("pci_id", U32, pci_id),
    DEVICE("pci_subsystem", U32, pci_subsystem),
    DEVICE("numa", I32, numa),
    DEVICE("memory", U64, memory),
    DEVICE("reserved", U64, reserved),
    DEVICE("context", U64, context_cost),
    DEVICE("bar1", U64, bar1),
    DEVICE("sms", U32, sms),
    DEVICE("cc", CC, cc_major),
    DEVICE("sm_chunk", U32, sm_chunk),
    DEVICE("slice", LENGTH, slice_us),
    DEVICE("change", U32, change_us),
    DEVICE("memory_bus", U32, memory_bus),
    DEVICE("l2", U32, l2),
    DEVICE("shared", U32, shared_per_sm),
    DEVICE("shared_optin", U32, shared_optin),
    DEVICE("threads_per_sm", U32, threads_per_sm),
    DEVICE("regs_per_sm", U32, regs_per_sm),
    DEVICE("link", U64, link_bps),
    DEVICE("bandwidth", U64, memory_bps),
    DEVICE("pcie_gen", U32, pcie_gen),
    DEVICE("pcie_width", U32, pcie_width),
    DEVICE("nvlinks", U32, nvlinks),
    DEVICE("clock_sm", U32, clock_sm),
    DEVICE("clock_mem", U32, clock_mem),
    DEVICE("power_limit", U32, power_limit),
    DEVICE("temp", U32, temperature),
    DEVICE("fan", I32, fan),
    DEVICE("compute_mode", MODE, compute_mode),
    DEVICE("persistence", BOOL, persistence),
    DEVICE("ecc", BOOL, ecc),
    DEVICE("mig_capable", BOOL, mig_capable),
    DEVICE("mig", BOOL, mig),
    DEVICE("vgpu", VGPU, vgpu),
    /* MIG instances */
    DEVICE("gpu", I32, parent),
    DEVICE("profile", TEXT, mig_profile),
    DEVICE("gi", I32, gi),
    DEVICE("ci", I32, ci),
    DEVICE("start", U32, slice_start),
    DEVICE("size", U32, slice_size),
};

#define VGPU_TYPE(key, kind, member) \
    {key, kind, offsetof(gs_vgpu_type, member), sizeof(((gs_vgpu_type *)0)->member)}

static const field vgpu_fields[] = {
    VGPU_TYPE("id", U32, id),
    VGPU_TYPE("name", TEXT, name),
    VGPU_TYPE("class", TEXT, kind),
    VGPU_TYPE("memory", U64, memory),
    VGPU_TYPE("instances", U32, instances),
};

static const char *const modes[] = {"default", "", "prohibited", "exclusive"};
static const char *const vgpus[] = {"none", "host", "guest"};

static bool word(const char *value, const char *const *words, int count, int32_t *index)
{
    for (int i = 0; i < count; i++)
        if (*words[i] && strcmp(words[i], value) == 0) {
            *index = i;
            return true;
        }
    return false;
}

static bool store(const field *field, void *base, const char *value)
{
    void *at = (char *)base + field->at;
    char *end = NULL;
    unsigned long long number = strtoull(value, &end, 0);
    bool whole = *value && !*end;
    switch (field->kind) {
    case TEXT: snprintf(at, field->size, "%s", value); return strlen(value) < field->size;
    case U32: *(uint32_t *)at = (uint32_t)number; return whole && number <= UINT32_MAX;
    case LENGTH: *(uint32_t *)at = (uint32_t)number; return whole && number - 1 < UINT32_MAX;
    case I32: *(int32_t *)at = (int32_t)number; return whole;
    case U64: *(uint64_t *)at = number; return whole;
    case BOOL: *(bool *)at = number != 0; return whole;
    case MODE: return word(value, modes, 4, at);
    case VGPU: return word(value, vgpus, 3, at);
    case CC: return sscanf(value, "%u.%u", (uint32_t *)at, (uint32_t *)at + 1) == 2;
    }
    return false;
}

static void print(const field *field, const void *base, FILE *out)
{
    const void *at = (const char *)base + field->at;
    switch (field->kind) {
    case TEXT: fputs(at, out); break;
    case U32:
    case LENGTH: fprintf(out, "%u", *(const uint32_t *)at); break;
    case I32: fprintf(out, "%d", *(const int32_t *)at); break;
    case U64: fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case BOOL: fputc(*(const bool *)at ? '1' : '0', out); break;
    case MODE: fputs(modes[*(const int32_t *)at & 3], out); break;
    case VGPU: fputs(vgpus[*(const int32_t *)at % 3], out); break;
    case CC: fprintf(out, "%u.%u", ((const uint32_t *)at)[0], ((const uint32_t *)at)[1]); break;
    }
}

#define COUNT(fields) (sizeof(fields) / sizeof(fields)[0])

static const field *find(const field *fields, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

static bool set_devices(gs_image *image, int first, int last, const char *key, const char *value)
{
    const field *field = find(device_fields, COUNT(device_fields), key);
    bool good = field != NULL;
    for (int i = first; good && i <= last; i++) {
        image->devices[i].present = true;
        good = store(field, &image->devices[i], value);
    }
    return good;
}

static bool set_vgpu_type(gs_vgpu_type *type, const char *key, const char *value)
{
    const field *field = find(vgpu_fields, COUNT(vgpu_fields), key);
    return field && store(field, type, value);
}

static bool set(gs_image *image, const char *key, const char *value)
{
    char rest[64];
    int index;
    const field *field = find(machine_fields, COUNT(machine_fields), key);
    if (field)
        return store(field, image, value) && image->gpus <= GS_MAX_GPUS;
    if (sscanf(key, "gpu.*.%63s", rest) == 1)
        return image->gpus && set_devices(image, 0, (int)image->gpus - 1, rest, value);
    if (sscanf(key, "gpu.%d.%63s", &index, rest) == 2)
        return index >= 0 && index < (int)image->gpus
               && set_devices(image, index, index, rest, value);
    if (sscanf(key, "mig.%d.%63s", &index, rest) == 2)
        return index >= 0 && index < GS_MAX_DEVICES - GS_MAX_GPUS
               && set_devices(image, GS_MAX_GPUS + index, GS_MAX_GPUS + index, rest, value);
    if (sscanf(key, "vgpu.%d.%63s", &index, rest) == 2)
        return index >= 0 && index < GS_MAX_VGPU_TYPES
               && set_vgpu_type(&image->vgpu_types[index], rest, value);
    return false;
}

static void defaults(gs_image *image)
{
    snprintf(image->driver, sizeof image->driver, "580.159.03");
    snprintf(image->kernel, sizeof image->kernel, "6.8.0");
    snprintf(image->vbios, sizeof image->vbios, "96.00.99.00.01");
    image->cuda = 13000;
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        image->devices[i] = (gs_device){.parent = -1,
                                        .name = "NVIDIA Simulated GPU",
                                        .arch = "hopper",
                                        .numa = -1,
                                        .fan = -1,
                                        .memory = 24ull << 30,
                                        .reserved = i < GS_MAX_GPUS ? 512ull << 20 : 0,
                                        .context_cost = 500ull << 20,
                                        .bar1 = 32ull << 30,
                                        .sms = 132,
                                        .cc_major = 9,
                                        .sm_chunk = 8,
                                        .slice_us = 2048,
                                        .change_us = 165,
                                        .memory_bus = 384,
                                        .l2 = 48u << 20,
                                        .shared_per_sm = 228u << 10,
                                        .shared_optin = 227u << 10,
                                        .threads_per_sm = 2048,
                                        .regs_per_sm = 65536,
                                        .link_bps = 55000000000ull,
                                        .memory_bps = 900000000000ull,
                                        .pcie_gen = 5,
                                        .pcie_width = 16,
                                        .clock_sm = 1980,
                                        .clock_mem = 2619,
                                        .power_limit = 350000,
                                        .temperature = 35,
                                        .ecc = true};
}

static void name_gpus(gs_image *image)
{
    for (int i = 0; i < (int)image->gpus; i++) {
        gs_device *device = &image->devices[i];
        device->present = true;
        device->parent = -1;
        device->ecc_pending = device->ecc;
        device->mig_pending = device->mig;
        device->power_limit_default = device->power_limit;
        if (!*device->uuid)
            snprintf(device->uuid, sizeof device->uuid, "GPU-51600000-0000-4000-8000-%012x", i + 1);
        if (!*device->pci)
            snprintf(device->pci, sizeof device->pci, "0000:%02x:00.0", 0x19 + 0x10 * (i % 14));
    }
    if (!*image->nvml)
        snprintf(image->nvml, sizeof image->nvml, "%u.%.24s", image->cuda / 1000, image->driver);
}

/* A MIG instance is its GPU with less memory and fewer SMs. */
static bool make_instances(gs_image *image)
{
    for (int i = GS_MAX_GPUS; i < GS_MAX_DEVICES; i++) {
        gs_device given = image->devices[i];
        if (!given.present)
            continue;
        if (given.parent < 0 || given.parent >= (int)image->gpus || !*given.uuid)
            return false;
        gs_device *device = &image->devices[i];
        *device = image->devices[given.parent];
        device->parent = given.parent;
        device->memory = given.memory;
        device->reserved = given.reserved;
        device->sms = given.sms;
        device->gi = given.gi;
        device->ci = given.ci;
        device->slice_start = given.slice_start;
        device->slice_size = given.slice_size;
        device->mig = false;
        snprintf(device->uuid, sizeof device->uuid, "%s", given.uuid);
        snprintf(device->mig_profile, sizeof device->mig_profile, "%s", given.mig_profile);
        snprintf(device->name, sizeof device->name, "%.60s MIG %s",
                 image->devices[given.parent].name, given.mig_profile);
    }
    return true;
}

bool gs_machine_read(gs_image *image, FILE *spec)
{
    char line[512];
    defaults(image);
    for (int number = 1; fgets(line, sizeof line, spec); number++) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '=');
        if (*line == '#' || !*line)
            continue;
        if (value)
            *value++ = '\0';
        if (!value || !set(image, line, value)) {
            fprintf(stderr, "gpushare-sim-machine: line %d: invalid key or value \"%s\"\n", number,
                    line);
            return false;
        }
    }
    name_gpus(image);
    if (!make_instances(image)) {
        fprintf(stderr, "gpushare-sim-machine: a MIG instance needs gpu= and uuid=\n");
        return false;
    }
    return true;
}

static void show_vgpu_types(const gs_image *image, FILE *out)
{
    for (int i = 0; i < GS_MAX_VGPU_TYPES; i++)
        for (size_t f = 0; image->vgpu_types[i].id && f < COUNT(vgpu_fields); f++) {
            fprintf(out, "vgpu.%d.%s=", i, vgpu_fields[f].key);
            print(&vgpu_fields[f], &image->vgpu_types[i], out);
            fputc('\n', out);
        }
}

static void show_device(const gs_device *device, const char *prefix, int index, FILE *out)
{
    for (size_t i = 0; i < COUNT(device_fields); i++) {
        const field *field = &device_fields[i];
        if (device->parent < 0 && field->at >= offsetof(gs_device, mig_profile)
            && field->at <= offsetof(gs_device, slice_size))
            continue;
        if (device->parent < 0 && field->at == offsetof(gs_device, parent))
            continue;
        fprintf(out, "%s.%d.%s=", prefix, index, field->key);
        print(field, device, out);
        fputc('\n', out);
    }
}

void gs_machine_show(gs_image *image, FILE *out)
{
    for (size_t i = 0; i < COUNT(machine_fields); i++) {
        fprintf(out, "%s=", machine_fields[i].key);
        print(&machine_fields[i], image, out);
        fputc('\n', out);
    }
    for (int i = 0; i < GS_MAX_DEVICES; i++)
        if (image->devices[i].present)
            show_device(&image->devices[i], i < GS_MAX_GPUS ? "gpu" : "mig",
                        i < GS_MAX_GPUS ? i : i - GS_MAX_GPUS, out);
    show_vgpu_types(image, out);
}
