#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -eu
. tests/simgpu/mps/common.sh
printf 'driver=580.159.03\ngpus=2\n' | gpushare-sim-machine create "$GPUSHARE_SIM_MACHINE"

same 'Cannot find MPS control daemon process' "$(ask get_server_list 2>&1 || true)"
nvidia-cuda-mps-control -d
same 'An instance of this daemon is already running' "$(nvidia-cuda-mps-control -d 2>&1 || true)"
same "" "$(ask get_server_list)"
same 'Unknown command "help"' "$(ask help)"
same 'Unknown command "lspart"' "$(ask lspart)"
same 100.0 "$(ask get_default_active_thread_percentage)"
same 25.0 "$(ask set_default_active_thread_percentage 25)"
same 'Failed: invalid value "much"' "$(ask set_default_active_thread_percentage much)"
ask set_default_device_pinned_mem_limit 0 1536M
same 1G "$(ask get_default_device_pinned_mem_limit 0)"
same 3 "$(ask device_query --csv | wc -l)"

# the first client starts a server with the defaults; later defaults do not change it
join 8
server=$(ask get_server_list)
same ACTIVE "$(ask get_server_status "$server")"
same "result=0 server=$server threads=25 priority=0 pinned=1610612736 namespace=default" "$(cat "$folder/8.out")"
ask set_default_active_thread_percentage 90 >/dev/null
CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=10 join 9
same "result=0 server=$server threads=10 priority=0 pinned=1610612736 namespace=default" "$(cat "$folder/9.out")"
same 2 "$(ask get_client_list "$server" | wc -l)"
same 3 "$(ask ps | wc -l)"

# a fault reaches the server; new clients are refused until every client has left
echo fault >&8
status_is() { [ "$(ask get_server_status "$server")" = "$1" ]; }
until_true 10 status_is FAULT
same "result=807" "$("$client" </dev/null | cut -d' ' -f1)"
until_true 10 grep -q "fatal GPU exception" "$CUDA_MPS_LOG_DIRECTORY/server.log"
exec 8>&- 9>&-
until_true 10 status_is ACTIVE
same "" "$(ask get_client_list "$server")"
same "result=0" "$("$client" </dev/null | cut -d' ' -f1)"

# one client is terminated, and a killed one leaves the table
rm "$folder/8" "$folder/8.out"
join 8
pid=$(ask get_client_list "$server")
same 0 "$(ask terminate_client "$server" "$pid")"
same "" "$(ask get_client_list "$server")"
same "Failed to find client $pid" "$(ask terminate_client "$server" "$pid")"

exec 8>&-
rm "$folder/8" "$folder/8.out"
join 8
kill -9 "$(ask get_client_list "$server")"
no_client() { [ -z "$(ask get_client_list "$server")" ]; }
until_true 10 no_client

# a stuck daemon accepts commands and does not answer
gpushare-sim-machine fault "$GPUSHARE_SIM_MACHINE" mps_stuck=1
echo get_server_list | timeout 0.5 nvidia-cuda-mps-control && exit 1
gpushare-sim-machine fault "$GPUSHARE_SIM_MACHINE" clear
same "$server" "$(ask get_server_list)"

# quit waits for clients for the given time, then ends the server
ask quit -t 1
until_true 10 test ! -e "$CUDA_MPS_PIPE_DIRECTORY/control"
kill -0 "$server" 2>/dev/null && exit 1
nvidia-cuda-mps-control -d
ask quit
echo "mps v2: ok"
