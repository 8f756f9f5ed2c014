/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda/graph/op.h"

gs_op *gs_op_copy(const gs_op *op)
{
    gs_op *copy = malloc(sizeof *copy);
    *copy = *op;
    copy->next = NULL;
    if (op->type == OP_KERNEL && op->kernel.params) {
        copy->kernel.params = malloc(op->kernel.size + 1);
        memcpy(copy->kernel.params, op->kernel.params, op->kernel.size);
    }
    return copy;
}

void gs_op_clear(gs_op *op)
{
    if (op->type == OP_KERNEL)
        free(op->kernel.params);
}
