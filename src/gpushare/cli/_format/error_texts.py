# SPDX-License-Identifier: Apache-2.0
"""The cause and remedy of each error code.

`gpushare explain` and docs/reference/errors.md are made from it.
"""

from gpushare.model.errors import GpushareError, catalogue
from gpushare.model.value import Value


class Explanation(Value):
    """An error code as `gpushare explain` shows it. `meaning`: docstring of the error class."""

    code: str
    name: str
    meaning: str
    why: str
    help: str
    exit_code: int
    status: int
    retryable: bool


def explanations() -> tuple[Explanation, ...]:
    """An explanation for each code, in order."""
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
        "An error without a code of its own occurred; most likely a defect in gpushare.",
        "Run the command again with GPUSHARE_DEBUG=1 and report the traceback.",
    ),
    "GS1100": (
        "A command, option or value does not exist, or a required one is missing.",
        "See the command's --help.",
    ),
    "GS1101": (
        "Memory is written as 8GiB, percentages as 20 or 20%, times as 90s, 30m, 8h or 2d.",
        "Write the quantity in one of these forms. Compute is a whole percent from 1 to 100.",
    ),
    "GS1102": (
        "Two parts of the request contradict each other, such as a request above its limit.",
        "Change one of them. `gpushare run --dry-run --explain` shows what would happen.",
    ),
    "GS1103": (
        "A configuration file cannot be read, or contains an unknown key or an invalid value.",
        "`gpushare config validate` names the file and the key, `gpushare config path` the files.",
    ),
    "GS1104": (
        "Simulated machines are made from profiles, and no profile has this name.",
        "`gpushare simulate --list` lists the profiles.",
    ),
    "GS1105": (
        "A policy has an unknown parent, a circle of parents, or guarantees that exceed a limit.",
        (
            "`gpushare apply -f FILE --check` names the error. Until the file is valid, "
            "nothing changes."
        ),
    ),
    "GS1106": (
        "The file is not a trace, was written by another version, or a part of it is missing.",
        "`gpushare simulate --record FILE` records a trace, `--replay FILE` reads it.",
    ),
    "GS1200": (
        "The name is misspelled, or the object no longer exists.",
        "`gpushare ps -a` lists shares, `gpushare gpus` GPUs.",
    ),
    "GS1201": (
        (
            "You have no share of this name, and no id begins so. Names belong to their user: "
            "others' shares are found by id or as USER/NAME."
        ),
        "`gpushare ps -a` lists shares, including ended ones that are still kept.",
    ),
    "GS1202": (
        "A GPU is given by index or UUID, and this machine has no such GPU.",
        "`gpushare gpus -o wide` lists both.",
    ),
    "GS1203": (
        "Only programs in the background have a log; other programs write to their terminal.",
        "Start the program with `gpushare run --detach`.",
    ),
    "GS1204": (
        "Tenants are those in the policy, and each user by name.",
        "`gpushare tenant ls` lists tenants.",
    ),
    "GS1205": (
        "The token was revoked, has expired, or never existed.",
        "`gpushare token ls` lists tokens.",
    ),
    "GS1300": (
        "A file, directory or process belongs to another user.",
        "Ask its owner, or use another place: --socket, --state-dir, --runtime-dir.",
    ),
    "GS1301": (
        "Only the owner of a share and operators can change it.",
        "Ask the owner, whose name `gpushare ps` shows.",
    ),
    "GS1302": (
        "The permissions of the socket exclude this user.",
        "Ask to join the group `gpushare`, or start your own daemon: `gpushare daemon --detach`.",
    ),
    "GS1303": (
        (
            "The quota of the tenant, or of one of its parents, limits memory, compute, "
            "shares or GPU hours."
        ),
        "`gpushare quota ls` shows quotas and use. Release shares, or ask an admin.",
    ),
    "GS1304": (
        "A remote caller needs a valid token that has not expired.",
        "Create one on the machine: `gpushare token create`. Clients read it from GPUSHARE_TOKEN.",
    ),
    "GS1305": (
        (
            "Viewers read, users create shares, operators act on all shares, admins set "
            "quotas and tokens."
        ),
        "Ask an admin for a token with another role, or act as root on the machine itself.",
    ),
    "GS1306": (
        "The number of requests per second is limited for each caller.",
        "Wait a second and try again. To follow changes, use events instead of polling.",
    ),
    "GS1400": (
        "The daemon could not start, or stopped answering.",
        "Read its log. `gpushare daemon` in the foreground shows it directly.",
    ),
    "GS1401": (
        "No daemon runs, or it listens on another socket. Existing shares continue.",
        (
            "`gpushare run` and `gpushare create` start one; or start it with `gpushare daemon "
            "--detach`. If one runs already, the error of that command names its socket. "
            "`gpushare config show --origin` shows which socket the command uses."
        ),
    ),
    "GS1402": (
        "Two daemons with the same state would grant the same memory twice.",
        (
            "Use the running one, whose socket the message names, or give the second its own "
            "--state-dir, --runtime-dir and --socket."
        ),
    ),
    "GS1403": (
        "Client and daemon have different versions, or another program listens on the socket.",
        "Compare them with `gpushare version`, and restart the daemon.",
    ),
    "GS1404": (
        (
            "The daemon was started by a command, for one user. A daemon that serves the whole "
            "machine runs now, so this one grants nothing new and ends with its last share."
        ),
        (
            "Ask the machine's daemon: `gpushare run` does so by itself, other commands with "
            "`--socket /run/gpushare/gpushare.sock`."
        ),
    ),
    "GS1500": (
        "The driver refused an operation, or does not answer as documented.",
        "Look for NVRM and Xid lines in the Linux kernel's log (`dmesg`).",
    ),
    "GS1501": (
        "libnvidia-ml.so.1 is missing, or the kernel module is not loaded.",
        (
            "Install the NVIDIA driver, or use a simulated machine: `gpushare simulate "
            "h200-1 -- bash`."
        ),
    ),
    "GS1502": (
        "The driver was upgraded while the old kernel module stayed loaded.",
        "Reload the module or reboot.",
    ),
    "GS1503": (
        "The GPU does not answer on its bus (Xid 79), or needs a reset.",
        "End the programs on it and reset it (`nvidia-smi --gpu-reset`), or reboot.",
    ),
    "GS1504": (
        "The MPS control daemon could not start, or refused a command.",
        (
            "Its log below the runtime directory has the reason. `--mechanism timeslice` "
            "works without MPS."
        ),
    ),
    "GS1505": (
        "The MPS control daemon runs but does not answer; a client may hang in the driver.",
        "gpushare retries. If the error remains, end the programs on that GPU.",
    ),
    "GS1506": (
        "A native part of gpushare is not installed or not built.",
        "In a clone, run `make native`. Otherwise install the wheel again.",
    ),
    "GS1507": (
        (
            "The region, the file in which a share's processes count memory, is damaged or "
            "has another version."
        ),
        "Release the share with `gpushare rm --force` and create a new one.",
    ),
    "GS1508": (
        "The probe exceeded a limit that the mechanisms promise to enforce on this machine.",
        (
            "`gpushare verify SHARE` shows which. Choose another --mechanism, or accept it "
            "with --allow-unverified."
        ),
    ),
    "GS1509": (
        "The daemon has no permission to create control groups, or they are not mounted.",
        "Run it under systemd with Delegate=yes, as the shipped units do.",
    ),
    "GS1510": (
        "The driver works, but lists no GPU.",
        "Check `nvidia-smi -L` and, in a container, that it has access to a GPU.",
    ),
    "GS1511": (
        (
            "The mechanism, or a feature of it, needs hardware or a driver that this "
            "machine does not have."
        ),
        (
            "`gpushare gpus -o yaml` shows what works and why the rest does not. "
            "`--mechanism auto` chooses one that works."
        ),
    ),
    "GS1512": (
        (
            "The GPU page, the file with which the shares of a GPU coordinate their "
            "launches, is damaged."
        ),
        "The next share creates a new one. Running programs keep the old one until they end.",
    ),
    "GS1513": (
        "The driver refused to copy, map or release memory while a share was moved.",
        "The share is restored to its previous place. `gpushare show SHARE` shows its state.",
    ),
    "GS1600": (
        "The daemon's state could not be read or written.",
        "The message contains the cause. The file is left unchanged.",
    ),
    "GS1601": (
        "The disk lost data, or another program wrote to state.db.",
        "End the programs in shares, move state.db away, and start the daemon again.",
    ),
    "GS1602": (
        "The disk is full, so new grants cannot be recorded and are refused. No data is lost.",
        "Free disk space; the daemon then continues without a restart.",
    ),
    "GS1603": (
        "A newer version of gpushare changed the format of the state.",
        "Run the newer version, or give this one its own --state-dir.",
    ),
    "GS1604": (
        "A record of the audit log was changed or removed, or its end is missing.",
        "`gpushare audit verify` names the first wrong record. Compare with the system's journal.",
    ),
    "GS1605": (
        (
            "The write-ahead log of state.db was deleted, or an older copy was put back. Shares, "
            "limits and tokens may be missing, and memory could be granted twice."
        ),
        (
            "Put the files back. `gpushare daemon --accept-loss` starts with what is left; then "
            "`gpushare clean` lists what belonged to shares that are gone."
        ),
    ),
    "GS1606": (
        (
            "The file is no backup of gpushare, was cut off or changed, or a newer version wrote "
            "it. Nothing was changed."
        ),
        "Use another backup. `unzip -p FILE manifest.json` shows where and when one was made.",
    ),
    "GS1607": (
        (
            "The backup is of another machine, or programs run in shares that it does not know, "
            "whose memory could then be granted twice. Nothing was changed."
        ),
        "End those programs, or use the option that the message names.",
    ),
    "GS1701": (
        (
            "Even an empty machine has no room: too much memory, too many GPUs, or no "
            "mechanism with the requested isolation."
        ),
        "`gpushare gpus` shows the sizes. Request less, or a weaker --isolation.",
    ),
    "GS1702": (
        "The share fits this machine, but other shares hold the room.",
        "Omit --no-wait to queue. `gpushare ps` shows who holds the GPUs.",
    ),
    "GS1703": (
        "The state of the share (queued, in use, ended) does not allow the request.",
        "`gpushare show SHARE` shows its state. `gpushare rm --force` ends the programs in it.",
    ),
    "GS1704": (
        (
            "The programs use memory that cannot move (managed, shared with another "
            "process, from pools, …), or no mechanism on this machine can move it."
        ),
        "`gpushare show SHARE` shows the reason in advance.",
    ),
    "GS1705": (
        "The host memory for suspended shares is full.",
        "Increase `swap_memory`, or end or resume suspended shares. No data is lost.",
    ),
    "GS1706": (
        "Only the driver can move programs between GPUs, of the same model and not under MPS.",
        (
            "`gpushare show SHARE` shows the reason. Suspend the share, or start it again "
            "on another GPU."
        ),
    ),
    "GS1801": (
        "The condition was not reached within --timeout.",
        "Wait longer, or see what the share waits for: `gpushare ps`.",
    ),
    "GS1802": (
        "A check completed, and its condition is not met.",
        "The output shows which part failed.",
    ),
    "GS1803": (
        "The program did not release the GPU in time, or no room became free for its return.",
        "The program continues as before. Try again, or see the GPU's use: `gpushare ps`.",
    ),
    "GS1804": (
        "The probe ran, or should have run, but no limit of the share could be tried.",
        "The reason is in the message: often the share or its GPU is full. Try again later.",
    ),
    "GS1901": (
        "The program is not on PATH, or the path is wrong. No share was created.",
        "Check the name. The program and its arguments come after `--`.",
    ),
    "GS1902": (
        "The file exists, but you have no permission to execute it. No share was created.",
        "`chmod +x FILE`, or name its interpreter: `gpushare run -- python FILE`.",
    ),
    "GS1903": (
        "The disk or device that the output goes to refuses it.",
        "Free disk space, or write the output to another place.",
    ),
}
