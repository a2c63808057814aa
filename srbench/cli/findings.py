"""A finding of `srbench doctor`, and those about the GPU and about energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from srbench.measure.nvml import Inventory, Nvml, Unknown

MIB = 2**20


@dataclass(frozen=True)
class Finding:
    """What was found, what it means, and what to do about it (empty where nothing is to do)."""

    what: str
    found: str
    means: str = ""
    do: str = ""
    state: Literal["ok", "note", "bad"] = "ok"


def gpu() -> Iterator[Finding]:
    """What torch and the driver tell of GPUs. Starts CUDA on the first one."""
    import torch

    from srbench.measure.nvml import Unknown, inventory, open_nvml

    here = inventory()
    usable = torch.cuda.is_available()
    yield _devices(here, usable)
    if not usable:
        yield _nvml(here)
        yield _energy("cpu")
        return
    opened = open_nvml("cuda")  # before CUDA is used
    yield _nvml(opened if isinstance(opened, Unknown) else here)
    if not isinstance(opened, Unknown):
        with opened:
            yield from _on_the_device(opened)
    yield _energy("cuda")
    yield _energy("cpu")


def _devices(here: Inventory | Unknown, usable: bool) -> Finding:
    import torch

    from srbench.measure.nvml import Unknown

    if usable:
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        return Finding("gpu", ", ".join(names), "Runs use it unless --device cpu is given.")
    if isinstance(here, Unknown) or not here.names:
        return Finding("gpu", "none", "Runs stay on the CPU.")
    return Finding(
        "gpu",
        f"{', '.join(here.names)}, which torch cannot use",
        "Runs stay on the CPU.",
        "Install a torch that was built for CUDA and fits the driver."
        if not torch.version.cuda
        else f"Update the driver ({here.driver}) to one for CUDA {torch.version.cuda}.",
        "bad",
    )


def _nvml(here: Inventory | Unknown) -> Finding:
    import torch

    from srbench.measure.nvml import Unknown

    if not isinstance(here, Unknown):
        return Finding("nvml", f"driver {here.driver}", "It tells of GPU memory and energy.")
    if not torch.cuda.is_available():
        return Finding(
            "nvml", here.reason, "Without a GPU nothing is missing; with one, its driver."
        )
    means = "GPU memory of the process and energy will be unknown in records."
    return Finding("nvml", here.reason, means, "See that nvidia-smi works here.", "note")


def _on_the_device(nvml: Nvml) -> Iterator[Finding]:
    """The GPU that runs would use: is this process seen, who else is there, is it slowed down?"""
    try:
        yield _own_process(nvml)
    except RuntimeError as error:  # torch's own, such as a device that is full or taken
        why = str(error).partition("\n")[0]
        yield Finding("gpu start", why, "CUDA does not start on it.", "See nvidia-smi.", "bad")
        return
    yield _others(nvml)
    yield _clock(nvml)


def _own_process(nvml: Nvml) -> Finding:
    from srbench.measure.nvml import nvml_context

    part = "a MIG instance; " if nvml.is_mig else ""
    reading = nvml_context(nvml)
    if reading.value is None:
        return Finding(
            "gpu process",
            f"{part}{reading.reason}",
            "GPU memory of the process will be unknown in records.",
            "In a container: start it with the host's pids (--pid=host).",
            "note",
        )
    found = f"{part}{reading.value / MIB:.0f} MiB after one kernel ({reading.method})"
    if reading.caution is not None:
        means, do = reading.caution.what, reading.caution.advice
        return Finding("gpu process", found, means, do, "note")
    return Finding("gpu process", found, "That is CUDA's own; records tell it apart.")


def _others(nvml: Nvml) -> Finding:
    from srbench.measure.nvml import Unknown

    others = nvml.other_processes()
    if isinstance(others, Unknown):
        return Finding("gpu others", others.reason, "Others may be at work on the GPU unseen.")
    if not others:
        return Finding("gpu others", "none", "Nothing else uses the GPU.")
    return Finding(
        "gpu others",
        f"{len(others)} (pid {', '.join(str(process.pid) for process in others)})",
        "Times taken now may be too long, and memory may be short.",
        "Stop them before measuring.",
        "note",
    )


def _clock(nvml: Nvml) -> Finding:
    from srbench.measure.nvml import Unknown

    slowed = nvml.throttling()
    if isinstance(slowed, Unknown):
        return Finding("gpu clock", slowed.reason, "Whether it is slowed down is not known.")
    if not slowed:
        return Finding("gpu clock", "not held down now", "Under load it may be.")
    return Finding(
        "gpu clock",
        f"held down by {', '.join(slowed)}",
        "Times taken now are too long.",
        "Let it cool, or look at its power limit (nvidia-smi -q -d PERFORMANCE,POWER).",
        "note",
    )


def _energy(device: str) -> Finding:
    from srbench.measure.energy import unreadable

    what = "gpu energy" if device == "cuda" else "energy"
    why = unreadable(device)
    if why is None:
        return Finding(what, "its counter can be read", "Records tell the joules of a request.")
    root = "Let the files energy_uj under /sys/class/powercap be read." if "root" in why else ""
    return Finding(what, why, "Energy will be unknown in records.", root)
