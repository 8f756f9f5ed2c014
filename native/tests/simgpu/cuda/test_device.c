/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: what a process sees of the machine, with and without CUDA_VISIBLE_DEVICES. */
#include "machine.h"

static const char spec[] =
    "driver=580.159.03\ngpus=2\ngpu.*.name=NVIDIA H200\ngpu.*.memory=150754820096\ngpu.*.reserved=645922816\n"
    "gpu.*.sms=132\ngpu.0.uuid=GPU-00112233-4455-6677-8899-aabbccddeeff\n"
    "gpu.1.uuid=GPU-ffeeddcc-0000-0000-0000-000000000001\ngpu.1.mig=1\ngpu.1.mig_capable=1\n"
    "mig.0.gpu=1\nmig.0.uuid=MIG-11111111-2222-3333-4444-555555555555\nmig.0.profile=1g.18gb\n"
    "mig.0.memory=18000000000\nmig.0.sms=16\nmig.0.gi=7\nmig.0.ci=0\nmig.0.start=0\nmig.0.size=1\n";

static int attribute(CUdevice_attribute which)
{
    int value;
    OK(cuDeviceGetAttribute(&value, which, 0));
    return value;
}

static void describes_the_gpu(void)
{
    char name[64], bus[32];
    size_t total;
    CUdevice device;
    OK(cuInit(0));
    EQUAL(cuInit(1), CUDA_ERROR_INVALID_VALUE);
    OK(cuDeviceGet(&device, 0));
    EQUAL(cuDeviceGet(&device, 99), CUDA_ERROR_INVALID_DEVICE);
    OK(cuDeviceGetName(name, sizeof name, 0));
    ASSERT(strcmp(name, "NVIDIA H200") == 0);
    OK(cuDeviceTotalMem_v2(&total, 0));
    EQUAL(total, 150754820096ull - 645922816ull);
    EQUAL(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 132);
    EQUAL(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR), 9);
    EQUAL(attribute(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED), 1);
    EQUAL(attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED), 1);
    OK(cuDeviceGetPCIBusId(bus, sizeof bus, 0));
    device = 7;
    OK(cuDeviceGetByPCIBusId(&device, bus));
    EQUAL(device, 0);
    EQUAL(cuDeviceGetAttribute(NULL, 1, 0), CUDA_ERROR_INVALID_VALUE);
    EQUAL(cuDeviceGetAttribute(&device, 0, 0), CUDA_ERROR_INVALID_VALUE);
}

static void uuid_is_that_of_the_machine(void)
{
    CUuuid uuid;
    OK(cuDeviceGetUuid_v2(&uuid, 0));
    EQUAL((unsigned char)uuid.bytes[1], 0x11);
    EQUAL((unsigned char)uuid.bytes[15], 0xff);
}

static void errors_have_names_and_descriptions(void)
{
    const char *text;
    OK(cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &text));
    ASSERT(strcmp(text, "CUDA_ERROR_OUT_OF_MEMORY") == 0);
    OK(cuGetErrorString(CUDA_ERROR_MPS_SERVER_NOT_READY, &text));
    ASSERT(strcmp(text, "MPS server is not ready to accept new MPS client requests") == 0);
    EQUAL(cuGetErrorName((CUresult)4711, &text), CUDA_ERROR_INVALID_VALUE);
    ASSERT(text == NULL);
}

static int count_devices(void)
{
    int count = 0;
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS)
        OK(cuDeviceGetCount(&count));
    else
        EQUAL(result, CUDA_ERROR_NO_DEVICE);
    say(1, count);
    size_t total = 0;
    if (count)
        OK(cuDeviceTotalMem_v2(&total, count - 1));
    say(1, (long long)total);
    return 0;
}

/* Devices a new process counts with this CUDA_VISIBLE_DEVICES, and the memory of its last one. */
static long long visible(const char *value, long long *last)
{
    setenv("CUDA_VISIBLE_DEVICES", value, 1);
    other process = start("count");
    long long count = hear(process.from);
    *last = hear(process.from);
    EQUAL(finish(&process), 0);
    unsetenv("CUDA_VISIBLE_DEVICES");
    return count;
}

static void environment_selects_and_orders(void)
{
    long long last;
    EQUAL(visible("", &last), 0);
    EQUAL(visible("0", &last), 1);
    EQUAL(visible("0,9,1", &last), 1);
    EQUAL(visible("0,0", &last), 0);
    EQUAL(visible("GPU-0011", &last), 1);
    EQUAL(visible("MIG-11111111-2222-3333-4444-555555555555", &last), 1);
    EQUAL(last, 18000000000ll);
    EQUAL(visible("MIG-GPU-ffeeddcc-0000-0000-0000-000000000001/7/0", &last), 1);
    EQUAL(visible("nonsense", &last), 0);
}

static int without_machine(void)
{
    unsetenv("GPUSHARE_SIM_MACHINE");
    EQUAL(cuInit(0), CUDA_ERROR_NO_DEVICE);
    int count;
    EQUAL(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "count") == 0 ? count_devices() : without_machine();
    machine(spec);
    describes_the_gpu();
    uuid_is_that_of_the_machine();
    errors_have_names_and_descriptions();
    environment_selects_and_orders();
    other process = start("without");
    EQUAL(finish(&process), 0);
    puts("ok: devices");
    return 0;
}
