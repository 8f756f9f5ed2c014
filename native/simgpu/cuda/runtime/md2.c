/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/runtime/md2.h"

#include <string.h>

/* "PI_SUBST" of RFC 1319: a permutation of the bytes made from the digits of pi. */
static const uint8_t substitute[256] = {
    41,  46,  67,  201, 162, 216, 124, 1,   61,  54,  84,  161, 236, 240, 6,   19,  98,  167, 5,
    243, 192, 199, 115, 140, 152, 147, 43,  217, 188, 76,  130, 202, 30,  155, 87,  60,  253, 212,
    224, 22,  103, 66,  111, 24,  138, 23,  229, 18,  190, 78,  196, 214, 218, 158, 222, 73,  160,
    251, 245, 142, 187, 47,  238, 122, 169, 104, 121, 145, 21,  178, 7,   63,  148, 194, 16,  137,
    11,  34,  95,  33,  128, 127, 93,  154, 90,  144, 50,  39,  53,  62,  204, 231, 191, 247, 151,
    3,   255, 25,  48,  179, 72,  165, 181, 209, 215, 94,  146, 42,  172, 86,  170, 198, 79,  184,
    56,  210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4,   241, 69,  157, 112, 89,  100,
    113, 135, 32,  134, 91,  207, 101, 230, 45,  168, 2,   27,  96,  37,  173, 174, 176, 185, 246,
    28,  70,  97,  105, 52,  64,  126, 15,  85,  71,  163, 35,  221, 81,  175, 58,  195, 92,  249,
    206, 186, 197, 234, 38,  44,  83,  13,  110, 133, 40,  132, 9,   211, 223, 205, 244, 65,  129,
    77,  82,  106, 220, 55,  200, 108, 193, 171, 250, 36,  225, 123, 8,   12,  189, 177, 74,  120,
    136, 149, 139, 227, 99,  232, 109, 233, 203, 213, 254, 59,  0,   29,  57,  242, 239, 183, 14,
    102, 88,  208, 228, 166, 119, 114, 248, 235, 117, 75,  10,  49,  68,  80,  180, 143, 237, 31,
    26,  219, 153, 141, 51,  159, 17,  131, 20,
};

static void take_checksum(gs_md2 *hash)
{
    uint8_t last = hash->checksum[GS_MD2_BLOCK - 1];
    for (int i = 0; i < GS_MD2_BLOCK; i++)
        last = hash->checksum[i] ^= substitute[hash->block[i] ^ last];
}

static void mix(gs_md2 *hash)
{
    uint8_t last = 0;
    for (int i = 0; i < GS_MD2_BLOCK; i++) {
        hash->state[16 + i] = hash->block[i];
        hash->state[32 + i] = hash->block[i] ^ hash->state[i];
    }
    for (int round = 0; round < 18; round++) {
        for (int i = 0; i < 48; i++)
            last = hash->state[i] ^= substitute[last];
        last = (uint8_t)(last + round);
    }
}

void gs_md2_add(gs_md2 *hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        hash->block[hash->filled++] = bytes[i];
        if (hash->filled < GS_MD2_BLOCK)
            continue;
        take_checksum(hash);
        mix(hash);
        hash->filled = 0;
    }
}

void gs_md2_end(gs_md2 *hash, uint8_t digest[GS_MD2_BLOCK])
{
    uint8_t padding[GS_MD2_BLOCK], checksum[GS_MD2_BLOCK];
    size_t missing = GS_MD2_BLOCK - hash->filled;
    memset(padding, (int)missing, sizeof padding);
    gs_md2_add(hash, padding, missing);
    memcpy(checksum, hash->checksum, sizeof checksum);
    gs_md2_add(hash, checksum, sizeof checksum);
    memcpy(digest, hash->state, GS_MD2_BLOCK);
}

static void add_key(gs_md2 *hash, const uint8_t key[GS_MD2_BLOCK], uint8_t pad)
{
    uint8_t padded[GS_MD2_BLOCK];
    for (int i = 0; i < GS_MD2_BLOCK; i++)
        padded[i] = key[i] ^ pad;
    gs_md2_add(hash, padded, sizeof padded);
}

gs_hmac gs_hmac_begin(const uint8_t key[GS_MD2_BLOCK])
{
    gs_hmac code = {0};
    add_key(&code.inner, key, 0x36);
    add_key(&code.outer, key, 0x5c);
    return code;
}

void gs_hmac_end(gs_hmac *code, uint8_t digest[GS_MD2_BLOCK])
{
    uint8_t inner[GS_MD2_BLOCK];
    gs_md2_end(&code->inner, inner);
    gs_md2_add(&code->outer, inner, sizeof inner);
    gs_md2_end(&code->outer, digest);
}
