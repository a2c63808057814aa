"""What of the machine makes its times doubtful just now."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from srbench.measure.nvml import Unknown, open_nvml
from srbench.record.environment import usable_cores
from srbench.record.schema import Caution

BUSY = 0.5  # of the cores; the load is that of the last minute


def conditions(device: torch.device) -> list[Caution]:
    """Other programs at work, on the processor or on the GPU. Look before measuring."""
    return [*_processor(), *(_others(device) if device.type == "cuda" else ())]


def slowed(device: torch.device) -> list[Caution]:
    """A GPU that has slowed itself down. Look right after measuring, while it is warm."""
    if device.type != "cuda":
        return []
    nvml = open_nvml(device)
    if isinstance(nvml, Unknown):
        return []  # `conditions` has told it
    with nvml:
        reasons = nvml.throttling()
    if isinstance(reasons, Unknown) or not reasons:
        return []
    told = f"The GPU slows itself down: {', '.join(reasons)}."
    return [Caution(what=told, advice="Let it cool, or raise its power limit, and measure again.")]


def _processor() -> Iterator[Caution]:
    load, cores = os.getloadavg()[0], usable_cores()
    if load > BUSY * cores:
        yield Caution(
            what=f"{load:.1f} processes were at work on {cores} cores before the measurement.",
            advice="Stop other programs and measure again: times are too long.",
        )


def _others(device: torch.device) -> Iterator[Caution]:
    nvml = open_nvml(device)
    if isinstance(nvml, Unknown):
        yield Caution(
            what=f"NVML does not answer ({nvml.reason}).",
            advice="Memory of the process and energy are unknown: see srbench doctor.",
        )
        return
    with nvml:
        others = nvml.other_processes()
    if not isinstance(others, Unknown) and others:
        yield Caution(
            what=f"{len(others)} other processes use this GPU.",
            advice="Stop them and measure again: times are too long, and memory may not be there.",
        )
