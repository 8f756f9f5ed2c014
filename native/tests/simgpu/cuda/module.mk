# SPDX-License-Identifier: Apache-2.0
# Every test_*.c is a program of its own, linked with the simulated driver.
TESTS += test-simgpu
SIM_TESTS := $(patsubst tests/simgpu/cuda/%.c,$(BUILD)/tests/simgpu/cuda/%,$(wildcard tests/simgpu/cuda/test_*.c))

$(BUILD)/tests/simgpu/cuda/test_%: $(BUILD)/obj/tests/simgpu/cuda/test_%.o $(BUILD)/obj/tests/simgpu/cuda/machine.o \
		$(SIM_IMAGE_OBJ) $(SIMGPU)/libcuda.so.1
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -Wl,-rpath,$(abspath $(SIMGPU)) $(LDLIBS) -o $@

# Leaks are not reported: handles that a program does not destroy exist until the process ends, as on a real driver.
test-simgpu: $(SIM_TESTS) $(SIMGPU)/gpushare-sim-machine $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server
	@for t in $(SIM_TESTS); do \
		SIMGPU=$(abspath $(SIMGPU)) ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 \
		timeout 120 $$t || { echo "FAILED $$t"; exit 1; }; done

ifneq ($(wildcard /usr/local/cuda/include/cuda.h),)
TESTS += test-cuda-abi
test-cuda-abi: $(BUILD)/tests/simgpu/cuda/print_abi
	$< >$(BUILD)/tests/simgpu/cuda/abi.c
	$(CC) -std=gnu17 -Wno-deprecated-declarations -I/usr/local/cuda/include -c $(BUILD)/tests/simgpu/cuda/abi.c -o /dev/null
	@echo "ok: declarations agree with cuda.h"
else
TESTS += test-cuda-abi
test-cuda-abi:
	@echo "skipped: no cuda.h"
endif
$(BUILD)/tests/simgpu/cuda/print_abi: $(BUILD)/obj/tests/simgpu/cuda/print_abi.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $< -o $@
