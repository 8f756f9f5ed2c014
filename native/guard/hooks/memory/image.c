/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/memory/image.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/memory/ptx.h"

enum { CUDA_MACHINE = 190, ENTRY_PTX = 1 };

#define FATBIN 0xba55ed50u
#define FATBIN_WRAPPER 0x466243b1u

struct fatbin_wrapper {
    uint32_t magic, version;
    const void *data;
};

struct fatbin_header {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t bytes;
};

struct fatbin_entry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t bytes;
};

static bool counts(const char *name, bool code)
{
    return strncmp(name, ".nv.global", 10) == 0 || (code && strncmp(name, ".text.", 6) == 0);
}

static bool is_cubin(const Elf64_Ehdr *header, size_t length)
{
    return length >= sizeof *header && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0
           && header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_machine == CUDA_MACHINE
           && header->e_shentsize == sizeof(Elf64_Shdr) && header->e_shstrndx < header->e_shnum
           && header->e_shoff <= length
           && header->e_shnum * sizeof(Elf64_Shdr) <= length - header->e_shoff;
}

static uint64_t cubin_bytes(const unsigned char *image, size_t length, bool code)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (!is_cubin(header, length))
        return 0;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(image + header->e_shoff);
    const Elf64_Shdr *names = &section[header->e_shstrndx];
    uint64_t bytes = 0;
    if (names->sh_offset >= length)
        return 0;
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (section[i].sh_name < names->sh_size
            && counts((const char *)image + names->sh_offset + section[i].sh_name, code)
            && __builtin_add_overflow(bytes, section[i].sh_size, &bytes))
            return UINT64_MAX;
    return bytes;
}

static uint64_t entry_bytes(const struct fatbin_entry *entry, bool code)
{
    const unsigned char *payload = (const unsigned char *)entry + entry->header_bytes;
    size_t length = entry->bytes;
    if (entry->kind == ENTRY_PTX)
        return gs_ptx_bytes((const char *)payload, strnlen((const char *)payload, length));
    return cubin_bytes(payload, length, code);
}

/* One entry is loaded. All have the same variables, so the largest stands for it. */
static uint64_t fatbin_bytes(const struct fatbin_header *header, size_t length, bool code)
{
    const unsigned char *at = (const unsigned char *)header + header->header_bytes;
    uint64_t left = header->bytes, most = 0;
    if (length != SIZE_MAX
        && (length < header->header_bytes || left > length - header->header_bytes))
        return 0;
    while (left >= sizeof(struct fatbin_entry)) {
        const struct fatbin_entry *entry = (const struct fatbin_entry *)at;
        if (entry->header_bytes < sizeof *entry || entry->header_bytes > left
            || entry->bytes > left - entry->header_bytes)
            break;
        uint64_t bytes = entry_bytes(entry, code);
        most = bytes > most ? bytes : most;
        at += entry->header_bytes + entry->bytes;
        left -= entry->header_bytes + entry->bytes;
    }
    return most;
}

static uint32_t magic_of(const void *image)
{
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    return magic;
}

uint64_t gs_image_bytes(const void *image, size_t length, bool code)
{
    if (!image || length < sizeof(struct fatbin_header))
        return 0;
    if (length == SIZE_MAX && magic_of(image) == FATBIN_WRAPPER)
        image = ((const struct fatbin_wrapper *)image)->data;
    if (!image)
        return 0;
    if (magic_of(image) == FATBIN)
        return fatbin_bytes(image, length, code);
    if (memcmp(image, ELFMAG, SELFMAG) == 0)
        return cubin_bytes(image, length, code);
    return gs_ptx_bytes(image, strnlen(image, length));
}

uint64_t gs_image_file_bytes(const char *path, bool code)
{
    struct stat info;
    uint64_t bytes = 0;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return 0;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
        void *image = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (image != MAP_FAILED) {
            bytes = gs_image_bytes(image, (size_t)info.st_size, code);
            munmap(image, (size_t)info.st_size);
        }
    }
    close(fd);
    return bytes;
}
