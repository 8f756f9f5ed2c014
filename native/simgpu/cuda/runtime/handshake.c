/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/runtime/handshake.h"

#include <unistd.h>

#include "cuda/runtime/md2.h"

static const uint8_t key[GS_MD2_BLOCK] = {0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
                                          0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};

typedef struct question {
    uint32_t driver, version, process, thread;
    gs_handshake_tables tables;
    uint64_t unix_seconds;
} question;

typedef struct description {
    CUuuid uuid;
    int domain, bus, slot;
} description;

static CUresult describe(CUdevice ordinal, description *device)
{
    TRY(cuDeviceGetUuid_v2(&device->uuid, ordinal));
    TRY(cuDeviceGetAttribute(&device->domain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, ordinal));
    TRY(cuDeviceGetAttribute(&device->bus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, ordinal));
    return cuDeviceGetAttribute(&device->slot, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, ordinal);
}

static CUresult add_devices(gs_md2 *hash)
{
    int count;
    TRY(cuDeviceGetCount(&count));
    for (int i = 0; i < count; i++) {
        description device;
        TRY(describe(i, &device));
        gs_md2_add(hash, &device, sizeof device);
    }
    return CUDA_SUCCESS;
}

static CUresult sign(const question *asked, uint64_t answer[2])
{
    gs_hmac code = gs_hmac_begin(key);
    gs_md2_add(&code.inner, asked, sizeof *asked);
    TRY(add_devices(&code.inner));
    gs_hmac_end(&code, (uint8_t *)answer);
    return CUDA_SUCCESS;
}

CUresult gs_handshake(uint32_t version, uint64_t unix_seconds, const gs_handshake_tables *tables,
                      uint64_t answer[2])
{
    int driver;
    CHECK(answer, CUDA_ERROR_INVALID_VALUE);
    if (version % 10 < 2) {
        answer[0] = version % 10 ? 0x1841181c03cb675cull : 0x3341181c03cb675cull;
        answer[1] = 0x8ed383aa1f4cd1e8ull;
        return CUDA_SUCCESS;
    }
    TRY(cuDriverGetVersion(&driver));
    question asked = {.driver = (uint32_t)driver,
                      .version = version,
                      .process = (uint32_t)getpid(),
                      .thread = (uint32_t)(uintptr_t)pthread_self(),
                      .tables = *tables,
                      .unix_seconds = unix_seconds};
    return sign(&asked, answer);
}
