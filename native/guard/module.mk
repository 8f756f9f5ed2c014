# SPDX-License-Identifier: Apache-2.0
GUARD_SOURCES := $(wildcard guard/*.c guard/*/*.c guard/*/*/*.c)
GUARD_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(GUARD_SOURCES))

$(BUILD)/obj/guard/%.o: override CFLAGS += -Iguard

# Their tail calls make RTLD_NEXT and RPATH mean those of the caller.
GUARD_TAIL_CALLS := $(addprefix $(BUILD)/obj/guard/driver/,dlsym.o dlopen.o)
$(GUARD_TAIL_CALLS): override CFLAGS += -O2

# Sanitizers call dlsym before they can check anything.
ifneq ($(SAN),)
$(GUARD_TAIL_CALLS) $(BUILD)/obj/guard/base/elf.o: override CFLAGS += -fno-sanitize=all
endif

# -Bsymbolic: our own references must mean us even where the program exports the same names.
$(BUILD)/guard/libgpushare.so: $(GUARD_OBJECTS) guard/exports.map
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libgpushare.so -Wl,-Bsymbolic -Wl,--version-script=guard/exports.map $(LDFLAGS) -o $@ $(GUARD_OBJECTS) $(LDLIBS)

ALL += $(BUILD)/guard/libgpushare.so

include tests/guard/module.mk
