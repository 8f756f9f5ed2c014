# SPDX-License-Identifier: Apache-2.0
SIMGPU := $(BUILD)/simgpu
sim_objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(addprefix simgpu/,$(1))))

# What every library and tool of the simulated machine shares.
SIM_IMAGE_OBJ := $(call sim_objects,$(addprefix machine/,busy.c cgroup.c fault.c image.c mps_protocol.c process.c residue.c slot.c))
SIM_MACHINE_OBJ := $(call sim_objects,machine/tool.c machine/spec.c)
SIM_CUDA_OBJ := $(call sim_objects,cuda/*/*.c)

$(BUILD)/obj/simgpu/%.o $(BUILD)/obj/tests/simgpu/%.o: override CFLAGS += -Isimgpu

ALL += $(SIMGPU)/libcuda.so.1 $(SIMGPU)/gpushare-sim-machine

$(SIMGPU)/libcuda.so.1: $(SIM_CUDA_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libcuda.so.1 -Wl,-z,defs -Wl,-Bsymbolic $(LDFLAGS) $^ $(LDLIBS) -lm -o $@

$(SIMGPU)/gpushare-sim-machine: $(SIM_MACHINE_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

include simgpu/nvml/module.mk simgpu/mps/module.mk tests/simgpu/cuda/module.mk
