/* SPDX-License-Identifier: Apache-2.0 */
#include "fork.h"

#include <pthread.h>

#include "capture.h"
#include "conductor.h"
#include "context.h"
#include "fixed.h"
#include "graph.h"
#include "group.h"
#include "halt.h"
#include "heap.h"
#include "ipc.h"
#include "ledger.h"
#include "keeper.h"
#include "limit.h"
#include "marks.h"
#include "meter.h"
#include "mover.h"
#include "pool.h"
#include "ride.h"
#include "vmm.h"

/* Another thread may have held any of their locks at the fork, so each starts from nothing. */
static void forget_everything(void)
{
    gs_limit_forget();
    gs_ledger_forget();
    gs_context_forget();
    gs_groups_forget();
    gs_pools_forget();
    gs_graph_forget();
    gs_vmm_forget();
    gs_captures_forget();
    gs_meter_forget();
    gs_marks_forget();
    gs_conductor_forget();
    gs_rides_forget();
    gs_keeper_forget();
    gs_heap_forget();
    gs_ipc_forget();
    gs_fixed_forget();
    gs_mover_forget();
    gs_halt_forget();
}

void gs_watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_everything);
}
