# SPDX-License-Identifier: Apache-2.0
# Programs that reach the driver past the usual symbol lookup; tests/guard/test_lookup.py runs them.
LOOKUP := $(GUARD_TESTS)/lookup
LOOKUP_ALL := $(addprefix $(LOOKUP)/,lookup_test libplugin.so libloader.so libwrapper.so)

$(LOOKUP)/lookup_test: $(BUILD)/obj/tests/guard/lookup/lookup_test.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LOOKUP)/libplugin.so: $(BUILD)/obj/tests/guard/lookup/plugin.o $(BUILD)/simgpu/libcuda.so.1
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LOOKUP)/libloader.so: $(BUILD)/obj/tests/guard/lookup/loader.o
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-rpath,'$$ORIGIN' -Wl,--enable-new-dtags $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LOOKUP)/libwrapper.so: $(BUILD)/obj/tests/guard/lookup/wrapper.o
	@mkdir -p $(@D)
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(LDLIBS)

test-guard: $(LOOKUP_ALL)
