# SPDX-License-Identifier: Apache-2.0
TESTS += test-probe
PROBE_OUTPUT := $(BUILD)/tests/probe/output

# tests/contract probes shares. Here: the answers without a driver and to invalid options.
test-probe: export LD_LIBRARY_PATH =
test-probe: $(PROBE)
	@mkdir -p $(dir $(PROBE_OUTPUT))
	@$(PROBE) --limit 0 2>$(PROBE_OUTPUT); test $$? -eq 2
	@grep -q '^usage' $(PROBE_OUTPUT)
	@$(PROBE) --timeout 0 2>$(PROBE_OUTPUT); test $$? -eq 2
	@if ! ldconfig -p 2>/dev/null | grep -q libcuda.so.1; then \
		$(PROBE) --attempt >$(PROBE_OUTPUT); test $$? -eq 7 && grep -q '"error":"libcuda' $(PROBE_OUTPUT); fi
	@echo 'ok probe'
