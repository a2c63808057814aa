"""The only place that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType

import torch


def now() -> float:
    """Seconds of a clock that never goes back; only differences mean something."""
    return time.perf_counter()


def utc_now() -> str:
    """The date and time of day in UTC, to the second: 2026-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait_for(device: torch.device | str) -> None:
    """Returns when `device` has done all that it was given; a CPU always has."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Wall-clock time of a block on a device, which is waited for at both ends.

    with Stopwatch("cuda") as watch:
        work()
    watch.seconds

    `seconds` is 0 before the block ends; it is also set if the block raises.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> Stopwatch:
        wait_for(self.device)
        self._start = now()
        return self

    def so_far(self) -> float:
        """Seconds since the start. Does not wait for the device: for progress, not for records."""
        return now() - self._start

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:  # after an error a device may never answer
            wait_for(self.device)
        self.seconds = now() - self._start
