/* SPDX-License-Identifier: Apache-2.0 */
#include "fork.h"

#include <pthread.h>

#include "context.h"
#include "graph.h"
#include "ledger.h"
#include "limit.h"
#include "pool.h"
#include "vmm.h"

/* Another thread may have held any of their locks at the fork, so each starts from nothing. */
static void forget_everything(void)
{
    gs_limit_forget();
    gs_ledger_forget();
    gs_context_forget();
    gs_pools_forget();
    gs_graph_forget();
    gs_vmm_forget();
}

void gs_watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_everything);
}
