# SPDX-License-Identifier: Apache-2.0
PROBE := $(BUILD)/probe/gpushare-probe
PROBE_OBJ := $(call objects,probe,$(patsubst probe/%,%,$(wildcard probe/*.c probe/*/*.c)))

ALL += $(PROBE)

$(BUILD)/obj/probe/%.o: override CFLAGS += -Iguard -Iprobe

$(PROBE): $(PROBE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -rdynamic $^ $(LDLIBS) -o $@

include tests/probe/module.mk
