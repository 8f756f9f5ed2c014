# SPDX-License-Identifier: Apache-2.0
# The scheduling of the guard on a fake clock, a fake driver and a GPU page in memory: `make -C native test-arbiter`,
# or all of them, `make -C native test-schedule`.
SCHEDULE_TESTS := arbiter lease preempt starvation timeslice overrun cost_model fence
SCHEDULE_OBJECTS := $(addprefix $(BUILD)/obj/guard/,schedule/gate.o share/gpu_page.o share/lease.o base/life.o base/process.o base/shared_file.o \
	driver/capture_state.o $(patsubst guard/%.c,%.o,$(filter-out %/channel_group.c,$(wildcard guard/schedule/decide/*.c \
	guard/schedule/timing/*.c)))) $(BUILD)/obj/tests/guard/schedule/fakes.o

$(GUARD_TESTS)/schedule/%_test: $(BUILD)/obj/tests/guard/schedule/%_test.o $(SCHEDULE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -Wl,--wrap=gs_share_slot_open -o $@ $^ $(LDLIBS)

.PHONY: test-schedule $(SCHEDULE_TESTS:%=test-%)
TESTS += test-schedule
test-schedule: $(SCHEDULE_TESTS:%=test-%)
$(SCHEDULE_TESTS:%=test-%): test-%: $(GUARD_TESTS)/schedule/%_test
	timeout 20 $<
