# SPDX-License-Identifier: Apache-2.0
GUARD_SOURCES := $(wildcard guard/*.c guard/*/*.c guard/*/*/*.c)
GUARD_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(GUARD_SOURCES))

$(BUILD)/obj/guard/%.o: override CFLAGS += -Iguard

# Its tail calls are what makes RTLD_NEXT mean the caller's next.
$(BUILD)/obj/guard/driver/dlsym.o: override CFLAGS += -O2

# Sanitizers call dlsym before they can check anything.
ifneq ($(SAN),)
$(BUILD)/obj/guard/driver/dlsym.o $(BUILD)/obj/guard/base/elf.o: override CFLAGS += -fno-sanitize=all
endif

# -Bsymbolic: our own references must mean us even where the program exports the same names.
$(BUILD)/guard/libgpushare.so: $(GUARD_OBJECTS)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libgpushare.so -Wl,-Bsymbolic $(LDFLAGS) -o $@ $^ $(LDLIBS)

ALL += $(BUILD)/guard/libgpushare.so

include tests/guard/module.mk
