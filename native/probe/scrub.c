/* SPDX-License-Identifier: Apache-2.0 */
#include "scrub.h"

#include <string.h>

#define MIB (1ull << 20)

enum { PIECES = 8192 };

static const uint64_t largest = 64 * MIB, smallest = 2 * MIB;

static struct piece {
    CUdeviceptr at;
    uint64_t size;
} pieces[PIECES];

struct figures {
    uint64_t allocated, dirty, filled, proved;
};

/* All at once, or the driver would give the same memory again. */
static unsigned allocate(uint64_t goal, struct figures *figures)
{
    unsigned count = 0;
    uint64_t size = largest;
    while (count < PIECES && size >= smallest && figures->allocated < goal) {
        const uint64_t left = goal - figures->allocated, part = left < size ? left : size;
        struct piece *piece = &pieces[count];
        if (driver.cuMemAlloc_v2(&piece->at, part) != CUDA_SUCCESS) {
            size /= 2;
            continue;
        }
        piece->size = part;
        figures->allocated += part;
        count++;
    }
    return count;
}

/* A library's memcmp() reads a whole GPU's memory in seconds, counting byte by byte in minutes. */
static bool is_zero(const unsigned char *bytes, uint64_t size)
{
    return !size || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static uint64_t not_zero(const unsigned char *bytes, uint64_t size)
{
    uint64_t count = 0, at = 0;
    if (is_zero(bytes, size))
        return 0;
    for (const uint64_t *word = (const uint64_t *)bytes; at + 8 <= size; at += 8, word++)
        for (uint64_t left = *word; left; left >>= 8)
            count += (left & 0xff) != 0;
    for (; at < size; at++)
        count += bytes[at] != 0;
    return count;
}

/* Bytes of the piece that are not zero; all of them where it cannot be read. */
static uint64_t read_piece(const struct piece *piece, unsigned char *host)
{
    if (driver.cuMemcpyDtoH_v2(host, piece->at, piece->size) != CUDA_SUCCESS)
        return piece->size;
    return not_zero(host, piece->size);
}

static void clean(const struct piece *piece, unsigned char *host, struct figures *figures)
{
    if (driver.cuMemsetD8_v2(piece->at, 0, piece->size) != CUDA_SUCCESS)
        return;
    figures->filled += piece->size;
    figures->proved += piece->size - read_piece(piece, host);
}

void scrub_run(const struct device *device, const struct scrub *scrub, struct json *json)
{
    struct figures figures = {0};
    void *host = NULL; /* of the driver: copies to other memory are several times slower */
    const uint64_t goal = scrub->bytes ? scrub->bytes : device->total;
    const bool able = driver.cuMemAllocHost_v2(&host, largest) == CUDA_SUCCESS;
    const unsigned count = able ? allocate(goal, &figures) : 0;
    for (unsigned i = 0; i < count; i++) {
        figures.dirty += read_piece(&pieces[i], host);
        if (!scrub->look)
            clean(&pieces[i], host, &figures);
        driver.cuMemFree_v2(pieces[i].at);
    }
    if (able)
        driver.cuMemFreeHost(host);
    json_number(json, "allocated", (int64_t)figures.allocated);
    json_number(json, "dirty", (int64_t)figures.dirty);
    json_number(json, "filled", (int64_t)figures.filled);
    json_number(json, "proved", (int64_t)figures.proved);
}
