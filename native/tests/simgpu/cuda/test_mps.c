/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA programs as clients of the MPS daemon: what they see, their limits, their faults. */
#include "machine.h"
#include "machine/slot.h"

static char pipes[256], logs[512];

static int role_client(void)
{
    CUcontext ctx;
    CUdeviceptr at;
    int sms, mps;
    size_t available, total;
    long long order;
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS)
        result = cuDevicePrimaryCtxRetain(&ctx, 0);
    say(1, result);
    if (result != CUDA_SUCCESS)
        return 0;
    OK(cuCtxSetCurrent(ctx));
    OK(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    OK(cuDeviceGetAttribute(&mps, CU_DEVICE_ATTRIBUTE_MPS_ENABLED, 0));
    OK(cuMemGetInfo_v2(&available, &total));
    say(1, mps ? sms : -sms);
    say(1, (long long)(available / MiB));
    say(1, (long long)(total / MiB));
    while (read(0, &order, sizeof order) == sizeof order) {
        CUdeviceptr nowhere = 0x1000;
        uint32_t value = 1;
        void *params[] = {&nowhere, &value};
        if (order == 'k') {
            spin(NULL, 20000000);
            OK(cuCtxSynchronize());
            say(1, (long long)gs_slot_of(image(), getpid())->use[0].busy.total_ns);
        } else if (order == 'b') {
            spin(NULL, 3600000000000ull);
            say(1, 0);
        } else if (order > 1000)
            say(1, cuMemAlloc_v2(&at, (size_t)order));
        else if (order == 'p')
            say(1, cuLaunchKernel(kernel("gs_poke"), 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
        else
            say(1, cuCtxSynchronize());
    }
    return 0;
}

typedef struct seen {
    other process;
    long long sms, available, total;
} seen;

static seen client(void)
{
    seen s = {.process = start("client")};
    EQUAL(hear(s.process.from), CUDA_SUCCESS);
    s.sms = hear(s.process.from);
    s.available = hear(s.process.from);
    s.total = hear(s.process.from);
    return s;
}

static long long order(seen *s, long long what)
{
    say(s->process.to, what);
    return hear(s->process.from);
}

static void control(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line,
             "echo '%s' | timeout 10 \"$SIMGPU/nvidia-cuda-mps-control\" >/dev/null", command);
    ASSERT(system(line) == 0);
}

static void leave(seen *s)
{
    EQUAL(finish(&s->process), 0);
}

static void clients_see_their_share_of_sms(void)
{
    static const int percent[] = {5, 10, 25, 50, 75, 100}, sms[] = {8, 12, 32, 66, 98, 132};
    for (int i = 0; i < 6; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", percent[i]);
        setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", text, 1);
        seen a = client();
        EQUAL(a.sms, sms[i]);
        leave(&a);
    }
    unsetenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE");
}

static void pinned_limits_bind_and_leak(void)
{
    setenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=4G", 1);
    seen a = client();
    EQUAL(a.available, 4096 - 500); /* the context counts */
    ASSERT(a.total > 100000); /* but the total is that of the GPU */
    EQUAL(order(&a, 6 * GiB), CUDA_ERROR_OUT_OF_MEMORY);
    EQUAL(order(&a, 3 * GiB), CUDA_SUCCESS);
    leave(&a);
    /* There is no device 1, so every limit is dropped. */
    setenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=4G,1=4G", 1);
    seen b = client();
    EQUAL(order(&b, 6 * GiB), CUDA_SUCCESS);
    leave(&b);
    unsetenv("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT");
}

static void a_fault_breaks_every_client(void)
{
    seen a = client(), b = client();
    EQUAL(order(&a, 'p'), CUDA_SUCCESS);
    EQUAL(order(&a, 's'), CUDA_ERROR_ILLEGAL_ADDRESS);
    EQUAL(order(&b, 's'), CUDA_ERROR_ILLEGAL_ADDRESS);
    other newcomer = start("client");
    EQUAL(hear(newcomer.from), CUDA_ERROR_MPS_SERVER_NOT_READY);
    EQUAL(finish(&newcomer), 0);
    leave(&a);
    other early = start("client");
    /* A client of the fault is still connected. */
    EQUAL(hear(early.from), CUDA_ERROR_MPS_SERVER_NOT_READY);
    EQUAL(finish(&early), 0);
    leave(&b);
    seen c = client();
    EQUAL(order(&c, 's'), CUDA_SUCCESS);
    leave(&c);
}

static void a_terminated_client_gets_an_error(void)
{
    char command[64];
    seen a = client(), b = client();
    int server = 0;
    for (int i = 0; i < GS_MAX_MPS_SERVERS; i++)
        if (image()->servers[i].pid)
            server = image()->servers[i].pid;
    snprintf(command, sizeof command, "terminate_client %d %d", server, (int)a.process.pid);
    control(command);
    EQUAL(order(&a, 's'), CUDA_ERROR_MPS_CLIENT_TERMINATED);
    EQUAL(order(&b, 's'), CUDA_SUCCESS);
    leave(&a);
    leave(&b);
}

/* Without MPS the two would share time slices and take 40 ms (test_timeline.c). */
static void clients_run_in_parallel(void)
{
    seen a = client(), b = client();
    EQUAL(order(&a, 'b'), 0);
    EQUAL(order(&b, 'k'), 20000000);
    leave(&a);
    leave(&b);
}

static void clients_cannot_be_checkpointed(void)
{
    seen a = client();
    EQUAL(cuCheckpointProcessLock(a.process.pid, NULL), CUDA_ERROR_NOT_SUPPORTED);
    EQUAL(order(&a, 's'), CUDA_SUCCESS);
    leave(&a);
}

static void without_a_daemon_the_whole_gpu_is_visible(void)
{
    setenv("CUDA_MPS_PIPE_DIRECTORY", "/dev/null", 1);
    setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "10", 1);
    seen a = client();
    EQUAL(a.sms, -132);
    leave(&a);
    unsetenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE");
    setenv("CUDA_MPS_PIPE_DIRECTORY", pipes, 1);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "client") == 0 ? role_client() : 2;
    machine(
        "driver=580.159.03\ngpus=1\ngpu.0.name=NVIDIA H200\ngpu.0.memory=150754820096\ngpu.0.sms=132\n"
        "gpu.0.context=524288000\n");
    snprintf(pipes, sizeof pipes, "/tmp/simgpu-mps-XXXXXX");
    ASSERT(mkdtemp(pipes));
    snprintf(logs, sizeof logs, "%s/log", pipes);
    setenv("CUDA_MPS_PIPE_DIRECTORY", pipes, 1);
    setenv("CUDA_MPS_LOG_DIRECTORY", logs, 1);
    ASSERT(system("\"$SIMGPU/nvidia-cuda-mps-control\" -d") == 0);
    clients_see_their_share_of_sms();
    pinned_limits_bind_and_leak();
    a_fault_breaks_every_client();
    a_terminated_client_gets_an_error();
    clients_run_in_parallel();
    clients_cannot_be_checkpointed();
    without_a_daemon_the_whole_gpu_is_visible();
    control("quit");
    char remove[600];
    snprintf(remove, sizeof remove, "rm -rf '%s'", pipes);
    ASSERT(system(remove) == 0);
    puts("ok: MPS clients");
    return 0;
}
