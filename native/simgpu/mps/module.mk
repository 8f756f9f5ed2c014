# SPDX-License-Identifier: Apache-2.0
SIM_MPS_SHARED_OBJ := $(call sim_objects,mps/log.c mps/paths.c)
SIM_MPS_CONTROL_OBJ := $(call sim_objects,mps/config.c mps/control/*.c mps/dialect/*.c) $(SIM_MPS_SHARED_OBJ)
SIM_MPS_SERVER_OBJ := $(call sim_objects,mps/server.c) $(SIM_MPS_SHARED_OBJ)

ALL += $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server

$(SIMGPU)/nvidia-cuda-mps-control: $(SIM_MPS_CONTROL_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(SIMGPU)/nvidia-cuda-mps-server: $(SIM_MPS_SERVER_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

include tests/simgpu/mps/module.mk
