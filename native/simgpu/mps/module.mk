# SPDX-License-Identifier: Apache-2.0
SIM_MPS_CONTROL_OBJ := $(call sim_objects,mps/*.c mps/control/*.c mps/dialect/*.c mps/daemon/*.c)
SIM_MPS_SERVER_OBJ := $(call sim_objects,$(addprefix mps/,log.c paths.c state.c server/*.c))

ALL += $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server

$(SIMGPU)/nvidia-cuda-mps-control: $(SIM_MPS_CONTROL_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(SIMGPU)/nvidia-cuda-mps-server: $(SIM_MPS_SERVER_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

include tests/simgpu/mps/module.mk
