/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/residue.h"

#include <string.h>

static bool is_zero(const unsigned char *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static void keep(gs_device *device, const unsigned char *bytes, uint64_t sample, uint64_t size)
{
    for (uint64_t at = 0; at < GS_RESIDUE_PAGE; at += sample)
        memcpy(device->residue + at, bytes,
               sample < GS_RESIDUE_PAGE - at ? sample : GS_RESIDUE_PAGE - at);
    device->residue_bytes += size;
    if (device->residue_bytes > device->memory)
        device->residue_bytes = device->memory;
}

void gs_residue_note(gs_image *image, int device, const void *bytes, uint64_t size)
{
    if (!image->residue || device < 0 || size == 0)
        return;
    gs_device *hit = &image->devices[device];
    const uint64_t sample = size < GS_RESIDUE_PAGE ? size : GS_RESIDUE_PAGE;
    gs_image_lock(image);
    if (!is_zero(bytes, sample))
        keep(hit, bytes, sample, size);
    else
        hit->residue_bytes -= size < hit->residue_bytes ? size : hit->residue_bytes;
    gs_image_unlock(image);
}

uint64_t gs_residue_of(gs_image *image, int device, unsigned char page[GS_RESIDUE_PAGE])
{
    if (!image->residue || device < 0)
        return 0;
    gs_image_lock(image);
    const gs_device *hit = &image->devices[device];
    const uint64_t bytes = hit->residue_bytes;
    memcpy(page, hit->residue, GS_RESIDUE_PAGE);
    gs_image_unlock(image);
    return bytes;
}
