# SPDX-License-Identifier: Apache-2.0
SIMGPU := $(BUILD)/simgpu
SIM_IMAGE_SRC := image.c slot.c busy.c
SIM_IMAGE_OBJ := $(call objects,simgpu,$(SIM_IMAGE_SRC))
SIM_CUDA_SRC := $(filter-out $(SIM_IMAGE_SRC),$(notdir $(wildcard simgpu/cuda_*.c)))
SIM_CUDA_OBJ := $(call objects,simgpu,$(SIM_CUDA_SRC))
SIM_MACHINE_OBJ := $(call objects,simgpu,machine.c machine_spec.c)

ALL += $(SIMGPU)/libcuda.so.1 $(SIMGPU)/gpushare-sim-machine
TESTS += test-simgpu

$(SIMGPU)/libcuda.so.1: $(SIM_CUDA_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs -Wl,-Bsymbolic $(LDFLAGS) $^ $(LDLIBS) -lm -o $@

$(SIMGPU)/gpushare-sim-machine: $(SIM_MACHINE_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

include tests/simgpu/module.mk
