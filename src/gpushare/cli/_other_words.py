# SPDX-License-Identifier: Apache-2.0
"""Words of docker, kubectl, systemctl, Slurm and nvidia-smi that are no commands here.

Each is answered with the command that does it, or does what comes nearest.
"""

from gpushare.model.errors import UsageError
from gpushare.model.value import Value


class Instead(Value):
    """Why there is no such command, and the command to use."""

    because: str
    use: str


_ENDS = Instead(
    because="a share ends when its program ends, or when it is released",
    use="gpushare rm --force SHARE",
)
_FIGURES = Instead(
    because="the use of memory and compute is part of the list of shares", use="gpushare ps --watch"
)
_STARTS = Instead(
    because="a program starts together with its share", use="gpushare run -m 8GiB -- COMMAND"
)
_CREATES = Instead(because="shares are created without a file", use="gpushare create -m 8GiB")
_LISTS = Instead(because="shares are listed with what they use", use="gpushare ps")
_GPUS = Instead(
    because="GPUs are listed with the mechanisms that they support", use="gpushare gpus"
)
_SHOWS = Instead(because="one command shows all of a share", use="gpushare show SHARE")
_PAUSES = Instead(
    because="a share that stands still also leaves the GPU", use="gpushare suspend SHARE"
)
_RETURNS = Instead(because="a suspended share returns to the GPU", use="gpushare resume SHARE")
_CHANGES = Instead(
    because="limits change while programs run", use="gpushare update SHARE -m 8GiB -c 50"
)
_ENTERS = Instead(because="another program can join a share", use="gpushare exec SHARE -- COMMAND")
_IMAGES = Instead(
    because="shares run programs of this machine, without images", use="gpushare run -- COMMAND"
)
_CLEANS = Instead(because="what ended shares left behind is listed first", use="gpushare clean")
_DAEMON = Instead(because="the daemon is a service or runs by itself", use="gpushare daemon --help")
_SERVES = Instead(because="a daemon serves the GPUs", use="gpushare daemon --detach")
_RECORDS = Instead(because="what happened is in the audit log", use="gpushare audit")
_LOGS_IN = Instead(because="access is by tokens and contexts", use="gpushare login --help")
_QUOTAS = Instead(because="limits of users are quotas of tenants", use="gpushare quota --help")
_NAMES = Instead(because="a share keeps its name", use="gpushare create --name NAME -m 8GiB")
_HELPS = Instead(because="help is an option", use="gpushare --help")
_SETTINGS = Instead(because="settings are files and variables", use="gpushare config show")
_MOVES = Instead(because="a share moves between GPUs", use="gpushare migrate SHARE --to GPU")
_SIMULATES = Instead(because="a machine can be simulated", use="gpushare simulate --list")
_CHECKS = Instead(
    because="each GPU is listed with what works and why the rest does not",
    use="gpushare gpus -o wide",
)

_ANSWERS = {
    _ENDS: "stop kill terminate end cancel scancel delete del destroy release free down quit",
    _FIGURES: "top stats stat usage monitor watch htop dmon pmon metrics util",
    _STARTS: "start launch submit srun sbatch spawn up begin",
    _CREATES: "new add alloc allocate salloc reserve claim",
    _LISTS: "status get jobs queue squeue sq shares containers pods procs processes who",
    _GPUS: "gpu nodes node devices device info sinfo nvidia-smi smi topo topology mig mps",
    _SHOWS: "describe details detail port diff",
    _PAUSES: "pause freeze hold checkpoint park swap",
    _RETURNS: "unpause continue unfreeze thaw",
    _CHANGES: "edit set scale resize limit limits patch scontrol priority renice",
    _ENTERS: "attach sh shell ssh bash join cp",
    _IMAGES: "images image pull push build tag volume volumes network compose container",
    _CLEANS: "prune gc cleanup rmi purge",
    _DAEMON: "restart reload enable disable service system server",
    _SERVES: "serve init install setup",
    _RECORDS: "events event history journal sacct",
    _LOGS_IN: "auth context contexts user users whoami",
    _QUOTAS: "quotas policy tenants sacctmgr",
    _NAMES: "rename label annotate",
    _HELPS: "help man",
    _SETTINGS: "settings configure options",
    _MOVES: "move mv reschedule",
    _SIMULATES: "sim simulation demo",
    _CHECKS: "doctor check diagnose health capabilities test",
}
WORDS = {word: answer for answer, words in _ANSWERS.items() for word in words.split()}


def other_word(name: str) -> UsageError | None:
    """What to say to a command of another tool; None for a word that is not known either."""
    answer = WORDS.get(name.lower())
    if answer is None:
        return None
    return UsageError(f"gpushare has no command {name!r}", answer.because, answer.use)
