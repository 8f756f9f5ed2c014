/* SPDX-License-Identifier: Apache-2.0 */
/* Faults: which contexts break, and which keep working. */
#include "machine.h"

/* Child: executes orders and reports the result of a synchronization. */
static int role_worker(void)
{
    CUcontext ctx;
    long long order;
    OK(cuInit(0));
    CUresult result = cuDevicePrimaryCtxRetain(&ctx, 0);
    say(1, result);
    if (result != CUDA_SUCCESS)
        return 0;
    OK(cuCtxSetCurrent(ctx));
    while (read(0, &order, sizeof order) == sizeof order) {
        if (order == 'p') { /* writes to an address without memory */
            CUdeviceptr nowhere = 0x1000;
            uint32_t value = 1;
            void *params[] = {&nowhere, &value};
            OK(cuLaunchKernel(kernel("gs_poke"), 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
        }
        say(1, cuCtxSynchronize());
    }
    return 0;
}

static long long order(other *process, char what)
{
    say(process->to, what);
    return hear(process->from);
}

static other worker(long long expected)
{
    other process = start("worker");
    EQUAL(hear(process.from), expected);
    return process;
}

static void illegal_address_breaks_only_its_process(void)
{
    other a = worker(CUDA_SUCCESS), b = worker(CUDA_SUCCESS);
    EQUAL(order(&a, 'p'), CUDA_ERROR_ILLEGAL_ADDRESS);
    EQUAL(order(&a, 's'), CUDA_ERROR_ILLEGAL_ADDRESS); /* permanently */
    EQUAL(order(&b, 's'), CUDA_SUCCESS);
    EQUAL(image()->xids[image()->xid_seq % GS_MAX_XIDS].xid, 31);
    EQUAL(image()->xids[image()->xid_seq % GS_MAX_XIDS].pid, a.pid);
    other c = worker(CUDA_SUCCESS);
    EQUAL(order(&c, 's'), CUDA_SUCCESS);
    EQUAL(finish(&a), 0);
    EQUAL(finish(&b), 0);
    EQUAL(finish(&c), 0);
}

static void injected_faults_break_running_programs(void)
{
    other a = worker(CUDA_SUCCESS);
    fault("gpu=0 ecc=1");
    EQUAL(order(&a, 's'), CUDA_ERROR_ECC_UNCORRECTABLE);
    EQUAL(finish(&a), 0);
    other b = worker(CUDA_SUCCESS), c = worker(CUDA_SUCCESS);
    char words[64];
    snprintf(words, sizeof words, "gpu=0 xid=31 pid=%d", (int)b.pid);
    fault(words);
    EQUAL(order(&b, 's'), CUDA_ERROR_ILLEGAL_ADDRESS);
    EQUAL(order(&c, 's'), CUDA_SUCCESS);
    fault("gpu=0 xid=63"); /* a page retirement breaks no context */
    EQUAL(order(&c, 's'), CUDA_SUCCESS);
    EQUAL(finish(&b), 0);
    fault("gpu=0 lost=1");
    EQUAL(order(&c, 's'), CUDA_ERROR_UNKNOWN);
    EQUAL(finish(&c), 0);
    fault("clear");
    other d = worker(CUDA_SUCCESS);
    EQUAL(order(&d, 's'), CUDA_SUCCESS);
    EQUAL(finish(&d), 0);
}

static int role_init(void)
{
    say(1, cuInit(0));
    return 0;
}

static void a_mismatched_driver_does_not_start(void)
{
    fault("driver_mismatch=1");
    other a = start("init");
    EQUAL(hear(a.from), CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
    EQUAL(finish(&a), 0);
    fault("gpu=0 lost=1");
    fault("driver_mismatch=0");
    other b = start("init");
    EQUAL(hear(b.from), CUDA_ERROR_NO_DEVICE);
    EQUAL(finish(&b), 0);
    fault("clear");
}

static void a_fault_ends_a_wait(void)
{
    begin();
    spin(NULL, 3600000000000ull);
    fault("gpu=0 xid=79");
    EQUAL(cuCtxSynchronize(), CUDA_ERROR_UNKNOWN);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "worker") == 0 ? role_worker() : role_init();
    machine("gpus=1\n");
    illegal_address_breaks_only_its_process();
    injected_faults_break_running_programs();
    a_mismatched_driver_does_not_start();
    a_fault_ends_a_wait();
    puts("ok: faults");
    return 0;
}
