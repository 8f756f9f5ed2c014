# SPDX-License-Identifier: Apache-2.0
GUARD_TESTS := $(BUILD)/tests/guard
TESTS += test-guard
.SECONDARY:

$(GUARD_TESTS)/%_test: $(BUILD)/obj/tests/guard/%_test.o $(GUARD_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/obj/tests/guard/%.o: override CFLAGS += -Iguard

test-guard: $(GUARD_TESTS)/map_test $(GUARD_TESTS)/region_test
	set -e; for test in $^; do echo $$test; timeout 100 $$test; done
