"""Joules that a block of work takes: by NVML's counter on a GPU, by RAPL's on a CPU.

Both count all that the GPU, or the processor's package, does meanwhile, this program's work or not,
and its idle power with it. Where there is no counter, or it may not be read, the number is None
with the reason.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import torch

from srbench.measure.clock import Stopwatch
from srbench.measure.nvml import ENERGY_COUNTER, Unknown, open_nvml
from srbench.record.schema import Measurement

_POWERCAP = Path("/sys/class/powercap")
_MOST_WATTS = 1000  # no zone takes more: tells whether its counter can have gone round twice


class Energy:
    """The energy of a block on a device, which is waited for at both ends.

    with Energy(device) as energy:
        for _ in range(calls):
            work()
    energy.measurement("energy.request", calls)

    `joules` is None before the block ends and where it is not known; then `reason` says why. A
    counter moves in steps: of a block that is too short nothing is known, so repeat the work for a
    second or more.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.joules: float | None = None
        self.reason: str | None = "the block has not ended"
        self._watch = Stopwatch(self.device)
        self._meter: _Gpu | _Rapl = _Gpu(self.device) if self.device.type == "cuda" else _Rapl()
        self._before: list[float] | Unknown = Unknown("the block has not begun")

    @property
    def method(self) -> str:
        return self._meter.method

    def __enter__(self) -> Energy:
        self._meter.open()
        self._watch.__enter__()
        self._before = self._meter.read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.__exit__(kind, error, trace)
        after = self._meter.read()
        self._meter.close()
        spent = "the work failed" if error else self._spent(after)
        if isinstance(spent, str):
            self.reason = spent
        else:
            self.joules, self.reason = spent, None

    def _spent(self, after: list[float] | Unknown) -> float | str:
        for read in (self._before, after):
            if isinstance(read, Unknown):
                return read.reason
        seconds, least = self._watch.seconds, self._meter.least_seconds
        if seconds < least:
            return f"{seconds:.2g} s of work are too few for this counter: it needs {least:g} s"
        assert isinstance(self._before, list) and isinstance(after, list)
        joules = self._meter.spent(self._before, after, seconds)
        return joules or "the counter did not move: nothing keeps it"  # no work takes 0 J

    def measurement(self, name: str, calls: int = 1) -> Measurement:
        """Joules of one of the `calls` equal calls that were the block."""
        value = None if self.joules is None else self.joules / calls
        return Measurement(name=name, value=value, unit="J", method=self.method, reason=self.reason)


def unreadable(device: torch.device | str) -> str | None:
    """Why the energy of work on this device cannot be known; None where it can."""
    device = torch.device(device)
    meter = _Gpu(device) if device.type == "cuda" else _Rapl()
    meter.open()
    read = meter.read()
    meter.close()
    return read.reason if isinstance(read, Unknown) else None


class _Gpu:
    """NVML's counter, which moves every 0.02 to 0.1 s."""

    method = f"{ENERGY_COUNTER}, all that ran on it, idle power included"
    least_seconds = 1.0

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def open(self) -> None:
        self._nvml = open_nvml(self._device)

    def close(self) -> None:
        if not isinstance(self._nvml, Unknown):
            self._nvml.close()

    def read(self) -> list[float] | Unknown:
        if isinstance(self._nvml, Unknown):
            return self._nvml
        reading = self._nvml.total_energy_joules()
        return Unknown(str(reading.reason)) if reading.value is None else [reading.value]

    def spent(self, before: list[float], after: list[float], seconds: float) -> float | str:
        if after[0] < before[0]:
            return "the counter went back: the driver was loaded anew"
        return after[0] - before[0]


class _Rapl:
    """The counters of the processor's packages, and of the memory at them where it has its own.

    They move every millisecond, count microjoules, and start again behind a largest value.
    """

    least_seconds = 0.1

    method = "RAPL, all that ran on the processor, idle power included"

    def open(self) -> None:
        self._zones = _zones()
        if self._zones:
            names = ", ".join(sorted(self._zones.values()))
            self.method = self.method.replace("RAPL", f"RAPL ({names})")

    def close(self) -> None:
        """Files stay closed between two reads."""

    def read(self) -> list[float] | Unknown:
        if not self._zones:
            return Unknown("this system has no RAPL counters")
        try:
            return [_number(zone / "energy_uj") for zone in self._zones]
        except PermissionError:
            return Unknown("RAPL's counters are there, but only root may read them")
        except (OSError, ValueError):
            return Unknown("RAPL's counters cannot be read")

    def spent(self, before: list[float], after: list[float], seconds: float) -> float | str:
        microjoules = 0.0
        for zone, start, end in zip(self._zones, before, after, strict=True):
            try:
                largest = _number(zone / "max_energy_range_uj")
            except (OSError, ValueError):
                return "RAPL does not tell where its counters start again"
            if seconds * _MOST_WATTS * 1e6 > largest:
                return f"{seconds:.0f} s of work may have led a counter round more than once"
            microjoules += end - start if end >= start else end - start + largest
        return microjoules / 1e6


def _zones() -> dict[Path, str]:
    """Packages and their memory, with their names; parts of a package (core, uncore) are counted in
    it, and the platform (psys) counts the packages again."""
    found = {}
    for zone in sorted(_POWERCAP.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if name.startswith("package") or name == "dram":
            found[zone] = name
    return found


def _number(file: Path) -> float:
    return float(file.read_text(encoding="ascii"))
