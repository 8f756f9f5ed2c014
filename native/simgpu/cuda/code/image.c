/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/code/image.h"

#include <ctype.h>
#include <elf.h>

static uint32_t type_size(const char *type)
{
    int bits = 0;
    for (const char *c = type; *c; c++)
        if (isdigit((unsigned char)*c))
            bits = bits * 10 + (*c - '0');
    return bits ? (uint32_t)bits / 8 : 4;
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

static const char *next_word(const char *text, char *word, size_t size)
{
    size_t n = 0;
    while (isspace((unsigned char)*text))
        text++;
    while (word_char(*text) && n + 1 < size)
        word[n++] = *text++;
    word[n] = '\0';
    return text;
}

/* Reads "[24][2]" behind a name. */
static const char *read_extent(const char *text, uint64_t *size)
{
    while (isspace((unsigned char)*text))
        text++;
    while (*text == '[') {
        *size *= strtoull(text + 1, (char **)&text, 0);
        text += *text == ']';
    }
    return text;
}

/* Reads ".align 8 .b8 name" and returns the text behind it; *size is that of the type. */
static const char *read_name(const char *text, char *name, uint64_t *size, uint32_t *align)
{
    char word[160];
    uint64_t lanes = 1;
    *align = 0;
    *size = 0;
    for (;;) {
        text = next_word(text, word, sizeof word);
        if (!*word)
            return NULL;
        if (strcmp(word, ".align") == 0) {
            text = next_word(text, word, sizeof word);
            *align = (uint32_t)atoi(word);
        } else if (strcmp(word, ".v2") == 0 || strcmp(word, ".v4") == 0) {
            lanes = (uint64_t)(word[2] - '0');
        } else if (*word == '.' && strchr("bsuf", word[1]) && isdigit((unsigned char)word[2])) {
            *size = type_size(word + 1) * lanes;
        } else if (*word != '.' && !isdigit((unsigned char)*word)) {
            snprintf(name, sizeof word, "%s", word);
            break;
        }
    }
    return text;
}

/* Reads ".param .align 8 .b8 name[24]" and returns the text behind it. */
static const char *read_variable(const char *text, char *name, uint64_t *size, uint32_t *align)
{
    text = read_name(text, name, size, align);
    return text ? read_extent(text, size) : NULL;
}

static void read_params(CUfunction function, const char *text)
{
    char name[160];
    uint32_t at = 0, align;
    uint64_t size;
    const char *end = strchr(text, ')');
    function->params = 0;
    while (function->params < 64 && (text = strstr(text, ".param")) && text < end) {
        text = read_variable(text + 6, name, &size, &align);
        if (!text)
            return;
        align = align ? align : (uint32_t)MAX(size, 1u);
        at = (at + align - 1) / align * align;
        function->offset[function->params] = at;
        function->size[function->params++] = (uint32_t)size;
        at += (uint32_t)size;
    }
}

/* The text behind an initial value: at the comma or semicolon. */
static const char *skip_value(const char *text)
{
    int depth = 0;
    while (*text && (depth > 0 || (*text != ',' && *text != ';'))) {
        depth += (*text == '{') - (*text == '}');
        text++;
    }
    return text;
}

/* Instructions such as ld.global.u32 contain the word too, and .extern defines nothing here. */
static bool defines(const char *begin, const char *text)
{
    if (!isspace((unsigned char)text[-1]) || !isspace((unsigned char)text[7]))
        return false;
    while (text > begin && isspace((unsigned char)text[-1]))
        text--;
    return text - begin < 7 || strncmp(text - 7, ".extern", 7) != 0;
}

/* Reads "name[4] = {0}, other;" and returns the text behind it. */
static const char *read_list(CUmodule module, const char *text, char *name, uint64_t element)
{
    for (;;) {
        uint64_t size = element;
        text = skip_value(read_extent(text, &size));
        gs_module_add_global(module, name, size);
        if (*text != ',')
            return text;
        text = next_word(text + 1, name, 160);
    }
}

static void read_globals(CUmodule module, const char *begin)
{
    char name[160];
    uint64_t element;
    uint32_t align;
    for (const char *text = begin; (text = strstr(text, ".global"));) {
        const char *at = text;
        text += 7;
        const char *after =
            at > begin && defines(begin, at) ? read_name(text, name, &element, &align) : NULL;
        if (after && element)
            text = read_list(module, after, name, element);
    }
}

/* A copy of the text with spaces for comments. */
static char *without_comments(const char *text)
{
    char *copy = strdup(text), *at = copy;
    while ((at = strchr(at, '/'))) {
        const char *mark = at[1] == '/' ? "\n" : "*/";
        if (at[1] != '/' && at[1] != '*') {
            at++;
            continue;
        }
        char *end = strstr(at + 2, mark);
        end = end ? end + (at[1] == '*') * 2 : at + strlen(at);
        memset(at, ' ', (size_t)(end - at));
        at = end;
    }
    return copy;
}

static void read_kernels(CUmodule module, const char *at)
{
    char name[160];
    while ((at = strstr(at, ".entry"))) {
        at = next_word(at + 6, name, sizeof name);
        if (!*name)
            continue;
        CUfunction function = gs_module_add(module, name, strlen(name), 0);
        while (isspace((unsigned char)*at))
            at++;
        if (*at == '(')
            read_params(function, at);
    }
}

bool gs_ptx_parse(CUmodule module, const char *text)
{
    if (!strstr(text, ".version") || !strstr(text, ".target"))
        return false;
    char *code = without_comments(text);
    read_kernels(module, code);
    read_globals(module, code);
    free(code);
    module->closed = true;
    return true;
}

enum { KPARAM_FORMAT = 4, KPARAM_INFO = 0x17 };

/*
 * .nv.info.KERNEL: entries {format, attribute, size, bytes}; a parameter is {index, ordinal,
 * offset, size << 18}.
 */
static void read_info(CUfunction function, const unsigned char *at, const unsigned char *end)
{
    function->params = 0;
    while (at + 4 <= end) {
        uint16_t size = (uint16_t)(at[2] | at[3] << 8);
        if (at[0] == KPARAM_FORMAT && at[1] == KPARAM_INFO && size == 12 && at + 16 <= end) {
            uint16_t ordinal, offset;
            uint32_t packed;
            memcpy(&ordinal, at + 8, 2);
            memcpy(&offset, at + 10, 2);
            memcpy(&packed, at + 12, 4);
            if (ordinal < 64) {
                function->offset[ordinal] = offset;
                function->size[ordinal] = packed >> 18;
                function->params = MAX(function->params, ordinal + 1);
            }
        }
        at += at[0] == KPARAM_FORMAT ? 4 + size : 4;
    }
}

/* Global variables and code take device memory; other sections serve the loader. */
static bool loaded(const char *name)
{
    return strncmp(name, ".nv.global", 10) == 0 || strncmp(name, ".text.", 6) == 0;
}

bool gs_elf_parse(CUmodule module, const unsigned char *image)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + header->e_shoff);
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_shstrndx >= header->e_shnum)
        return false;
    const char *names = (const char *)image + sections[header->e_shstrndx].sh_offset;
    for (int i = 0; i < header->e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        module->bytes += loaded(name) ? sections[i].sh_size : 0;
        if (strncmp(name, ".nv.info.", 9) != 0)
            continue;
        CUfunction function = gs_module_add(module, name + 9, strlen(name + 9), -1);
        read_info(function, image + sections[i].sh_offset,
                  image + sections[i].sh_offset + sections[i].sh_size);
    }
    module->closed = true;
    return true;
}
