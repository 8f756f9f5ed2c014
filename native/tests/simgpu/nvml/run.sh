#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh TEST SIM_MACHINE: the test without a machine, on one with MIG, and on one with driver 615.
set -eu
test=$1 tool=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

make_machine() {
    rm -f "$folder/image"
    "$tool" create "$folder/image" <<SPEC
driver=$1
gpus=2
gpu.*.mig_capable=1
gpu.0.mig=1
gpu.1.numa=1
gpu.0.numa=0
gpu.1.vgpu=host
mig.0.gpu=0
mig.0.uuid=MIG-51600000-0000-5000-8000-000000000001
mig.0.profile=1g.10gb
mig.0.memory=10737418240
mig.0.sms=14
mig.0.gi=1
mig.0.ci=0
vgpu.0.id=1149
vgpu.0.name=NVIDIA L4-8Q
vgpu.0.class=Quadro
vgpu.0.memory=8589934592
vgpu.0.instances=3
SPEC
}

"$test" no-driver
make_machine 580.159.03
GPUSHARE_SIM_MACHINE=$folder/image "$test" machine "$tool" 580
"$tool" fault "$folder/image" driver_mismatch=1
GPUSHARE_SIM_MACHINE=$folder/image "$test" mismatch
make_machine 615.71.09
GPUSHARE_SIM_MACHINE=$folder/image "$test" machine "$tool" 615
