# SPDX-License-Identifier: Apache-2.0
"""The GPUs that the caller's environment chooses.

`CUDA_VISIBLE_DEVICES=1 gpushare run` means GPU 1, like `--gpu 1`: a program must not run on a GPU
that it would not have used without gpushare. What counts, the first that is set:

1. CUDA_VISIBLE_DEVICES. In a Slurm job whose devices are confined its numbers count the GPUs of the
   job, so SLURM_STEP_GPUS or SLURM_JOB_GPUS translates them.
2. SLURM_STEP_GPUS, SLURM_JOB_GPUS: numbers of the machine.
3. NVIDIA_VISIBLE_DEVICES of a container. The images of NVIDIA set it to `all`, and a daemon in the
   same container sees those GPUs only, so it counts if the daemon sees more GPUs than it names.

Numbers are those of `gpushare gpus`, the order of PCI addresses. Inside a share gpushare itself has
set CUDA_VISIBLE_DEVICES, so nothing is chosen there.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from gpushare.client.client import Client
from gpushare.model.errors import BadSpecError
from gpushare.model.ids import GpuId
from gpushare.model.value import Value
from gpushare.model.view import GpuView

CUDA, CONTAINER = "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"
_SLURM = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
_IN_SHARE = "GPUSHARE_SHARE"
_NOT_NAMES = {"", "all", "none", "void"}  # of NVIDIA_VISIBLE_DEVICES


class ChosenGpus(Value):
    """`text`: the variable with its value, for messages."""

    text: str
    gpus: tuple[GpuId, ...]


def ask_for(
    client: Client, environment: Mapping[str, str], asked: Iterable[str]
) -> tuple[str, ...]:
    """The GPUs to ask for: `asked`, or else those that the environment chooses.

    Raises BadSpecError where the two contradict each other or the environment names no GPU.
    """
    asked = tuple(asked)
    if not _applies(client, environment):
        return asked
    gpus = client.gpus()
    found = choice(environment, gpus)
    return chosen(found, asked, gpus) if found else asked


def require_chosen(client: Client, environment: Mapping[str, str], share: str) -> None:
    """Raises BadSpecError if the share is on a GPU that the environment does not choose."""
    if not _applies(client, environment):
        return
    gpus = client.gpus()
    if found := choice(environment, gpus):
        require(found, share, client.show(share).gpus, gpus)


def _applies(client: Client, environment: Mapping[str, str]) -> bool:
    """The environment says nothing about the GPUs of another machine."""
    return may_choose(environment) and isinstance(client.where, Path)


def may_choose(environment: Mapping[str, str]) -> bool:
    """Whether the environment has to be compared with the machine's GPUs."""
    named = any(name in environment for name in (CUDA, *_SLURM))
    container = environment.get(CONTAINER, "").strip().lower() not in _NOT_NAMES
    return _IN_SHARE not in environment and (named or container)


def choice(environment: Mapping[str, str], gpus: Sequence[GpuView]) -> ChosenGpus | None:
    """The GPUs that the environment chooses, in its order; raises BadSpecError for unknown ones."""
    if not may_choose(environment):
        return None
    job = next((name for name in _SLURM if environment.get(name)), None)
    if CUDA in environment:
        return _of_cuda(environment, environment[job] if job else "", gpus)
    name = job or CONTAINER
    text, names = _text(environment, name), _names(environment[name])
    if name == CONTAINER and len(names) >= len(_cards(gpus)):
        return None
    return ChosenGpus(text=text, gpus=tuple(_gpu(one, text, gpus) for one in names))


def chosen(choice: ChosenGpus, asked: Iterable[str], gpus: Sequence[GpuView]) -> tuple[str, ...]:
    """The GPUs to ask for: `asked`, by index or UUID, or else all of the choice.

    Raises BadSpecError if one of `asked` is not in the choice.
    """
    asked = tuple(asked)
    for name in asked:
        known = {gpu.uuid for gpu in gpus if name in {gpu.uuid, str(gpu.index)}}
        if known and not known & set(choice.gpus):
            raise BadSpecError(
                f"{choice.text} does not have GPU {name}",
                "the variable and --gpu choose different GPUs",
                f"leave one of them out: env -u {_variable(choice)} gpushare …",
            )
    return asked or choice.gpus


def require(
    choice: ChosenGpus, share: str, gpus: Sequence[GpuId], views: Sequence[GpuView]
) -> None:
    """Raises BadSpecError if the share has a GPU that the caller did not choose."""
    others = [view for view in views if view.uuid in gpus and view.uuid not in choice.gpus]
    if others:
        numbers = ", ".join(str(view.index) for view in others)
        raise BadSpecError(
            f"share {share} is on GPU {numbers}",
            f"{choice.text} does not have it",
            f"to use the share: env -u {_variable(choice)} gpushare …",
        )


def _of_cuda(environment: Mapping[str, str], job: str, gpus: Sequence[GpuView]) -> ChosenGpus:
    text, value = _text(environment, CUDA), environment[CUDA]
    # As for the driver, -1 ends the list.
    names = list(takewhile(lambda name: name != "-1", _names(value)))
    if not names:
        raise BadSpecError(
            f"{text} chooses no GPU",
            "the variable hides all GPUs",
            f"to leave the choice to gpushare: env -u {CUDA} gpushare …",
        )
    if job and all(_is_number(name) for name in names):
        names = _in_job(names, _names(job))
    elif _ordered_by_speed(environment, names, gpus):
        raise BadSpecError(
            f"{text} is ambiguous",
            "this machine has GPUs of several models, which CUDA numbers by speed",
            "export CUDA_DEVICE_ORDER=PCI_BUS_ID, or use --gpu",
        )
    return ChosenGpus(text=text, gpus=tuple(_gpu(name, text, gpus) for name in names))


def _in_job(names: list[str], job: list[str]) -> list[str]:
    """Numbers of the machine, from numbers of the machine or of the job's GPUs."""
    if set(names) <= set(job):
        return names
    return [job[int(name)] if int(name) < len(job) else name for name in names]


def _ordered_by_speed(
    environment: Mapping[str, str], names: list[str], gpus: Sequence[GpuView]
) -> bool:
    """CUDA's own order, FASTEST_FIRST, differs from that of NVML if the GPUs do."""
    models = {gpu.name for gpu in _cards(gpus)}
    by_speed = environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    return by_speed and len(models) > 1 and any(_is_number(name) for name in names)


def _gpu(name: str, text: str, gpus: Sequence[GpuView]) -> GpuId:
    """By number, by UUID, or by the beginning of a UUID."""
    if _is_number(name):
        found = [gpu.uuid for gpu in _cards(gpus) if gpu.index == int(name)]
    else:
        found = [gpu.uuid for gpu in gpus if len(name) > len("GPU-") and gpu.uuid.startswith(name)]
    if len(found) != 1:
        raise BadSpecError(
            f"{text} names no GPU of this machine",
            f"{name!r} is not the number or UUID of one",
            "see the GPUs: gpushare gpus",
        )
    return found[0]


def _cards(gpus: Sequence[GpuView]) -> list[GpuView]:
    """Without MIG instances, which have no number of their own."""
    return [gpu for gpu in gpus if not gpu.uuid.startswith("MIG-")]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 3


def _names(value: str) -> list[str]:
    return [name for part in value.split(",") if (name := part.strip())]


def _text(environment: Mapping[str, str], name: str) -> str:
    return f"{name}={environment[name]}"


def _variable(choice: ChosenGpus) -> str:
    return choice.text.partition("=")[0]
