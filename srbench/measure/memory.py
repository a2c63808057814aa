"""How much memory a phase of a run needed at its peak.

On a CPU: the resident set of the process, from Linux's own high-water mark, which is set back at
the start of the phase; the level before the model was built is subtracted. On CUDA: the peaks of
torch's allocator, `allocated` (tensors) and `reserved` (what it holds of the device). Neither
counts what the driver itself takes. What cannot be known is None with a reason, never 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import resource
import sys
from pathlib import Path
from types import TracebackType

import torch

from srbench.record.names import MEMORY_PROCESS_PEAK
from srbench.record.schema import Measurement

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = "/proc/self/clear_refs"
_RESET_PEAK = b"5"  # proc(5): sets the high-water mark to the present resident set

_highest = 0  # of the marks that were set back, so that the process's own peak is not lost


def resident_bytes() -> int | None:
    """Physical memory this process holds now; None where the system does not tell."""
    return _status_bytes("VmRSS")


def settled_bytes() -> int | None:
    """`resident_bytes` after all that was freed is given back: the level before a phase."""
    _give_back()
    return resident_bytes()


def process_peak() -> Measurement:
    """The largest resident set since the process began, libraries and data included."""
    mark = _status_bytes("VmHWM")
    if mark is not None:
        return _measured(MEMORY_PROCESS_PEAK, max(mark, _highest), "resident set, VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return _measured(MEMORY_PROCESS_PEAK, peak * unit, "resident set, ru_maxrss")


class PhaseMemory:
    """The peak memory of one phase, such as `memory.train`.

    with PhaseMemory(MEMORY_TRAIN, device, level=before_the_model) as memory:
        train()
    record.measurements += memory.measurements()

    level: resident bytes to be subtracted on a CPU; None: those at the start of the phase.
    Phases do not nest: each sets the marks back.
    """

    def __init__(self, name: str, device: torch.device | str, *, level: int | None = None) -> None:
        self.name = name
        self.device = torch.device(device)
        self._level = level
        self._before = 0
        self._reset = False
        self._measurements: list[Measurement] = []

    def __enter__(self) -> PhaseMemory:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()  # what an earlier phase reserved is not this one's
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _give_back()  # what an earlier phase has freed is not this one's
            if self._level is None:
                self._level = resident_bytes()
            self._before = _status_bytes("VmHWM") or 0
            self._reset = _set_peak_back()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._measurements = self._on_cuda() if self.device.type == "cuda" else [self._on_cpu()]

    def measurements(self) -> list[Measurement]:
        """`.peak` on a CPU, `.allocated` and `.reserved` on CUDA; empty before the phase ends."""
        return self._measurements

    def _on_cuda(self) -> list[Measurement]:
        method = "peak of torch's CUDA allocator in this phase"
        return [
            _measured(
                f"{self.name}.allocated", torch.cuda.max_memory_allocated(self.device), method
            ),
            _measured(f"{self.name}.reserved", torch.cuda.max_memory_reserved(self.device), method),
        ]

    def _on_cpu(self) -> Measurement:
        name = f"{self.name}.peak"
        method = "peak resident set of this phase, above the level before"
        mark = _status_bytes("VmHWM")
        if mark is None or self._level is None:
            return _unknown(name, method, "this system does not tell a process's peak (no VmHWM)")
        if not self._reset and mark <= self._before:
            reason = "the process had been larger before, and its peak could not be set back"
            return _unknown(name, method, reason)
        if mark <= self._level:
            reason = "it needed less than can be seen of a resident set: nothing above the level"
            return _unknown(name, method, reason)
        return _measured(name, mark - self._level, method)


def _give_back() -> None:
    """Returns freed memory to the system, where the C library can (glibc)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set_peak_back() -> bool:
    """Lowers the high-water mark to the present level; False where that is not allowed."""
    global _highest  # noqa: PLW0603 - one process has one high-water mark
    _highest = max(_highest, _status_bytes("VmHWM") or 0)
    try:
        handle = os.open(_CLEAR_REFS, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(handle, _RESET_PEAK)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _status_bytes(field: str) -> int | None:
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(rf"(?m)^{field}:\s+(\d+) kB$", text)
    return int(found.group(1)) * 1024 if found else None


def _measured(name: str, value: int, method: str) -> Measurement:
    return Measurement(name=name, value=value, unit="B", method=method)


def _unknown(name: str, method: str, reason: str) -> Measurement:
    return Measurement(name=name, value=None, unit="B", method=method, reason=reason)
