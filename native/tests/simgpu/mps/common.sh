# SPDX-License-Identifier: Apache-2.0
# A machine, a control daemon on it and functions for tests. Source it with $1 = simgpu folder, $2 = the client program.
tools=$(cd "$1" && pwd) client=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
folder=$(mktemp -d)
PATH=$tools:$PATH
GPUSHARE_SIM_MACHINE=$folder/image
CUDA_MPS_PIPE_DIRECTORY=$folder/mps
CUDA_MPS_LOG_DIRECTORY=$folder/log
export PATH GPUSHARE_SIM_MACHINE CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
unset CUDA_VISIBLE_DEVICES CUDA_MPS_PROTOCOL_VERSION CUDA_MPS_ACTIVE_THREAD_PERCENTAGE

end() {
    code=$?
    exec 8>&- 9>&-
    rm -rf "$folder" # a daemon whose machine is gone ends by itself
    exit $code
}
trap end EXIT

ask() { echo "$*" | nvidia-cuda-mps-control; }

# same WANTED GOT
same() {
    [ "$1" = "$2" ] && return
    echo "wanted: $1" >&2
    echo "got:    $2" >&2
    exit 1
}

# until SECONDS COMMAND...: wait at most that long for a condition
until_true() {
    left=$(($1 * 50))
    shift
    while ! "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "never: $*" >&2; exit 1; }
        sleep 0.02
    done
}

# join NUMBER: a client whose standard input is file descriptor NUMBER and whose output is $folder/NUMBER.out
join() {
    mkfifo "$folder/$1"
    "$client" <"$folder/$1" >"$folder/$1.out" &
    eval "exec $1>\"$folder/$1\""
    until_true 10 test -s "$folder/$1.out"
}
