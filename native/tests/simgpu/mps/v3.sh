#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -eu
. tests/simgpu/mps/common.sh
printf 'driver=580.159.03\ngpus=1\n' | gpushare-sim-machine create "$GPUSHARE_SIM_MACHINE"
same 'Unsupported protocol version 3' "$(nvidia-cuda-mps-control -d -p 3 2>&1 || true)"
rm "$GPUSHARE_SIM_MACHINE"
printf 'driver=615.71.09\ncuda=13040\ngpus=1\n' | gpushare-sim-machine create "$GPUSHARE_SIM_MACHINE"
control=nvidia-cuda-mps-control

printf 'schema_version = "1.0"\n[servers.one]\nmemroy = "1G"\n' >"$folder/bad.toml"
$control -d -p 3 -a "$folder/bad.toml" 2>/dev/null && exit 1
cat >"$folder/good.toml" <<'TOML'
schema_version = "1.0"
[servers.training]
pinned_memory_limit = "10G"      # of every device
active_thread_percentage = "50"
[servers.training.namespaces.small]
pinned_memory_limit = "1G"
active_thread_percentage = "25"
[servers.training.namespaces.free]
TOML
$control -d -p 3 -a "$folder/good.toml"
column() { $control server list --format=csv,noheader | cut -d, -f"$1"; }
active() { [ "$(column 4)" = ACTIVE ]; }
until_true 10 active
server=$(column 2)
same training "$(column 1)"

# the namespace's percentage overrides the client's; the server's limits apply only to its default namespace
at() { CUDA_MPS_PIPE_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY/$1 "$client" </dev/null; }
export CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=80
same "result=0 server=$server threads=25 priority=0 pinned=1073741824 namespace=small" "$(at training/small)"
same "result=0 server=$server threads=50 priority=0 pinned=10737418240 namespace=default" "$(at training)"
same "result=0 server=$server threads=80 priority=0 pinned=18446744073709551615 namespace=free" "$(at training/free)"

# a server for a device that does not exist ends immediately: its clients run without MPS
$control server create ghost --allowed-devices=GPU-none
gone() { [ ! -e "$CUDA_MPS_PIPE_DIRECTORY/ghost/control" ]; }
until_true 10 gone
same "no daemon" "$(at ghost)"

# unknown names, modules and verbs are refused with an exit code
for nonsense in 'server create BAD' 'server dance' 'cats list' 'client terminate 1' 'namespace create a'; do
    $control $nonsense 2>/dev/null && exit 1
done
$control server set --name=training --active-thread-percentage=30
same "threads=30" "$(at training | cut -d' ' -f3)"
join 8
pid=$($control client list --all --format=csv,noheader | cut -d, -f1)
$control client terminate "$pid"
same "" "$($control client list --all --format=csv,noheader)"
exec 8>&-
$control -q
[ ! -e "$CUDA_MPS_PIPE_DIRECTORY/control" ]
echo "mps v3: ok"
