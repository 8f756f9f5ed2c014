# SPDX-License-Identifier: Apache-2.0
SIM_NVML_OBJ := $(call sim_objects,nvml/*.c)

ALL += $(SIMGPU)/libnvidia-ml.so.1

$(SIMGPU)/libnvidia-ml.so.1: $(SIM_NVML_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libnvidia-ml.so.1 -Wl,-z,defs $(LDFLAGS) $^ $(LDLIBS) -o $@

include tests/simgpu/nvml/module.mk
