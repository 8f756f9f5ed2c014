/* SPDX-License-Identifier: Apache-2.0 */
#include "fork.h"

#include <pthread.h>

#include "charge/charge.h"
#include "charge/ledger.h"
#include "charge/unmovable.h"
#include "driver/capture_state.h"
#include "driver/dlopen.h"
#include "driver/quiesce.h"
#include "driver/real.h"
#include "hooks/memory/graph_memory.h"
#include "hooks/memory/ipc.h"
#include "hooks/memory/pool.h"
#include "hooks/memory/vmm.h"
#include "hooks/setup/context.h"
#include "hooks/setup/visible_devices.h"
#include "hooks/execution/graph.h"
#include "schedule/decide/arbiter.h"
#include "schedule/process/attachment.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/channel_group.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/cost_model.h"
#include "share/attach.h"
#include "swap/blocks/heap.h"
#include "swap/blocks/ipc_export.h"
#include "swap/suspend/suspend_thread.h"

/* Another thread may have held any of the locks at the fork, so nothing is freed or unlocked. */
static void forget_everything(void)
{
    gs_resolve_forget();
    gs_dlopen_forget();
    gs_charge_forget();
    gs_attach_forget();
    gs_ledger_forget();
    gs_context_forget();
    gs_visible_devices_forget();
    gs_channel_groups_forget();
    gs_pools_forget();
    gs_graph_memory_forget();
    gs_graph_forget();
    gs_vmm_forget();
    gs_captures_forget();
    gs_cost_model_forget();
    gs_completions_forget();
    gs_arbiter_forget();
    gs_attachments_forget();
    gs_timer_thread_forget();
    gs_poll_thread_forget();
    gs_heap_forget();
    gs_ipc_forget();
    gs_ipc_exports_forget();
    gs_unmovable_forget();
    gs_suspend_thread_forget();
    gs_quiesce_forget();
}

void gs_watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_everything);
}
