/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes.h"

#include <string.h>

#include "base/clock.h"
#include "driver/capture_state.h"
#include "schedule/decide/arbiter.h"
#include "schedule/process/poll_thread.h"
#include "schedule/process/timer_thread.h"
#include "schedule/timing/channel_group.h"
#include "schedule/timing/completions.h"
#include "schedule/timing/cost_model.h"

enum { PROCESSES = 8, EVENTS = 256 };

uint64_t fake_now, fake_napped, fake_work_ends;
void (*fake_on_clock)(void), (*fake_on_nap)(void), (*fake_on_query)(void);
struct gs_gpu_page fake_page;
void (*fake_on_open)(struct gs_share_slot *slot);
int fake_wakes, fake_hurries, fake_fences, fake_records;
uint32_t fake_timeslice_us;
CUresult fake_stream_state, fake_fence_result;
CUstreamCaptureStatus fake_capture;
CUcontext fake_context;

struct gs_cuda gs_cuda;
bool gs_cuda_ready = true, gs_gate_armed = true;

static struct gs_attachment attachments[PROCESSES];
static struct gs_attachment *here;
static uint64_t events[EVENTS]; /* when they are done */
static unsigned event_count;

uint64_t gs_now(void)
{
    uint64_t now = fake_now;
    if (fake_on_clock)
        fake_on_clock();
    return now;
}

/* The linker leads calls of one here, and names the other (--wrap). */
void __real_gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits);
void __wrap_gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits);

void __wrap_gs_share_slot_open(struct gs_share_slot *slot, uint32_t bits)
{
    if (fake_on_open)
        fake_on_open(slot);
    __real_gs_share_slot_open(slot, bits);
}

void gs_nap(uint64_t ns)
{
    fake_napped = ns;
    if (fake_on_nap)
        fake_on_nap();
    fake_now += ns;
}

void gs_timer_thread_wake(void)
{
    fake_wakes++;
}

void gs_timer_thread_hurry(void)
{
    fake_hurries++;
}

void gs_poll_thread_wake(void)
{
    fake_wakes++;
}

void gs_channel_groups_set_timeslice(int gpu, uint32_t us)
{
    (void)gpu;
    fake_timeslice_us = us;
}

uint32_t gs_channel_groups_timeslice(int gpu)
{
    (void)gpu;
    return fake_timeslice_us;
}

void gs_resolve_cuda(void)
{
}

struct gs_attachment *gs_attachment_here(void)
{
    return here;
}

struct gs_attachment *gs_attachment_of(int gpu)
{
    return gpu == 0 ? here : NULL;
}

void gs_attachments_context_ends(CUcontext context)
{
    (void)context;
}

static CUresult query(CUstream stream)
{
    (void)stream;
    CUresult result = fake_stream_state;
    if (fake_on_query)
        fake_on_query();
    return result;
}

static CUresult capturing(CUstream stream, CUstreamCaptureStatus *status)
{
    (void)stream;
    *status = fake_capture;
    return CUDA_SUCCESS;
}

static CUresult wait_value(CUstream stream, CUdeviceptr at, unsigned value, unsigned flags)
{
    (void)stream;
    CHECK(at && value == 0 && flags == CU_STREAM_WAIT_VALUE_EQ);
    fake_fences += fake_fence_result == CUDA_SUCCESS;
    return fake_fence_result;
}

static CUresult current(CUcontext *context)
{
    *context = fake_context;
    return CUDA_SUCCESS;
}

static CUresult create_stream(CUstream *stream, unsigned flags)
{
    (void)flags;
    *stream = STREAM(99);
    return CUDA_SUCCESS;
}

static CUresult create_event(CUevent *event, unsigned flags)
{
    (void)flags;
    CHECK(event_count < EVENTS);
    *event = (CUevent)&events[event_count++];
    return CUDA_SUCCESS;
}

static CUresult record(CUevent event, CUstream stream)
{
    (void)stream;
    fake_records++;
    *(uint64_t *)event = fake_work_ends;
    return CUDA_SUCCESS;
}

static CUresult query_event(CUevent event)
{
    return *(uint64_t *)event > fake_now ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

static CUresult synchronise(CUevent event)
{
    (void)event;
    return CUDA_SUCCESS;
}

static CUresult elapsed(float *ms, CUevent begin, CUevent end)
{
    *ms = (float)((double)(int64_t)(*(uint64_t *)end - *(uint64_t *)begin) / 1e6);
    return CUDA_SUCCESS;
}

static CUresult destroy_event(CUevent event)
{
    (void)event;
    return CUDA_SUCCESS;
}

static void set_driver(void)
{
    gs_cuda = (struct gs_cuda){
        .cuStreamQuery = query,
        .cuStreamIsCapturing = capturing,
        .cuStreamWaitValue32_v2 = wait_value,
        .cuStreamCreate = create_stream,
        .cuCtxGetCurrent = current,
        .cuEventCreate = create_event,
        .cuEventRecord = record,
        .cuEventQuery = query_event,
        .cuEventSynchronize = synchronise,
        .cuEventElapsedTime = elapsed,
        .cuEventDestroy_v2 = destroy_event,
    };
}

void fake_reset(void)
{
    fake_now = 10000 * MS;
    fake_work_ends = fake_napped = 0;
    fake_on_clock = fake_on_nap = fake_on_query = NULL;
    fake_on_open = NULL;
    fake_wakes = fake_hurries = fake_fences = fake_records = 0;
    fake_timeslice_us = 0;
    fake_stream_state = fake_fence_result = CUDA_SUCCESS;
    fake_capture = CU_STREAM_CAPTURE_STATUS_NONE;
    fake_context = (CUcontext)0x10;
    gs_captures = 0;
    here = NULL;
    event_count = 0;
    memset(&fake_page, 0, sizeof fake_page);
    memset(attachments, 0, sizeof attachments);
    set_driver();
}

struct gs_share_slot *fake_share(int slot, enum gs_rank rank)
{
    struct gs_share_slot *share = &fake_page.share_slot[slot];
    share->policy = (struct gs_share_policy){
        .share = "share", .rank = rank, .limit = GS_FULL, .quantum_us = 150, .minimum = 200};
    return share;
}

/* Of another pid namespace, so that nothing asks whether it lives. */
struct gs_attachment *fake_process(int number, int slot)
{
    struct gs_attachment *attachment = &attachments[number];
    struct gs_process_slot *process = &fake_page.process_slot[number];
    *process = (struct gs_process_slot){.pid = 1000 + number,
                                        .share_slot = (uint32_t)slot,
                                        .beat_ns = fake_now};
    if (fake_page.process_slots_high <= (uint32_t)number)
        fake_page.process_slots_high = (uint32_t)number + 1;
    *attachment = (struct gs_attachment){
        .page = &fake_page,
        .share = &fake_page.share_slot[slot],
        .process = process,
        .slot_number = number,
        .context = fake_context,
        .gate = 0x7000,
        .busy_period.lock = PTHREAD_MUTEX_INITIALIZER,
    };
    here = attachment;
    return attachment;
}

void fake_is_here(struct gs_attachment *attachment)
{
    here = attachment;
}
