/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: one operation of a stream or of a graph node.
 * Owner: plain data; the parameters of a kernel are owned by the operation and freed by
 *   gs_op_clear().
 * Threads: none of its own.
 * Limits: OP_CHILD exists in graphs only: instantiation replaces it by its nodes.
 */
#ifndef GS_SIM_CUDA_OP_H
#define GS_SIM_CUDA_OP_H

#include "cuda/core/driver.h"

typedef enum {
    OP_EMPTY,
    OP_KERNEL,
    OP_COPY,
    OP_MEMSET,
    OP_HOST,
    OP_RECORD,
    OP_WAIT,
    OP_VALUE_WRITE,
    OP_VALUE_WAIT,
    OP_ALLOC,
    OP_FREE,
    OP_CHILD
} gs_op_type;

typedef struct gs_kernel {
    CUfunction function;
    unsigned int grid[3], block[3], shared;
    size_t size;           /* of the copied parameters */
    unsigned char *params; /* owned by the operation */
} gs_kernel;

typedef struct gs_op {
    gs_op_type type;
    struct gs_op *next;
    CUcontext ctx;
    uint64_t sequence; /* order of submission in this process */
    union {
        gs_kernel kernel;
        CUDA_MEMCPY3D copy;
        CUDA_MEMSET_NODE_PARAMS memset;
        struct {
            CUhostFn call;
            CUstreamCallback callback;
            CUstream stream;
            void *data;
        } host;
        struct {
            CUevent event;
            unsigned int flags;
            uint64_t sequence;
        } event;
        CUstreamMemOpValueParams value;
        struct {
            CUmemoryPool pool;
            CUdeviceptr at;
            size_t size;
        } memory;
        CUgraph child;
    };
} gs_op;

gs_op *gs_op_copy(const gs_op *op);
void gs_op_clear(gs_op *op);

#endif
