# SPDX-License-Identifier: Apache-2.0
MPS_TESTS := $(BUILD)/tests/mps
TESTS += test-mps

$(BUILD)/obj/tests/mps/%.o: override CFLAGS += -Isimgpu

$(MPS_TESTS)/mps_client: $(call objects,tests/mps,mps_client.c) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(MPS_TESTS)/mps_config_test: $(call objects,tests/mps,mps_config_test.c) $(call objects,simgpu,mps_config.c) $(SIM_IMAGE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

test-mps: $(MPS_TESTS)/mps_client $(MPS_TESTS)/mps_config_test $(SIMGPU)/nvidia-cuda-mps-control $(SIMGPU)/nvidia-cuda-mps-server $(SIMGPU)/gpushare-sim-machine
	timeout 20 $(MPS_TESTS)/mps_config_test
	timeout 100 sh tests/mps/v2.sh $(SIMGPU) $(MPS_TESTS)/mps_client
	timeout 100 sh tests/mps/v3.sh $(SIMGPU) $(MPS_TESTS)/mps_client
