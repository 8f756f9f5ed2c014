# SPDX-License-Identifier: Apache-2.0
NVML_TEST := $(BUILD)/tests/simgpu/nvml/nvml_test
TESTS += test-simgpu-nvml

$(NVML_TEST): $(call objects,tests/simgpu/nvml,nvml_test.c) $(SIMGPU)/libnvidia-ml.so.1 $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

test-simgpu-nvml: $(NVML_TEST) $(SIMGPU)/gpushare-sim-machine
	LD_LIBRARY_PATH=$(SIMGPU) timeout 100 sh tests/simgpu/nvml/run.sh $(NVML_TEST) $(SIMGPU)/gpushare-sim-machine
