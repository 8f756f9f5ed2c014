/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the description of a machine: its keys, read and written from one table.
 * Owner: tool.c (gpushare-sim-machine).
 * Threads: one.
 * Limits: an image is described once, before any process uses it.
 *
 * `gpushare-sim-machine create IMAGE < spec` reads lines `key=value` (# starts a comment):
 *   driver=580.159.03  driver version        cuda=13000    newest CUDA it supports
 *   nvml=13.580.159.03                       vbios=96.00.99.00.01
 *   kernel=6.8         host kernel (dmem)    gpus=2        physical GPUs
 * then, per GPU i (`gpu.*` sets it for all):
 *   gpu.i.uuid=GPU-8-4-4-4-12 (default: made from the index)
 *   gpu.i.name=NVIDIA H200    gpu.i.arch=hopper         gpu.i.cc=9.0     gpu.i.sms=132
 *   gpu.i.memory=150754820096 bytes                     gpu.i.reserved=  bytes of the driver
 *   gpu.i.context=            bytes of one context      gpu.i.bar1=      bytes
 *   gpu.i.pci=0000:19:00.0    gpu.i.pci_id=0x233510de   gpu.i.pci_subsystem=0x18be10de
 *   gpu.i.numa=0              gpu.i.serial=...          gpu.i.board=...  part number
 *   gpu.i.memory_bus=6144     bits                      gpu.i.l2=62914560 bytes
 *   gpu.i.shared=233472       bytes per SM              gpu.i.shared_optin=232448
 *   gpu.i.threads_per_sm=2048                           gpu.i.regs_per_sm=65536
 *   gpu.i.link=55000000000    host link, bytes/s
 *   gpu.i.bandwidth=4800000000000                       device memory, bytes/s
 *   gpu.i.pcie_gen=5          gpu.i.pcie_width=16       gpu.i.nvlinks=18
 *   gpu.i.clock_sm=1980       gpu.i.clock_mem=3201      MHz, maximum
 *   gpu.i.power_limit=700000  mW                        gpu.i.temp=38    degrees C
 *   gpu.i.fan=-1              percent, -1 passive       gpu.i.persistence=1
 *   gpu.i.compute_mode=default|prohibited|exclusive     gpu.i.ecc=1
 *   gpu.i.mig_capable=1       gpu.i.mig=1 MIG mode      gpu.i.sm_chunk=8 SMs of a static partition
 *   gpu.i.vgpu=none|host|guest
 *   gpu.i.slice=2048          µs of a time slice        gpu.i.change=165 µs of a change of contexts
 *   mig.j.gpu=0 mig.j.uuid=MIG-... mig.j.profile=1g.18gb mig.j.memory=... mig.j.sms=16
 *   mig.j.gi=7 mig.j.ci=0 mig.j.start=0 mig.j.size=1 (memory slices)
 *   vgpu.k.id=1149 vgpu.k.name=NVIDIA L4-8Q vgpu.k.class=Quadro vgpu.k.memory=...
 *   vgpu.k.instances=3
 *
 * `gpushare-sim-machine show IMAGE` prints the same keys and the processes.
 * `gpushare-sim-machine fault IMAGE gpu=0 [pid=N] xid=31 | lost=1 | ecc=1 | throttle=0x8 | clear`
 * and `... fault IMAGE driver_mismatch=1 | mps_stuck=1` (MPS daemons do not answer); `clear` without
 * gpu clears every fault.
 */
#ifndef GS_SIM_MACHINE_H
#define GS_SIM_MACHINE_H

#include <stdio.h>

#include "machine/image.h"

/*
 * Reads `key=value` lines into an empty image. On an error prints it on stderr and returns false.
 */
bool gs_machine_read(gs_image *image, FILE *spec);
void gs_machine_show(gs_image *image, FILE *out);

#endif
