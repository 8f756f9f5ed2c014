# SPDX-License-Identifier: Apache-2.0
GUARD_TESTS := $(BUILD)/tests/guard
GUARD_DRIVER := $(GUARD_TESTS)/driver/libcuda.so.1
GUARD_LIBRARY := $(abspath $(BUILD)/guard/libgpushare.so)
TESTS += test-guard
GUARD_REGION_OBJECTS := $(addprefix $(BUILD)/obj/guard/,share/region.o share/region_file.o base/shared_file.o base/life.o base/process.o base/clock.o swap/blocks/fd_socket.o)
.SECONDARY:

$(BUILD)/obj/tests/guard/%.o: override CFLAGS += -Iguard

$(GUARD_TESTS)/%_test: $(BUILD)/obj/tests/guard/%_test.o $(GUARD_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Programs under the guard contain only the functions of the region.
$(GUARD_TESTS)/hooks_test: $(BUILD)/obj/tests/guard/hooks_test.o $(GUARD_REGION_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(GUARD_TESTS)/linked_test: $(BUILD)/obj/tests/guard/linked_test.o $(GUARD_DRIVER)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# These need a simulated machine: tests/guard of the repository runs them.
GUARD_SIMULATED := $(addprefix $(GUARD_TESTS)/,paths_test stress_test address_test gate_test suspend_test cache_test hold_test \
	refuse_test ipc_test module_test)
$(GUARD_SIMULATED): $(GUARD_TESTS)/%: $(BUILD)/obj/tests/guard/%.o $(GUARD_REGION_OBJECTS) $(BUILD)/simgpu/libcuda.so.1
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(GUARD_DRIVER): $(BUILD)/obj/tests/guard/fake_cuda.o
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libcuda.so.1 $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(GUARD_TESTS)/libnext.so: $(BUILD)/obj/tests/guard/next_library.o
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(GUARD_TESTS)/libkernel_module.so: $(BUILD)/obj/tests/guard/kernel_module.o
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS)

GUARD_UNITS := map region liveness quiesce
GUARD_TARGETS := test-guard test-hooks $(GUARD_UNITS:%=test-%)
.PHONY: $(GUARD_TARGETS)
$(GUARD_TARGETS): export ASAN_OPTIONS = verify_asan_link_order=0:detect_leaks=0
test-guard: $(filter-out test-guard,$(GUARD_TARGETS)) $(GUARD_SIMULATED)
$(GUARD_UNITS:%=test-%): test-%: $(GUARD_TESTS)/%_test
	timeout 100 $<
test-hooks: $(addprefix $(GUARD_TESTS)/,hooks_test linked_test libnext.so libkernel_module.so) $(BUILD)/guard/libgpushare.so
	timeout 200 $(GUARD_TESTS)/hooks_test all $(GUARD_LIBRARY) $(abspath $(dir $(GUARD_DRIVER))) \
		$(abspath $(GUARD_TESTS)/libnext.so) $(abspath $(GUARD_TESTS)/linked_test)

include tests/guard/schedule/module.mk
include tests/guard/lookup/module.mk
