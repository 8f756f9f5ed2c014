# SPDX-License-Identifier: Apache-2.0
SIM_NVML_OBJ := $(call objects,simgpu,$(notdir $(wildcard simgpu/nvml*.c)))

ALL += $(SIMGPU)/libnvidia-ml.so.1

$(SIMGPU)/libnvidia-ml.so.1: $(SIM_NVML_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libnvidia-ml.so.1 -Wl,-z,defs $(LDFLAGS) $^ $(LDLIBS) -o $@

SIM_MPS_SHARED_SRC := mps_log.c mps_paths.c
SIM_MPS_CONTROL_SRC := $(filter-out mps_server.c,$(notdir $(wildcard simgpu/mps_*.c)))
SIM_MPS_CONTROL_OBJ := $(call objects,simgpu,$(SIM_MPS_CONTROL_SRC))
SIM_MPS_SERVER_OBJ := $(call objects,simgpu,mps_server.c $(SIM_MPS_SHARED_SRC))

ALL += $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server

$(SIMGPU)/nvidia-cuda-mps-control: $(SIM_MPS_CONTROL_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(SIMGPU)/nvidia-cuda-mps-server: $(SIM_MPS_SERVER_OBJ) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

include tests/simgpu_nvml/module.mk tests/mps/module.mk
