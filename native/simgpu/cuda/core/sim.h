/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated driver inside one process.
 *
 * Every entry point starts with ENTER(): it takes the process lock (`sim.lock`), blocks while the process is
 * checkpoint-locked and answers what a broken context answers. Public entry points never call each other.
 *
 * Time: an operation gets its place [start, end) on the GPU's timeline when it is submitted and moves its bytes
 * at once; it is complete when CLOCK_MONOTONIC passes `end`. Only what cannot be timed ahead (host callbacks,
 * waits on values, and whatever stands behind them) waits in a stream's queue for the worker thread. Programs
 * without races cannot tell the difference.
 */
#ifndef GS_CUDA_SIM_H
#define GS_CUDA_SIM_H

#pragma GCC visibility push(default)
#include "gs_cuda.h"
#pragma GCC visibility pop
#include "machine/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef enum {
    KIND_NONE, KIND_CONTEXT, KIND_STREAM, KIND_EVENT, KIND_MODULE, KIND_FUNCTION, KIND_LIBRARY, KIND_ARRAY,
    KIND_MIPMAP, KIND_POOL, KIND_GRAPH, KIND_NODE, KIND_EXEC, KIND_CHUNK, KIND_EXTERNAL, KIND_USER_OBJECT,
    KIND_LINK
} gs_kind;

typedef struct gs_op gs_op;
typedef struct gs_range gs_range;

/* One piece of physical memory: a stretch of a memfd, charged to a device. */
typedef struct gs_chunk {
    int device; /* -1: host memory */
    uint64_t size;
    int fd;
    off_t offset;
    int refs;    /* handle and mappings */
    int handles; /* cuMemCreate/Retain/Import references not yet released */
    bool own_fd;   /* an fd of its own, because it may be exported */
    bool imported; /* charged to its exporter */
    CUmemAllocationProp prop;
} gs_chunk;

struct CUctx_st {
    CUdevice ordinal;
    int device; /* index in the image */
    unsigned int flags;
    int refs;
    bool primary, alive;
    unsigned long long id;
    uint64_t fault_seq, server_fault_seq; /* faults up to these are older than the context */
    int fault_device;
    CUresult broken; /* sticky */
    CUstream streams; /* list; the legacy stream is always first */
    CUmodule modules;
    struct gs_heap *heap; /* allocations below a granule */
    CUmemoryPool pool;
    size_t limits[CU_LIMIT_MAX];
    CUfunc_cache cache;
    uint64_t peers; /* bit per ordinal */
};

typedef struct gs_capture {
    CUgraph graph;
    CUstreamCaptureMode mode;
    CUstreamCaptureStatus status; /* NONE once it has ended */
    unsigned long long id;
    CUstream origin;
    pthread_t thread;
    bool borrowed; /* captures into a graph that is not its own */
    struct gs_capture *next;
} gs_capture;

/* Nodes an operation that comes next depends on. */
typedef struct gs_frontier {
    CUgraphNode *nodes;
    size_t count;
} gs_frontier;

struct CUstream_st {
    CUcontext ctx;
    CUstream next;
    unsigned int flags;
    int priority;
    unsigned long long id;
    bool legacy, per_thread;
    pthread_t owner; /* of a per-thread stream */
    uint64_t tail;   /* when its newest operation ends */
    gs_op *first, *last; /* what waits for the worker */
    gs_capture *capture;
    gs_frontier frontier;
};

struct CUevent_st {
    CUcontext ctx;
    unsigned int flags;
    uint64_t *time;  /* when the recorded work ends; 0: never recorded. Shared for CU_EVENT_INTERPROCESS */
    uint64_t own_time;
    int clock_fd;
    uint64_t queued; /* sequence number of a record that still waits for the worker */
    gs_capture *capture; /* recorded while capturing */
    gs_frontier frontier;
};

struct CUfunc_st {
    CUmodule module;
    CUlibrary library;
    char name[160];
    int params; /* -1: unknown */
    uint32_t offset[64], size[64];
    int attributes[CU_FUNC_ATTRIBUTE_MAX];
    CUfunction next;
};

struct CUmod_st {
    CUcontext ctx;
    CUlibrary library;
    CUfunction functions;
    bool closed; /* every kernel it has is listed */
    struct gs_global *globals;
    CUmodule next;
};

typedef struct gs_global {
    char name[160];
    size_t size;
    CUdeviceptr at;
    struct gs_global *next;
} gs_global;

typedef enum {
    OP_EMPTY, OP_KERNEL, OP_COPY, OP_MEMSET, OP_HOST, OP_RECORD, OP_WAIT, OP_VALUE_WRITE, OP_VALUE_WAIT,
    OP_ALLOC, OP_FREE, OP_CHILD, OP_LAUNCH
} gs_op_type;

typedef struct gs_kernel {
    CUfunction function;
    unsigned int grid[3], block[3], shared;
    size_t size;          /* of the copied parameters */
    unsigned char *params; /* owned by the operation */
} gs_kernel;

/* One thing a stream or a graph node does. Plain data: may be copied with gs_op_copy. */
struct gs_op {
    gs_op_type type;
    gs_op *next;
    CUcontext ctx;
    uint64_t sequence;
    union {
        gs_kernel kernel;
        CUDA_MEMCPY3D copy;
        CUDA_MEMSET_NODE_PARAMS memset;
        struct { CUhostFn call; CUstreamCallback callback; CUstream stream; void *data; } host;
        struct { CUevent event; unsigned int flags; uint64_t sequence; } event;
        CUstreamMemOpValueParams value;
        struct { CUmemoryPool pool; CUdeviceptr at; size_t size; } memory;
        CUgraph child;
        CUgraphExec launch;
    };
};

struct gs_range {
    CUdeviceptr base;
    uint64_t size;
    enum {
        RANGE_ALLOC, RANGE_SMALL, RANGE_POOL, RANGE_RESERVED, RANGE_MAPPED, RANGE_MANAGED, RANGE_HOST,
        RANGE_REGISTERED, RANGE_IPC, RANGE_GRAPH
    } kind;
    CUcontext ctx;
    int device;
    unsigned int flags;
    unsigned long long id;
    gs_chunk *chunk;
    uint64_t chunk_offset; /* RANGE_MAPPED */
    CUmemoryPool pool;
    struct gs_heap *heap;
};

typedef struct gs_sim {
    pthread_mutex_t lock;
    gs_image *image;
    gs_slot *slot;
    bool ready, forked;
    CUresult init_result;
    int visible[GS_MAX_DEVICES]; /* ordinal -> index in the image */
    int count;
    CUcontext primary[GS_MAX_DEVICES];
    unsigned int primary_flags[GS_MAX_DEVICES];
    CUmemoryPool default_pool[GS_MAX_DEVICES], pool[GS_MAX_DEVICES];
    unsigned long long next_id;
    uint64_t sequence;
    int mps_socket; /* stays open while this process is a client */
    bool mps_tried;
} gs_sim;
extern gs_sim sim;

/* cuda_process.c: entry and exit of every call */
typedef enum { NEED_NOTHING, NEED_INIT, NEED_CONTEXT } gs_need;
typedef struct gs_call {
    CUresult error;
    CUcontext ctx;
    bool counted, locked;
} gs_call;
gs_call gs_enter(gs_need need);
void gs_leave(gs_call *call);
#define ENTER(need)                                                             \
    gs_call call __attribute__((cleanup(gs_leave))) = gs_enter(need);           \
    if (call.error)                                                             \
        return call.error
#define CHECK(condition, result) \
    do {                         \
        if (!(condition))        \
            return (result);     \
    } while (0)
#define TRY(expression)                    \
    do {                                   \
        CUresult tried = (expression);     \
        if (tried != CUDA_SUCCESS)         \
            return tried;                  \
    } while (0)

/* cuda_visible.c */
void gs_visible_devices(void);

/* cuda_handle.c */
void *gs_handle_new(gs_kind kind, size_t size); /* zeroed */
bool gs_handle_is(const void *handle, gs_kind kind);
void gs_handle_free(void *handle);

/* cuda_context.c */
CUresult gs_context_health(CUcontext ctx);
CUcontext gs_context_current(void);
CUresult gs_primary(int ordinal, CUcontext *ctx);
CUresult gs_ordinal(CUdevice ordinal, gs_device **device);
int gs_ordinal_of(int device); /* -1: not visible */

/* cuda_mps.c */
CUresult gs_mps_join(void);
bool gs_mps_serves(const gs_mps_server *server, int device);
gs_mps_client *gs_mps_me(void);
uint32_t gs_mps_sms(const gs_device *device);
CUresult gs_mps_health(CUcontext ctx);

/* cuda_charge.c: physical memory against the machine's limits */
CUresult gs_charge(int device, uint64_t bytes, bool managed);
void gs_uncharge(int device, uint64_t bytes, bool managed);
void gs_memory_info(int device, uint64_t *available, uint64_t *total);
int gs_home(int device); /* the device of the image that `device` is now */
gs_device *gs_device_of(int device);
gs_use *gs_use_of(int device);

/* cuda_arena.c: device addresses and the bytes behind them */
CUdeviceptr gs_arena_take(uint64_t size, uint64_t alignment, CUdeviceptr hint);
void gs_arena_give(CUdeviceptr at, uint64_t size);
void *gs_bytes(CUdeviceptr at); /* where the CPU finds what a device address names */
CUresult gs_chunk_new(int device, uint64_t size, bool own_fd, gs_chunk **chunk);
void gs_chunk_drop(gs_chunk *chunk);
bool gs_chunk_map(gs_chunk *chunk, uint64_t offset, CUdeviceptr at, uint64_t size, int protection);
void gs_arena_unmap(CUdeviceptr at, uint64_t size);
int gs_heap_file(void); /* the memfd all unexported chunks lie in */
gs_chunk *gs_chunk_import(int device, uint64_t size, int fd, off_t offset); /* takes the descriptor */

/* cuda_range.c: what lies at an address */
gs_range *gs_range_add(const gs_range *range);
gs_range *gs_range_find(CUdeviceptr at); /* the range that holds `at` */
gs_range *gs_range_at(CUdeviceptr base); /* the range that starts there */
void gs_range_remove(gs_range *range);
size_t gs_range_count(void);
gs_range *gs_range_nth(size_t i);

/* cuda_memory.c */
CUresult gs_alloc(CUcontext ctx, size_t size, CUdeviceptr *at);
CUresult gs_free(CUdeviceptr at);
void gs_free_of_context(CUcontext ctx);
void gs_free_imported(gs_range *range);

/* cuda_heap.c: small blocks out of bigger chunks */
typedef struct gs_heap gs_heap;
gs_heap *gs_heap_new(int device, uint64_t step);
CUresult gs_heap_alloc(gs_heap *heap, uint64_t size, CUdeviceptr *at);
void gs_heap_free(gs_heap *heap, CUdeviceptr at);
void gs_heap_trim(gs_heap *heap, uint64_t keep);
uint64_t gs_heap_reserved(const gs_heap *heap);
void gs_heap_destroy(gs_heap *heap);
gs_chunk *gs_heap_chunk(const gs_heap *heap, CUdeviceptr at, uint64_t *offset);

/* cuda_pool.c */
CUmemoryPool gs_default_pool(int device);
CUresult gs_pool_alloc(CUmemoryPool pool, size_t size, CUdeviceptr *at);
CUresult gs_pool_free(CUdeviceptr at);
bool gs_pool_exportable(CUmemoryPool pool);
CUmemoryPool gs_pool_imported(int fd); /* takes the descriptor */
int gs_pool_file(CUmemoryPool pool);   /* of an imported pool; -1: not imported */
void gs_pools_settle(CUcontext ctx); /* at a synchronisation: memory above the release threshold goes back */

/* cuda_stream.c */
CUresult gs_stream_of(CUcontext ctx, CUstream handle, CUstream *stream);
CUstream gs_stream_new(CUcontext ctx, unsigned int flags, int priority);
void gs_stream_free(CUstream stream);
CUresult gs_stream_wait(gs_call *call, CUstream stream);
CUresult gs_context_wait(gs_call *call, CUcontext ctx);
uint64_t gs_stream_ready(CUstream stream); /* earliest start of its next operation */
CUresult gs_wait_until(gs_call *call, uint64_t time, CUcontext ctx);
void gs_sleep_queue(void); /* until the worker did something; releases the process lock meanwhile */
extern __thread int gs_per_thread_default;

/* cuda_event.c */
CUevent gs_event_new(CUcontext ctx, unsigned int flags);
CUresult gs_event_share(CUevent event); /* its time moves to memory other processes can map */
void gs_event_unshare(CUevent event);

/* cuda_op.c */
CUresult gs_submit(CUcontext ctx, CUstream stream, gs_op *op); /* takes what `op` owns */
CUresult gs_execute(CUstream stream, gs_op *op);
gs_op *gs_op_copy(const gs_op *op);
void gs_op_clear(gs_op *op);

/* cuda_worker.c */
bool gs_must_queue(CUstream stream, const gs_op *op);
void gs_queue(CUstream stream, gs_op *op);
void gs_queue_drop(CUstream stream);

/* cuda_timeline.c */
uint64_t gs_timeline_kernel(CUcontext ctx, uint64_t ready, uint64_t duration, uint32_t sms);
uint64_t gs_copy_ns(int device, uint64_t bytes, bool over_link);

/* cuda_copy.c */
CUresult gs_copy_check(const CUDA_MEMCPY3D *copy);
void gs_copy_run(const CUDA_MEMCPY3D *copy);
uint64_t gs_copy_time(CUcontext ctx, const CUDA_MEMCPY3D *copy);
void gs_memset_run(const CUDA_MEMSET_NODE_PARAMS *fill);
CUDA_MEMCPY3D gs_copy_linear(CUdeviceptr to, CUdeviceptr from, size_t bytes);

/* cuda_array.c */
typedef struct gs_plane { CUdeviceptr at; size_t pitch, height, depth; } gs_plane;
bool gs_array_plane(CUarray array, gs_plane *plane);

/* cuda_kernel.c */
uint64_t gs_kernel_ns(CUcontext ctx, const gs_kernel *kernel);
void gs_kernel_run(CUcontext ctx, const gs_kernel *kernel);
CUresult gs_kernel_pack(CUcontext ctx, CUfunction function, void **params, void **extra, gs_kernel *kernel);

/* cuda_module.c */
CUresult gs_function_of(CUcontext ctx, CUfunction handle, CUfunction *function);
void gs_modules_free(CUcontext ctx);
bool gs_ptx_parse(CUmodule module, const char *text);
bool gs_elf_parse(CUmodule module, const unsigned char *image);
CUfunction gs_module_add(CUmodule module, const char *name, size_t length, int params);

/* cuda_capture.c */
CUresult gs_capture_op(CUstream stream, gs_op *op); /* takes what `op` owns */
CUresult gs_capture_forbids(CUcontext ctx);
CUresult gs_capture_unsafe(void); /* the answer of calls that a capture does not allow */
CUresult gs_capture_wait(CUstream stream, CUevent event);
CUresult gs_capture_record(CUstream stream, CUevent event);

/* cuda_graph.c */
typedef struct gs_kept { /* user objects a graph holds */
    CUuserObject object;
    unsigned int count;
    struct gs_kept *next;
} gs_kept;
void gs_user_objects_drop(gs_kept *list);
struct CUgraphNode_st {
    CUgraph graph;
    gs_op *op;
    gs_frontier after; /* what it depends on */
    CUgraphNode cloned_from;
    void **pointers; /* kernelParams as cuGraphKernelNodeGetParams shows them */
    int priority;
    int mark;
};
struct CUgraph_st {
    CUgraphNode *nodes; /* in order of creation */
    size_t count;
    gs_kept *kept;
};
CUgraph gs_graph_new(void);
void gs_graph_free(CUgraph graph);
CUresult gs_graph_add(CUgraph graph, const CUgraphNode *after, size_t count, gs_op *op, CUgraphNode *node);
bool gs_frontier_add(gs_frontier *frontier, CUgraphNode node);
CUgraph gs_graph_clone(CUgraph graph);

/* cuda_graph_exec.c */
CUresult gs_graph_launch(CUstream stream, CUgraphExec exec);
CUresult gs_exec_replace(CUgraphExec exec, CUgraphNode node, gs_op *op); /* takes what `op` owns */

/* cuda_graph_memory.c */
CUresult gs_graph_memory_reserve(CUcontext ctx, gs_op *op);
CUresult gs_graph_memory_map(const gs_op *op, bool free_first);
CUresult gs_graph_memory_free(CUdeviceptr at);
void gs_graph_memory_forget(CUdeviceptr at); /* the node that reserved it goes away */

#endif
