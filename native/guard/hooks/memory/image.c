/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/memory/image.h"

#include <ctype.h>
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

struct reader {
    const char *at, *end;
};

struct word {
    const char *begin;
    size_t length;
};

static bool is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.begin, text, word.length) == 0;
}

static void skip_to(struct reader *reader, const char *mark)
{
    const char *found = memmem(reader->at, (size_t)(reader->end - reader->at), mark, strlen(mark));
    reader->at = found ? found + strlen(mark) : reader->end;
}

static bool begins(const struct reader *reader, const char *mark)
{
    size_t length = strlen(mark);
    return (size_t)(reader->end - reader->at) >= length && !memcmp(reader->at, mark, length);
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

/* The next word, or one other character; empty at the end. Comments are skipped. */
static struct word next(struct reader *reader)
{
    while (reader->at < reader->end) {
        if (isspace((unsigned char)*reader->at))
            reader->at++;
        else if (begins(reader, "//"))
            skip_to(reader, "\n");
        else if (begins(reader, "/*"))
            skip_to(reader, "*/");
        else
            break;
    }
    struct word word = {reader->at, 0};
    while (reader->at < reader->end && in_word(*reader->at))
        reader->at++;
    if (reader->at == word.begin && reader->at < reader->end)
        reader->at++;
    word.length = (size_t)(reader->at - word.begin);
    return word;
}

static uint64_t number(struct word word)
{
    char digits[32] = "";
    memcpy(digits, word.begin, word.length < sizeof digits ? word.length : sizeof digits - 1);
    return strtoull(digits, NULL, 0);
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Bytes of a type such as ".b8", ".f32" or ".pred"; 0 when the word is none. */
static uint64_t type_bytes(struct word word)
{
    if (word.length < 3 || word.length > 5 || !strchr("bsuf", word.begin[1]))
        return 0;
    for (size_t i = 2; i < word.length; i++)
        if (!isdigit((unsigned char)word.begin[i]))
            return 0;
    struct word bits = {word.begin + 2, word.length - 2};
    return number(bits) / 8;
}

/* Reads over "= {1, {2}}" or "= value", up to the comma or semicolon behind it. */
static void skip_value(struct reader *reader)
{
    int depth = 0;
    while (reader->at < reader->end) {
        struct reader before = *reader;
        struct word word = next(reader);
        depth += is(word, "{") - is(word, "}");
        if (depth <= 0 && (is(word, ",") || is(word, ";"))) {
            *reader = before;
            return;
        }
    }
}

static bool names(struct word word)
{
    return isalpha((unsigned char)*word.begin) || strchr("_$%", *word.begin);
}

/* Reads up to the end of a declaration: ".align 4 .b8 name[64][2] = {0}, other;". */
static uint64_t declared(struct reader *reader)
{
    uint64_t element = 0, bytes = 0, variable = 0;
    for (struct word word; (word = next(reader)).length && !is(word, ";") && !is(word, ")");) {
        if (type_bytes(word))
            element = times(element ? element : 1, type_bytes(word));
        else if (is(word, ".v2") || is(word, ".v4"))
            element = (uint64_t)(word.begin[2] - '0');
        else if (is(word, ".align"))
            next(reader);
        else if (is(word, "["))
            variable = times(variable, number(next(reader)));
        else if (is(word, "="))
            skip_value(reader);
        else if (element && names(word)) {
            if (__builtin_add_overflow(bytes, variable, &bytes))
                return UINT64_MAX;
            variable = element;
        }
    }
    return __builtin_add_overflow(bytes, variable, &bytes) ? UINT64_MAX : bytes;
}

/* The variables that PTX defines. The text need not be valid; nothing is reported then. */
static uint64_t ptx_bytes(const char *text, size_t length)
{
    struct reader reader = {text, text + length};
    uint64_t bytes = 0;
    bool elsewhere = false;
    for (struct word word; (word = next(&reader)).length;) {
        if (is(word, ".global") && !elsewhere
            && __builtin_add_overflow(bytes, declared(&reader), &bytes))
            return UINT64_MAX;
        elsewhere = is(word, ".extern") || is(word, ".ptr");
    }
    return bytes;
}

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
        return ptx_bytes((const char *)payload, strnlen((const char *)payload, length));
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
    return ptx_bytes(image, strnlen(image, length));
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
