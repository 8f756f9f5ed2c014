/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the machine image: one file, mapped by every process of a simulated machine.
 * Owner: `gpushare-sim-machine create` makes it; each process owns its slot.
 * Threads: every field is read and written under gs_image_lock() unless it says otherwise. The lock
 *   is robust.
 * Limits: the GS_MAX_* constants below; the layout is the same for every program of one build.
 *
 * Model: libcuda.so.1, libnvidia-ml.so.1, the MPS daemon and gpushare-sim-machine share the image,
 * and no other state of the machine exists.
 *
 * Invariants
 * 1. A slot belongs to the process that holds its byte lock on the image file (an open file
 *    description lock). The kernel releases the lock however the process ends. A slot whose lock is
 *    free belongs to an ended process, and gs_image_reap() (slot.h) frees what it held. The same
 *    holds for MPS daemons and servers. So it is known in every pid namespace; pids are of the
 *    process' own and gs_slot_pid() has them as the caller sees them.
 * 2. Memory in use on a device = reserved + the sum of slot.use[device].bytes over all slots. There
 *    is no second counter that could disagree, so nothing needs repair when the owner of the lock
 *    dies.
 * 3. A device is a physical GPU, or a MIG instance that names its parent. Both are entries of
 *    devices[]. A process is charged on the device it computes on.
 * 4. A process that is stopped while it holds the lock does not stop the machine: others go on
 *    without the lock. Every process writes its own slot, so little can disagree meanwhile.
 */
#ifndef GS_SIM_IMAGE_H
#define GS_SIM_IMAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "machine/busy.h"

enum {
    GS_IMAGE_VERSION = 3,
    GS_MAX_DEVICES = 64, /* 16 physical GPUs and their MIG instances */
    GS_MAX_GPUS = 16,
    GS_MAX_SLOTS = 256,
    GS_MAX_MPS_DAEMONS = 16,
    GS_MAX_MPS_SERVERS = 32,
    GS_MAX_MPS_CLIENTS = 256,
    GS_MAX_LIMITS = 64,
    GS_MAX_VGPU_TYPES = 16,
    GS_MAX_XIDS = 64,
    GS_RESIDUE_PAGE = 4096,
    GS_PATH = 256,
};
#define GS_IMAGE_MAGIC 0x4d495347u /* "GSIM" */
#define GS_NO_LIMIT UINT64_MAX
#define GS_GRANULE (2ull << 20) /* physical memory comes in granules of 2 MiB, as in the driver */

typedef enum { GS_VGPU_NONE = 0, GS_VGPU_HOST = 1, GS_VGPU_GUEST = 2 } gs_vgpu;

/* The time slices of a device: who has it, and how often that changed. */
typedef struct gs_turn {
    int32_t owner;    /* a process or an MPS server (cuda/execution/slices.h); 0: none yet */
    uint64_t since;   /* when its slice began, CLOCK_MONOTONIC ns; may be in the future */
    uint64_t slices;  /* that processes got */
    uint64_t changes; /* of contexts */
} gs_turn;

typedef struct gs_device {
    bool present;
    int32_t parent; /* -1: a physical GPU; else the index of the GPU a MIG instance is cut from */
    char uuid[64];  /* "GPU-..." or "MIG-..." */
    char name[96];
    char arch[24];
    char serial[32];
    char board[32];
    char pci[32]; /* domain:bus:device.function */
    uint32_t pci_id, pci_subsystem;
    int32_t numa;
    uint64_t memory, reserved, context_cost, bar1;
    uint32_t sms, cc_major, cc_minor, sm_chunk;
    uint32_t slice_us, change_us; /* a time slice; what a change of contexts costs */
    uint32_t memory_bus, l2, shared_per_sm, shared_optin, threads_per_sm, regs_per_sm;
    uint64_t link_bps, memory_bps;
    uint32_t pcie_gen, pcie_width, nvlinks;
    uint32_t clock_sm, clock_mem; /* MHz, maximum */
    uint32_t power_limit, power_limit_default; /* mW */
    uint32_t temperature;
    int32_t fan;
    int32_t compute_mode; /* CUcomputemode */
    bool persistence, ecc, ecc_pending, mig_capable, mig, mig_pending;
    gs_vgpu vgpu;

    /* MIG instance */
    char mig_profile[24];
    int32_t gi, ci;
    uint32_t slice_start, slice_size;

    /* faults */
    bool lost;            /* no longer on the bus */
    bool ecc_uncorrectable;
    uint64_t ecc_volatile, ecc_aggregate; /* uncorrectable errors counted */
    uint64_t throttle;    /* NVML clocks event reasons forced on */
    uint32_t recovery;    /* what NVML says to do with it: NVML_GPU_RECOVERY_ACTION_… */
    uint64_t fault_seq;   /* incremented by every fatal fault; older contexts are broken */
    int32_t fault_pid;    /* 0: every process */
    int32_t fault_result; /* CUresult its calls answer from then on */

    uint64_t residue_bytes; /* that hold old content, where the driver does not clear it */
    unsigned char residue[GS_RESIDUE_PAGE];

    gs_busy busy; /* of the whole device; a MIG instance also counts on its parent */
    gs_turn turn;
} gs_device;

/* What one process has on one device. */
typedef struct gs_use {
    uint64_t bytes;    /* contexts included */
    uint64_t managed;  /* of those, managed memory */
    uint64_t tail;     /* when its newest kernel ends, CLOCK_MONOTONIC ns */
    uint32_t contexts;
    uint32_t demand;   /* SMs its newest kernel wants */
    gs_busy busy;
} gs_use;

/* As CUprocessState. */
typedef enum {
    GS_RUNNING = 0,
    GS_LOCKED = 1,
    GS_CHECKPOINTED = 2,
    GS_FAILED = 3
} gs_checkpoint_state;

typedef struct gs_slot {
    int32_t pid; /* 0: free */
    uint32_t uid;
    uint64_t start_time; /* clock ticks since boot: field 22 of /proc/PID/stat */
    uint64_t pid_namespace; /* inode number */
    char name[64];       /* argv[0], what NVML calls the process */
    char cgroup[512];    /* /proc/PID/cgroup when the process first used CUDA */
    /* Index in clients[], -1: not a client. NVML type: C alone, M+C as a client. */
    int32_t mps_client;
    int32_t heap_fd; /* the process' device memory, reachable as /proc/PID/fd/N by IPC */

    gs_checkpoint_state checkpoint;
    uint32_t in_call; /* threads inside the driver now; a lock waits for zero */
    int32_t restore_tid;
    uint64_t checkpointed[GS_MAX_DEVICES]; /* bytes that were moved off the device */
    int32_t device_map
        /* The device that holds this device's memory after a restore; -1: itself. */
        [GS_MAX_DEVICES];

    gs_use use[GS_MAX_DEVICES];
} gs_slot;

typedef enum { GS_MPS_INITIALIZING = 0, GS_MPS_ACTIVE = 1, GS_MPS_FAULT = 2 } gs_mps_state;

typedef struct gs_mps_daemon {
    int32_t pid; /* 0: free */
    uint64_t devices; /* bit per device it serves: CUDA_VISIBLE_DEVICES in its environment */
    char pipe_directory[GS_PATH];
} gs_mps_daemon;

typedef struct gs_mps_server {
    int32_t pid; /* 0: free */
    uint32_t uid;
    int32_t daemon; /* index in daemons[] */
    char name[72]; /* v3 name; empty in v2 */
    gs_mps_state state;
    uint32_t thread_percentage; /* 1..100, for clients that connect from now on */
    uint64_t pinned_limit[GS_MAX_DEVICES]; /* GS_NO_LIMIT: none */
    int32_t priority; /* default client priority: 0 normal, 1 below normal */
    uint64_t fault_seq; /* incremented by a fatal fault of any client */
    uint64_t fault_devices; /* bit per device */
    int32_t fault_pid; /* the client that caused it */
} gs_mps_server;

typedef struct gs_mps_client {
    int32_t pid; /* as its daemon sees it; 0: free */
    int32_t slot; /* index in slots[] */
    int32_t slot_pid; /* with the start: whose slot it was when the client connected */
    uint64_t slot_start;
    int32_t server; /* index in servers[] */
    uint32_t thread_percentage;
    int32_t priority;
    uint64_t pinned_limit[GS_MAX_DEVICES];
    bool terminated; /* terminate_client: its next call answers CUDA_ERROR_MPS_CLIENT_TERMINATED */
    bool faulted; /* still connected after a fault; new clients wait until it has left */
    char name_space[72];
} gs_mps_client;

/* r615 memory limits: per cgroup directory and device. */
typedef struct gs_limit {
    bool present;
    char cgroup[GS_PATH]; /* e.g. /sys/fs/cgroup/share-a */
    int32_t device;
    uint64_t soft, hard; /* GS_NO_LIMIT: max */
} gs_limit;

/* A vGPU type the machine's hosts could create; id 0: none. */
typedef struct gs_vgpu_type {
    uint32_t id;
    char name[64];
    char kind[24]; /* NVML's class */
    uint64_t memory;
    uint32_t instances; /* how many fit one GPU */
} gs_vgpu_type;

typedef struct gs_xid {
    uint64_t seq; /* 0: empty; newest = image.xid_seq */
    int32_t device;
    int32_t pid;
    uint32_t xid; /* 0: the recovery action changed */
    uint64_t time_ns; /* CLOCK_REALTIME */
} gs_xid;

typedef struct gs_image {
    uint32_t magic; /* written last by create */
    uint32_t version;
    uint64_t size;
    pthread_mutex_t lock;
    char driver[32];
    char nvml[48];
    char vbios[32];
    char kernel[32];
    uint32_t cuda; /* 13000 */
    uint32_t gpus; /* physical GPUs: devices[0..gpus) */
    bool driver_mismatch;
    bool mps_stuck; /* MPS daemons take requests and answer nothing */
    bool residue; /* the driver does not clear memory: residue.h */
    /* Confidential computing: NVML_CC_SYSTEM_ENVIRONMENT_…; whether tools may look inside. */
    uint32_t confidential, confidential_tools;
    uint64_t boot_ns; /* CLOCK_REALTIME when the image was made */
    gs_device devices[GS_MAX_DEVICES];
    gs_limit limits[GS_MAX_LIMITS];
    gs_vgpu_type vgpu_types[GS_MAX_VGPU_TYPES];
    uint64_t xid_seq;
    gs_xid xids[GS_MAX_XIDS]; /* ring: xids[seq % GS_MAX_XIDS] */
    gs_mps_daemon daemons[GS_MAX_MPS_DAEMONS];
    gs_mps_server servers[GS_MAX_MPS_SERVERS];
    gs_mps_client clients[GS_MAX_MPS_CLIENTS];
    gs_slot slots[GS_MAX_SLOTS];
} gs_image;

/*
 * The image that GPUSHARE_SIM_MACHINE names, mapped once per process; NULL (errno says why) without
 * one.
 */
gs_image *gs_image_attach(void);
/*
 * Maps the image at `path`; *fd (if not NULL) receives the descriptor, which must stay open for
 * slot locks.
 */
gs_image *gs_image_open(const char *path, int *fd);
extern int gs_image_fd; /* of gs_image_attach() */
void gs_image_lock(gs_image *image);
void gs_image_unlock(gs_image *image);

/*
 * Under the lock: bytes in use on a device: reserved, every process, and for a GPU its MIG
 * instances.
 */
uint64_t gs_device_used(const gs_image *image, int device);
int gs_device_by_uuid(const gs_image *image, const char *uuid); /* -1: none */

#endif
