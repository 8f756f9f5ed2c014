/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules with large variables: `module_test SCENARIO` on a simulated machine, under the guard, in a
 * share of 256 MiB.
 */
#include "suspendable.h"

#include <elf.h>

#define PTX(declarations) "//\n.version 8.0\n.target sm_90\n.address_size 64\n" declarations

static const char small[] = PTX(".global .align 4 .b8 table[4096];\n");
static const char fits[] = PTX(".visible .global .align 4 .b8 big[134217728];\n");
static const char too_large[] = PTX(".visible .global .align 4 .b8 big[3221225472];\n");
static const char in_parts[] =
    PTX("// .global .b8 comment[999999999999];\n"
        "/* .global .b8 comment[999999999999]; */\n"
        ".extern .global .align 4 .b8 elsewhere[999999999999];\n"
        ".global .align 16 .v4 .f32 vectors[1048576], more[2][1048576] = {{1, 2}, {3}};\n"
        ".weak .global .align 8 .u64 numbers[2097152];\n"
        ".visible .entry k(.param .u64 .ptr .global .align 4 at)\n"
        "{\n .reg .b32 %r;\n ld.global.u32 %r, [at];\n ret;\n}\n");

static uint64_t used(void)
{
    return gs_region_used(region, 0) - region->gpu[0].context;
}

static void a_variable_is_charged_and_given_back(void)
{
    CUmodule module, other;
    CUdeviceptr at;
    size_t bytes;
    OK(cuModuleLoadData(&module, fits));
    CHECK(used() == 128 * MIB);
    OK(cuModuleGetGlobal_v2(&at, &bytes, module, "big"));
    CHECK(bytes == 128 * MIB && used() == 128 * MIB);
    FULL(cuModuleLoadData(&other, PTX(".global .b8 second[134217729];")));
    OK(cuModuleUnload(module));
    CHECK(used() == 0);
    OK(cuModuleLoadDataEx(&module, fits, 0, NULL, NULL));
    CHECK(used() == 128 * MIB);
    OK(cuModuleUnload(module));
    CHECK(used() == 0);
}

static void more_than_the_share_has_is_refused(void)
{
    CUmodule module;
    CUlibrary library;
    FULL(cuModuleLoadData(&module, too_large));
    FULL(cuModuleLoadDataEx(&module, too_large, 0, NULL, NULL));
    FULL(cuLibraryLoadData(&library, too_large, NULL, NULL, 0, NULL, NULL, 0));
    CHECK(used() == 0 && number(&region->gpu[0].denied) == 3);
}

static void every_declaration_counts(void)
{
    CUmodule module;
    OK(cuModuleLoadData(&module, in_parts));
    CHECK(used() == 64 * MIB);
    OK(cuModuleUnload(module));
    CHECK(used() == 0);
}

static void a_small_module_costs_nothing(void)
{
    CUmodule module[100];
    for (int i = 0; i < 100; i++)
        OK(cuModuleLoadData(&module[i], small));
    CHECK(used() == 0);
    for (int i = 0; i < 100; i++)
        OK(cuModuleUnload(module[i]));
}

static void a_library_is_charged(void)
{
    CUlibrary library;
    CUdeviceptr at;
    size_t bytes;
    OK(cuLibraryLoadData(&library, fits, NULL, NULL, 0, NULL, NULL, 0));
    CHECK(used() == 128 * MIB);
    OK(cuLibraryGetGlobal(&at, &bytes, library, "big"));
    CHECK(used() == 128 * MIB);
    OK(cuLibraryUnload(library));
    CHECK(used() == 0);
}

static void it_ends_with_its_context(void)
{
    CUmodule module;
    OK(cuModuleLoadData(&module, fits));
    OK(cuDevicePrimaryCtxReset_v2(0));
    CHECK(gs_region_used(region, 0) == 0);
}

struct cubin {
    Elf64_Ehdr header;
    Elf64_Shdr section[4];
    char names[64];
};

/* 100 MiB of variables without content, 20 MiB with, which the file need not hold to be counted. */
static struct cubin make_cubin(void)
{
    struct cubin cubin = {.names = "\0.shstrtab\0.nv.global\0.nv.global.init"};
    cubin.header = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
                                .e_type = ET_EXEC,
                                .e_machine = 190,
                                .e_shoff = offsetof(struct cubin, section),
                                .e_ehsize = sizeof(Elf64_Ehdr),
                                .e_shentsize = sizeof(Elf64_Shdr),
                                .e_shnum = 4,
                                .e_shstrndx = 1};
    cubin.section[1] = (Elf64_Shdr){.sh_name = 1,
                                    .sh_type = SHT_STRTAB,
                                    .sh_offset = offsetof(struct cubin, names),
                                    .sh_size = sizeof cubin.names};
    cubin.section[2] = (Elf64_Shdr){.sh_name = 11, .sh_type = SHT_NOBITS, .sh_size = 100 * MIB};
    cubin.section[3] = (Elf64_Shdr){.sh_name = 22, .sh_type = SHT_PROGBITS, .sh_size = 20 * MIB};
    return cubin;
}

struct fatbin {
    uint32_t magic;
    uint16_t version, header_bytes;
    uint64_t bytes;
    struct {
        uint16_t kind, version;
        uint32_t header_bytes;
        uint64_t bytes;
        struct cubin cubin;
    } entry[2];
};

static void a_cubin_and_a_fat_binary_are_charged(void)
{
    struct cubin cubin = make_cubin();
    struct fatbin fatbin = {.magic = 0xba55ed50u, .version = 1, .header_bytes = 16};
    struct {
        uint32_t magic, version;
        const void *data;
    } wrapper = {0x466243b1u, 1, &fatbin};
    CUmodule module;
    fatbin.bytes = sizeof fatbin.entry;
    for (int i = 0; i < 2; i++) {
        fatbin.entry[i].kind = 2;
        fatbin.entry[i].header_bytes = 16;
        fatbin.entry[i].bytes = sizeof fatbin.entry[i] - 16;
        fatbin.entry[i].cubin = cubin;
    }
    OK(cuModuleLoadData(&module, &cubin));
    CHECK(used() == 120 * MIB);
    OK(cuModuleUnload(module));
    const void *images[] = {&fatbin, &wrapper};
    for (int i = 0; i < 2; i++) {
        OK(cuModuleLoadFatBinary(&module, images[i])); /* one of the two entries is loaded */
        CHECK(used() == 120 * MIB);
        OK(cuModuleUnload(module));
    }
    CHECK(used() == 0);
}

static void a_file_is_charged(void)
{
    char path[] = "/tmp/module-XXXXXX";
    int file = mkstemp(path);
    CUmodule module;
    CUlibrary library;
    CHECK(file >= 0 && write(file, fits, sizeof fits - 1) == (ssize_t)sizeof fits - 1);
    OK(cuModuleLoad(&module, path));
    CHECK(used() == 128 * MIB);
    OK(cuModuleUnload(module));
    OK(cuLibraryLoadFromFile(&library, path, NULL, NULL, 0, NULL, NULL, 0));
    CHECK(used() == 128 * MIB);
    OK(cuLibraryUnload(library));
    CHECK(used() == 0);
    unlink(path);
    GIVES(cuModuleLoad(&module, path), CUDA_ERROR_FILE_NOT_FOUND);
}

static void images_that_are_none_are_left_to_the_driver(void)
{
    CUmodule module;
    CHECK(cuModuleLoadData(&module, NULL) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuModuleLoadData(&module, "no image at all") == CUDA_ERROR_INVALID_IMAGE);
    CHECK(cuModuleLoadData(&module, PTX(".global .b8 endless[")) != CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(used() == 0);
    FULL(cuModuleLoadData(&module, PTX(".global .b64 a[4294967296][4294967296][2];")));
    CHECK(used() == 0);
}

static const struct scenario scenarios[] = {
    {"a_variable_is_charged_and_given_back", a_variable_is_charged_and_given_back, false},
    {"more_than_the_share_has_is_refused", more_than_the_share_has_is_refused, false},
    {"every_declaration_counts", every_declaration_counts, false},
    {"a_small_module_costs_nothing", a_small_module_costs_nothing, false},
    {"a_library_is_charged", a_library_is_charged, false},
    {"it_ends_with_its_context", it_ends_with_its_context, false},
    {"a_cubin_and_a_fat_binary_are_charged", a_cubin_and_a_fat_binary_are_charged, false},
    {"a_file_is_charged", a_file_is_charged, false},
    {"images_that_are_none_are_left_to_the_driver", images_that_are_none_are_left_to_the_driver,
     false},
};

int main(int count, char **arguments)
{
    return run_scenario(scenarios, sizeof scenarios / sizeof *scenarios, count, arguments);
}
