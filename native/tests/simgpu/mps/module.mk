# SPDX-License-Identifier: Apache-2.0
MPS_TESTS := $(BUILD)/tests/simgpu/mps
TESTS += test-mps

$(MPS_TESTS)/client: $(call objects,tests/simgpu/mps,client.c) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(MPS_TESTS)/config_test: $(call objects,tests/simgpu/mps,config_test.c) $(call sim_objects,mps/config.c mps/state.c) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

test-mps: $(MPS_TESTS)/client $(MPS_TESTS)/config_test $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server $(SIMGPU)/gpushare-sim-machine
	timeout 20 $(MPS_TESTS)/config_test
	timeout 100 sh tests/simgpu/mps/v2.sh $(SIMGPU) $(MPS_TESTS)/client
	timeout 100 sh tests/simgpu/mps/v3.sh $(SIMGPU) $(MPS_TESTS)/client
