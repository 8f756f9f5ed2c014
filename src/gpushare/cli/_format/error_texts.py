# SPDX-License-Identifier: Apache-2.0
"""Why each error happens and what helps; `explain` and the reference are made from it."""

from gpushare.model.errors import GpushareError, catalogue
from gpushare.model.value import Value


class Explanation(Value):
    """`meaning` is the error class's own sentence."""

    code: str
    name: str
    meaning: str
    why: str
    help: str
    exit_code: int
    status: int
    retryable: bool


def explanations() -> tuple[Explanation, ...]:
    """One for every code, in their order."""
    return tuple(_explanation(kind) for kind in catalogue().values())


def _explanation(kind: type[GpushareError]) -> Explanation:
    why, help_ = EXPLANATIONS[kind.code]
    return Explanation(
        code=kind.code,
        name=kind.__name__,
        meaning=(kind.__doc__ or "").splitlines()[0],
        why=why,
        help=help_,
        exit_code=kind.exit_code,
        status=kind.status,
        retryable=kind.retryable,
    )


EXPLANATIONS = {
    "GS1000": (
        "Something went wrong that no other code describes; most likely a defect of gpushare.",
        "Run the command again with GPUSHARE_DEBUG=1 and report the trace.",
    ),
    "GS1100": (
        "A command, option or value does not exist, or something that must be named is missing.",
        "See the command's --help.",
    ),
    "GS1101": (
        "Memory, percentages and times are written as 8GiB, 20 or 20%, and 90s, 30m, 8h, 2d.",
        "Write the quantity in one of these forms. Compute is a whole percent from 1 to 100.",
    ),
    "GS1102": (
        "Two parts of the request cannot both hold, such as a request above its limit.",
        "Change one of the two. `gpushare run --dry-run --explain` shows what would happen.",
    ),
    "GS1103": (
        "A configuration file cannot be read, or has an unknown key or a value of a wrong kind.",
        "`gpushare config validate` names the file and the key, `gpushare config path` the files.",
    ),
    "GS1104": (
        "Simulated machines are made from profiles, and none has this name.",
        "`gpushare simulate --list` shows them.",
    ),
    "GS1105": (
        "A policy names a parent that is not there, goes in a circle, or promises too much.",
        "`gpushare apply -f FILE --check` says what is wrong; nothing changes until all is right.",
    ),
    "GS1200": (
        "The name is misspelt, or the thing has ended long ago.",
        "`gpushare ps -a` and `gpushare gpus` list what there is.",
    ),
    "GS1201": (
        "No share has this name, id or beginning of an id. Ended shares are kept for a while.",
        "`gpushare ps -a` lists them, ended ones too.",
    ),
    "GS1202": (
        "A GPU is named by its index or by its UUID, and this machine has no such GPU.",
        "`gpushare gpus -o wide` lists both.",
    ),
    "GS1203": (
        (
            "Only programs that were started in the background have a log; others write to their "
            "terminal."
        ),
        "Start it with `gpushare run --detach`.",
    ),
    "GS1204": (
        "Tenants are what the policy lists, and each user by name.",
        "`gpushare tenant ls` lists them.",
    ),
    "GS1205": (
        "A token was revoked, has expired and was forgotten, or never was.",
        "`gpushare token ls` lists what is there.",
    ),
    "GS1300": (
        "A file, folder or process belongs to somebody else.",
        "Ask its owner, or name another place: --socket, --state-dir, --runtime-dir.",
    ),
    "GS1301": (
        "Everybody sees that a share exists; only its owner and the operator may touch it.",
        "Ask the owner, whom `gpushare ps` names.",
    ),
    "GS1302": (
        "The socket's permissions do not let this user in.",
        (
            "Ask to join the group `gpushare`, or start a daemon of your own: "
            "`gpushare daemon --detach`."
        ),
    ),
    "GS1303": (
        "A quota limits memory, compute, shares or GPU hours of the tenant or of one above it.",
        "`gpushare quota ls` shows what is used and allowed. Release something, or ask an admin.",
    ),
    "GS1304": (
        "A remote caller must bring a token that is known and has not expired.",
        "Make one on the machine: `gpushare token create`; clients read it from GPUSHARE_TOKEN.",
    ),
    "GS1305": (
        "Viewers look, users have shares, operators act on all, admins set quotas and tokens.",
        "Ask an admin for a token with another role, or act on the machine itself as root.",
    ),
    "GS1306": (
        "Each caller may ask so many times a second; then it has to wait a moment.",
        "Wait a second and try again; follow events instead of asking again and again.",
    ),
    "GS1400": (
        "The daemon could not start or stopped answering.",
        "Read its log; `gpushare daemon` in the foreground shows it at once.",
    ),
    "GS1401": (
        "No daemon runs, or it listens on another socket. Shares that exist keep running.",
        (
            "`gpushare daemon --detach` starts one; `gpushare config show --origin` says which "
            "socket is asked."
        ),
    ),
    "GS1402": (
        "Two daemons on the same books would promise the same memory twice.",
        (
            "Use the one that runs (`gpushare daemon status`), or give the second one its own "
            "--state-dir, --runtime-dir and --socket."
        ),
    ),
    "GS1403": (
        "Client and daemon are of different versions, or something else listens on the socket.",
        "Compare them with `gpushare version` and restart the daemon.",
    ),
    "GS1500": (
        "The driver refused an operation or does not answer as documented.",
        "Look into the kernel's log (`dmesg`) for NVRM and Xid lines.",
    ),
    "GS1501": (
        "libnvidia-ml.so.1 is missing, or the kernel module is not loaded.",
        "Install the NVIDIA driver, or try without one: `gpushare simulate h200-1 -- bash`.",
    ),
    "GS1502": (
        "The driver's packages were upgraded while the old kernel module stayed loaded.",
        "Reload the module or reboot.",
    ),
    "GS1503": (
        "The GPU does not answer on its bus any more (Xid 79) or needs a reset.",
        "End what runs on it and reset it (`nvidia-smi --gpu-reset`), or reboot.",
    ),
    "GS1504": (
        "The MPS control daemon could not start, or refused a command.",
        (
            "The reason is in its log below the runtime directory. `--mechanism timeslice` does "
            "without MPS."
        ),
    ),
    "GS1505": (
        "The MPS control daemon runs but does not answer; a client may hang in the driver.",
        "It is tried again by itself. If it stays, end the programs on that GPU.",
    ),
    "GS1506": (
        "A native part of gpushare is not installed, or was not built.",
        "From a clone: `make native`. Otherwise install the wheel again.",
    ),
    "GS1507": (
        "The file that a share's processes count in is damaged or of another version.",
        "Release the share with `gpushare rm --force` and take a new one.",
    ),
    "GS1508": (
        "The probe got past a limit that the mechanisms promise to hold on this machine.",
        (
            "`gpushare verify SHARE` shows which. Ask for another --mechanism, or accept it with "
            "--allow-unverified."
        ),
    ),
    "GS1509": (
        "The daemon may not make control groups here, or they are not mounted.",
        "Run it under systemd with Delegate=yes, as the shipped units do.",
    ),
    "GS1510": (
        "The driver works, but it lists no GPU.",
        "Check `nvidia-smi -L` and, in a container, that a GPU was passed in.",
    ),
    "GS1511": (
        "The mechanism, or what was asked of it, needs hardware or a driver that is not here.",
        (
            "`gpushare gpus -o yaml` says what works and why the rest does not; --mechanism auto "
            "chooses."
        ),
    ),
    "GS1512": (
        "Something overwrote the file in which the shares of a GPU agree who may launch work.",
        "It is made anew with the next share; programs that run keep the old one until they end.",
    ),
    "GS1513": (
        "The driver refused to copy, map or release memory while a share was moved.",
        "The share is put back where it was; `gpushare show SHARE` tells its state.",
    ),
    "GS1600": (
        "The daemon's books could not be read or written.",
        "The cause is in the message; the file is left as it is.",
    ),
    "GS1601": (
        "The disk lost data, or something else wrote into state.db.",
        "End the programs in shares, move state.db away, and start the daemon again.",
    ),
    "GS1602": (
        "Nothing new is granted because it could not be written down. Nothing is lost.",
        "Free some space; the daemon goes on by itself.",
    ),
    "GS1603": (
        "A newer gpushare has changed the books in a way that this one does not know.",
        "Start the newer version again, or give this one its own --state-dir.",
    ),
    "GS1604": (
        "A record of the audit log was changed or taken out, or its end is missing.",
        "`gpushare audit verify` names the first wrong record. Compare with the system's journal.",
    ),
    "GS1701": (
        (
            "Not even an empty machine has room: too much memory, too many GPUs, or no mechanism "
            "that isolates as strongly as asked."
        ),
        "`gpushare gpus` shows the sizes; ask for less, or for a weaker --isolation.",
    ),
    "GS1702": (
        "The share fits this machine, but others hold what it needs.",
        "Leave out --no-wait to queue, or see who holds what: `gpushare ps`.",
    ),
    "GS1703": (
        "The share is queued, in use, or has ended, and that does not allow the request.",
        "`gpushare show SHARE` tells its state; `gpushare rm --force` ends the programs in it.",
    ),
    "GS1704": (
        (
            "The programs use memory that cannot move (managed, shared with another process, from "
            "pools, …), or nothing on this machine can move it."
        ),
        "`gpushare show SHARE` says why, before you rely on it.",
    ),
    "GS1705": (
        "A suspended share's memory waits in host memory, and the pool for it is full.",
        "Set `swap_memory` higher, or end or resume shares that are suspended. Nothing is lost.",
    ),
    "GS1706": (
        "Only the driver moves programs between GPUs: of one model, and not under MPS.",
        "`gpushare show` tells what is in the way. Suspend the share, or start it anew elsewhere.",
    ),
    "GS1801": (
        "What was waited for did not happen within --timeout.",
        "Wait longer, or see what it waits for: `gpushare ps`.",
    ),
    "GS1802": (
        "A check ran to its end and what it looked for does not hold.",
        "The output says which part.",
    ),
    "GS1803": (
        "The program did not let go of the GPU in time, or nothing made room for its return.",
        "It runs on, as before. Try again, or see what the GPU is doing: `gpushare ps`.",
    ),
    "GS1901": (
        "The program is not on PATH, or the path is wrong. No share was taken.",
        "Check the name; after `--` comes the program and its arguments.",
    ),
    "GS1902": (
        "The file exists, but you may not execute it. No share was taken.",
        "`chmod +x FILE`, or name its interpreter: `gpushare run -- python FILE`.",
    ),
}
