/* SPDX-License-Identifier: Apache-2.0 */
#include "base/elf.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
};

static struct tables read_tables(const struct link_map *object)
{
    struct tables tables = {0};
    for (const ElfW(Dyn) *at = object->l_ld; at->d_tag != DT_NULL; at++) {
        /* glibc relocates these addresses in place; the vDSO has offsets. */
        uintptr_t address = at->d_un.d_ptr;
        const void *table =
            (const void *)(address < object->l_addr ? address + object->l_addr : address);
        if (at->d_tag == DT_SYMTAB)
            tables.symbols = table;
        else if (at->d_tag == DT_STRTAB)
            tables.strings = table;
        else if (at->d_tag == DT_GNU_HASH)
            tables.gnu_hash = table;
        else if (at->d_tag == DT_HASH)
            tables.hash = table;
    }
    return tables;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    while (*name)
        hash = hash * 33 + (unsigned char)*name++;
    return hash;
}

/* Not strcmp(): a preloaded library may interpose it and be looking up the real one through us. */
static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool is_function(const struct tables *tables, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &tables->symbols[index];
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC
           && same(tables->strings + symbol->st_name, name);
}

static const ElfW(Sym) * look_up(const struct tables *tables, const char *name)
{
    const uint32_t *table = tables->gnu_hash;
    uint32_t buckets = table[0], first = table[1], words = table[2], hash = gnu_hash(name);
    const uint32_t *bucket = table + 4 + words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chain = bucket + buckets;
    uint32_t index = buckets ? bucket[hash % buckets] : 0;
    for (; index >= first && index; index++) {
        uint32_t link = chain[index - first];
        if ((link | 1) == (hash | 1) && is_function(tables, index, name))
            return &tables->symbols[index];
        if (link & 1)
            break;
    }
    return NULL;
}

static const ElfW(Sym) * look_up_sysv(const struct tables *tables, const char *name)
{
    uint32_t count = tables->hash[1]; /* there are as many chains as symbols */
    for (uint32_t index = 1; index < count; index++)
        if (is_function(tables, index, name))
            return &tables->symbols[index];
    return NULL;
}

static void *defined_in(const struct link_map *object, const char *name)
{
    struct tables tables = read_tables(object);
    if (!tables.symbols || !tables.strings || !(tables.gnu_hash || tables.hash))
        return NULL;
    const ElfW(Sym) *symbol =
        tables.gnu_hash ? look_up(&tables, name) : look_up_sysv(&tables, name);
    return symbol ? (void *)(object->l_addr + symbol->st_value) : NULL;
}

void *gs_next_definition(const char *symbol)
{
    /* Not dl_iterate_phdr(): a library that interposes it looks up the real one through us. */
    const struct link_map *us = _r_debug.r_map, *object;
    /* Every shared object has a _DYNAMIC; this is ours. */
    while (us && us->l_ld != _DYNAMIC)
        us = us->l_next;
    void *function = NULL;
    for (object = us; object && !function; object = object->l_next)
        function = object == us ? NULL : defined_in(object, symbol);
    /* Nothing after us: this library was loaded late, by dlopen(). */
    for (object = _r_debug.r_map; object != us && !function; object = object->l_next)
        function = defined_in(object, symbol);
    return function;
}

typedef bool visit_symbol(const struct tables *, uint32_t index, void *);

static bool each_symbol(const struct tables *tables, visit_symbol *visit, void *with)
{
    bool done = true;
    if (!tables->gnu_hash) {
        for (uint32_t index = 1; tables->hash && index < tables->hash[1]; index++)
            done = visit(tables, index, with) && done;
        return done;
    }
    const uint32_t *table = tables->gnu_hash;
    const uint32_t *bucket = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chain = bucket + table[0];
    for (uint32_t i = 0; i < table[0]; i++)
        for (uint32_t index = bucket[i]; index >= table[1]; index++) {
            done = visit(tables, index, with) && done;
            if (chain[index - table[1]] & 1)
                break;
        }
    return done;
}

/*
 * The protection of a page, from the program headers of its object; 0: unknown. Not by
 * dl_iterate_phdr(), which shows the namespace of its caller only.
 */
static int protection(const void *at)
{
    Dl_info object;
    if (!dladdr(at, &object) || !object.dli_fbase)
        return 0;
    const ElfW(Ehdr) *elf = object.dli_fbase;
    const ElfW(Phdr) *header = (const void *)((uintptr_t)elf + elf->e_phoff);
    uintptr_t first = UINTPTR_MAX, offset = (uintptr_t)at - (uintptr_t)elf;
    for (int i = 0; i < elf->e_phnum; i++) {
        if (header[i].p_type != PT_LOAD)
            continue;
        if (first == UINTPTR_MAX)
            first = header[i].p_vaddr;
        if (offset - (header[i].p_vaddr - first) < header[i].p_memsz)
            return (header[i].p_flags & PF_R ? PROT_READ : 0)
                   | (header[i].p_flags & PF_W ? PROT_WRITE : 0)
                   | (header[i].p_flags & PF_X ? PROT_EXEC : 0);
    }
    return 0;
}

struct redefinition {
    const struct link_map *object;
    void *(*other)(const char *name, void *function);
    uintptr_t page; /* the last one written, and its protection */
    int protection;
};

/* Other threads may run code in the same page, so it stays executable. */
static bool write_word(struct redefinition *redefinition, ElfW(Addr) * word, ElfW(Addr) value)
{
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE), page = (uintptr_t)word / size * size;
    if (page != redefinition->page)
        redefinition->protection = protection(word);
    redefinition->page = page;
    int before = redefinition->protection;
    if (!before || mprotect((void *)page, size, before | PROT_WRITE) < 0)
        return false;
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    return mprotect((void *)page, size, before) == 0;
}

static bool redefine(const struct tables *tables, uint32_t index, void *argument)
{
    struct redefinition *redefinition = argument;
    ElfW(Sym) *symbol = (ElfW(Sym) *)&tables->symbols[index];
    if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
        return true;
    ElfW(Addr) base = redefinition->object->l_addr;
    void *function = (void *)(base + symbol->st_value),
         *other = redefinition->other(tables->strings + symbol->st_name, function);
    /* The dynamic linker adds the base again; addresses below it wrap around. */
    return !other || other == function
           || write_word(redefinition, &symbol->st_value, (ElfW(Addr))other - base);
}

bool gs_redefine(void *object, void *(*other)(const char *name, void *function))
{
    struct redefinition redefinition = {.object = object, .other = other};
    struct tables tables = read_tables(redefinition.object);
    return tables.symbols && tables.strings && each_symbol(&tables, redefine, &redefinition);
}
