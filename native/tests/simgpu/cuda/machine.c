/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"
#include "machine/slot.h"

#include <signal.h>
#include <sys/wait.h>

static char path[256];
static pid_t owner;

static void clean(void)
{
    if (getpid() == owner)
        unlink(path);
}

static void tool(const char *verb, const char *rest)
{
    char command[1024];
    snprintf(command, sizeof command, "\"$SIMGPU/gpushare-sim-machine\" %s '%s' %s", verb, path,
             rest);
    ASSERT(system(command) == 0);
}

void machine(const char *spec)
{
    char command[1024];
    const char *directory = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/simgpu-test-%d", directory ? directory : "/tmp", (int)getpid());
    snprintf(command, sizeof command, "\"$SIMGPU/gpushare-sim-machine\" create '%s'", path);
    unlink(path);
    FILE *pipe = popen(command, "w");
    ASSERT(pipe);
    fputs(spec, pipe);
    EQUAL(pclose(pipe), 0);
    owner = getpid();
    atexit(clean);
    setenv("GPUSHARE_SIM_MACHINE", path, 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    setenv("CUDA_MPS_PIPE_DIRECTORY", "/dev/null", 1);
}

void fault(const char *words)
{
    snprintf(path, sizeof path, "%s", getenv("GPUSHARE_SIM_MACHINE"));
    tool("fault", words);
}

gs_image *image(void)
{
    return gs_image_attach();
}

uint64_t used(int device)
{
    gs_image_lock(image());
    gs_image_reap(image());
    uint64_t bytes = gs_device_used(image(), device);
    gs_image_unlock(image());
    return bytes;
}

CUcontext begin(void)
{
    CUcontext ctx;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&ctx, 0));
    OK(cuCtxSetCurrent(ctx));
    return ctx;
}

size_t free_memory(void)
{
    size_t available;
    OK(cuMemGetInfo_v2(&available, NULL));
    return available;
}

const char kernels[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .global .align 8 .b8 table[256];\n"
    ".visible .entry spin(.param .u64 ns)\n{ ret; }\n"
    ".visible .entry work(\n .param .u64 a,\n .param .align 16 .b8 b[24],\n .param .f32 c\n)\n{ ret; }\n"
    ".visible .entry gs_fill(.param .u64 at, .param .u32 value, .param .u64 words)\n{ ret; }\n"
    ".visible .entry gs_saxpy(.param .u64 y, .param .u64 x, .param .f32 a, .param .u64 n)\n{ ret; }\n"
    ".visible .entry gs_poke(.param .u64 at, .param .u32 value)\n{ ret; }\n";

CUfunction kernel(const char *name)
{
    static CUmodule module;
    CUfunction function;
    if (!module)
        OK(cuModuleLoadData(&module, kernels));
    OK(cuModuleGetFunction(&function, module, name));
    return function;
}

void spin(CUstream stream, uint64_t nanoseconds)
{
    void *params[] = {&nanoseconds};
    OK(cuLaunchKernel(kernel("spin"), 1, 1, 1, 32, 1, 1, 0, stream, params, NULL));
}

other start(const char *role)
{
    int down[2], up[2];
    char self[256] = "";
    ASSERT(pipe(down) == 0 && pipe(up) == 0);
    ASSERT(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        dup2(down[0], 0);
        dup2(up[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execl(self, self, role, NULL);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    return (other){pid, down[1], up[0]};
}

void say(int fd, long long value)
{
    ASSERT(write(fd, &value, sizeof value) == sizeof value);
}

long long hear(int fd)
{
    long long value;
    ASSERT(read(fd, &value, sizeof value) == sizeof value);
    return value;
}

int finish(other *process)
{
    int status;
    close(process->to);
    close(process->from);
    ASSERT(waitpid(process->pid, &status, 0) == process->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
