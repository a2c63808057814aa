"""What the driver tells about the GPU through NVML: memory of this process, energy, throttling, who
else is there.

NVML knows processes by the host's pids, which a process in a container may not know of itself, and
on some systems it does not tell a process's memory at all. `Nvml.process_bytes` takes the first
that holds, and its method says which:
    a. the process with this one's own pid
    b. the process with one of the other pids that the kernel has for this one (NSpid)
    c. in a container: the only compute process of the device
    d. the used memory of the device above the level from before CUDA was first used, with a caution
A process that was there before CUDA was first used, or that holds less than torch's allocator has
reserved, is not this one, whatever its pid.

Nothing here raises what NVML raises: what cannot be known is None, or Unknown, with a reason.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pynvml

from srbench.measure import nvml_driver
from srbench.measure.nvml_driver import GpuProcess, Handle, words
from srbench.record.schema import Caution, Measurement

if TYPE_CHECKING:
    import torch

    Device = torch.device | str

OWN_PID = "NVML, the process with this one's pid"
HOST_PID = "NVML, the process with this one's pid on the host"
ONLY_PROCESS = "NVML, the only compute process of the device"
DEVICE_DELTA = "NVML, used memory of the device above the level before"
ENERGY_COUNTER = "NVML's total energy counter of the GPU"

_STATUS = Path("/proc/self/status")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_HOSTS_NAMESPACE = "pid:[4026531836]"  # the first namespace of a kernel has a fixed number
_PATIENCE = 5.0  # seconds until a driver that does not answer is given up


@dataclass(frozen=True)
class Unknown:
    """What NVML did not tell, and why: a clause without a full stop."""

    reason: str


@dataclass(frozen=True)
class Reading:
    """A number and how it was had, or None and why not; what the reader should beware of."""

    value: float | None
    unit: str
    method: str
    reason: str | None = None
    caution: Caution | None = None

    def measurement(self, name: str) -> Measurement:
        return Measurement(
            name=name, value=self.value, unit=self.unit, method=self.method, reason=self.reason
        )


@dataclass(frozen=True)
class Inventory:
    """The driver's version and the names of all GPUs, whether torch can use them or not."""

    driver: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Level:
    """A device before CUDA was first used: its used bytes (None: not told) and who was on it."""

    used: int | None
    pids: frozenset[int]


def inventory() -> Inventory | Unknown:
    """Asks NVML alone; torch and CUDA stay untouched."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Unknown(words(error))
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        names = tuple(_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
        return Inventory(_text(pynvml.nvmlSystemGetDriverVersion()), names)
    except pynvml.NVMLError as error:
        return Unknown(words(error))
    finally:
        _shut_down()


def open_nvml(device: Device = "cuda") -> Nvml | Unknown:
    """NVML's view of torch's CUDA device, or why there is none.

    To be opened before the first use of CUDA, so that the level before is known; it uses CUDA
    itself, to find the device. Close it, or use it in a `with`.
    """
    import torch

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Unknown(words(error))
    try:
        levels = {} if torch.cuda.is_initialized() else _levels()
        handle = nvml_driver.find(device)
        uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
        return Nvml(torch.device(device), handle, levels.get(uuid))
    except (pynvml.NVMLError, LookupError) as error:
        _shut_down()
        return Unknown(words(error))


class Nvml:
    """One device. Made by `open_nvml`; `level` is None where CUDA had been used before."""

    def __init__(self, device: torch.device, handle: Handle, level: Level | None) -> None:
        self.device = device
        self._handle = handle
        self._level = level
        self._gpu = nvml_driver.whole_gpu(handle)  # of a MIG instance
        self._mine: tuple[int, str] | None = None  # pid and method, once this process was found

    def __enter__(self) -> Nvml:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        _shut_down()

    @property
    def is_mig(self) -> bool:
        """Is the device a MIG instance, a part of a GPU?"""
        return self._gpu is not None

    def driver(self) -> str | Unknown:
        """The driver's version."""
        try:
            return _text(pynvml.nvmlSystemGetDriverVersion())
        except pynvml.NVMLError as error:
            return Unknown(words(error))

    def process_bytes(self) -> Reading:
        """Device memory of this process now: context, kernels, tensors and what torch holds."""
        # Asked before NVML is, which then lists no less.
        held = 0 if self._mine else _reserved(self.device)
        try:
            listed = nvml_driver.compute_processes(self._handle)
        except pynvml.NVMLError as error:
            return self._above_level(f"the processes are not told ({words(error)})")
        self._mine = self._mine or self._find_mine(listed, held)
        mine = [p.bytes for p in listed if self._mine and p.pid == self._mine[0]]
        if self._mine is None or not mine:
            return self._above_level("NVML does not list this process under a pid it knows")
        known = [size for size in mine if size is not None]
        if len(known) < len(mine):
            return self._above_level("the driver does not tell the memory of a process")
        return Reading(sum(known), "B", self._mine[1])

    def other_processes(self) -> tuple[GpuProcess, ...] | Unknown:
        """Who else computes or draws on the device. Unknown where this process is not told apart
        from others."""
        try:
            listed = nvml_driver.compute_processes(self._handle)
            drawing = nvml_driver.graphics_processes(self._handle)
        except pynvml.NVMLError as error:
            return Unknown(words(error))
        self._mine = self._mine or self._find_mine(listed, _reserved(self.device))
        others = {p.pid: p for p in (*drawing, *listed) if not self._mine or p.pid != self._mine[0]}
        if self._mine is None and _in_container() and any(self._is_new(p) for p in listed):
            return Unknown("NVML does not list this process under a pid it knows")
        return tuple(others.values())

    def throttling(self) -> tuple[str, ...] | Unknown:
        """What holds the clock of the GPU down at this moment, in words; empty: nothing."""
        try:
            return nvml_driver.throttles(self._gpu or self._handle)
        except pynvml.NVMLError as error:
            return Unknown(words(error))

    def total_energy_joules(self) -> Reading:
        """Joules since the driver was loaded; only differences mean something."""
        if self._gpu is not None:
            reason = "the counter is of the whole GPU, and other MIG instances may be at work on it"
            return Reading(None, "J", ENERGY_COUNTER, reason)
        try:
            millijoules = pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except pynvml.NVMLError as error:
            return Reading(None, "J", ENERGY_COUNTER, words(error))
        return Reading(millijoules / 1000, "J", ENERGY_COUNTER)

    def _find_mine(self, listed: list[GpuProcess], held: int) -> tuple[int, str] | None:
        large = [p for p in listed if p.bytes is None or p.bytes >= held]
        pids = {p.pid for p in large if self._is_new(p)}
        if os.getpid() in pids:
            return os.getpid(), OWN_PID
        for pid in _pids_in_other_namespaces():
            if pid in pids:
                return pid, HOST_PID
        # On the host this process would have been listed under its own pid.
        if len(listed) == len(pids) == 1 and _in_container():
            return pids.pop(), ONLY_PROCESS
        return None

    def _is_new(self, process: GpuProcess) -> bool:
        return self._level is None or process.pid not in self._level.pids

    def _above_level(self, why: str) -> Reading:
        def unknown(reason: str) -> Reading:
            return Reading(None, "B", DEVICE_DELTA, f"{why}, and {reason}")

        level = None if self._level is None else self._level.used
        if level is None:
            return unknown("the device's level from before CUDA was first used is not known")
        try:
            used = _used(self._handle)
        except pynvml.NVMLError as error:
            return unknown(f"the device's memory is not told either ({words(error)})")
        if used <= level:
            return unknown("the device holds no more than before CUDA was first used")
        caution = Caution(
            what=f"GPU memory of this process is that of the whole device, less the level before: "
            f"{why}.",
            advice="Let no other process come or go meanwhile, or start the container with the "
            "host's pids (--pid=host).",
        )
        return Reading(used - level, "B", DEVICE_DELTA, caution=caution)


def nvml_context(nvml: Nvml) -> Reading:
    """Device memory of this process after one kernel: what CUDA itself takes, before any model."""
    import torch

    torch.zeros(1, device=nvml.device)
    torch.cuda.synchronize(nvml.device)
    torch.cuda.empty_cache()  # the kernel's one number is not the context's
    return nvml.process_bytes()


class Sampler:
    """The peak of `process_bytes` within a block, from a thread that looks every `interval` seconds
    and once at each end.

    with Sampler(nvml) as sampler:
        work()
    sampler.reading()

    For a pass of its own, never while something is timed: it disturbs. A rise and fall between two
    looks is not seen; memory that torch reserves stays reserved, so that its own peak is.
    """

    def __init__(self, nvml: Nvml, interval: float = 0.005) -> None:
        self._nvml = nvml
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="nvml sampler", daemon=True)
        self._peaks: dict[str, Reading] = {}  # method -> its largest reading
        self._last: Reading | None = None
        self._gap: str | None = None
        self._looks = 0

    def __enter__(self) -> Sampler:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._gap = "NVML did not answer"
        else:
            self._look()

    def reading(self) -> Reading:
        """The peak by the method of the last look; None where a look failed after one that did
        not."""
        last = self._last
        if last is None:
            return Reading(None, "B", OWN_PID, "the block has not begun")
        method = f"{last.method}; peak of {self._looks} looks, {self._interval * 1000:g} ms apart"
        if self._gap or last.value is None:
            return Reading(None, "B", method, self._gap or last.reason)
        peak = self._peaks[last.method]
        return Reading(peak.value, "B", method, caution=peak.caution)

    def _look_on(self) -> None:
        try:
            while not self._done.wait(self._interval):
                self._look()
        except Exception as error:  # or the thread would end unseen, and a peak be missed
            self._gap = f"the sampler failed: {type(error).__name__}"

    def _look(self) -> None:
        reading = self._nvml.process_bytes()
        self._looks += 1
        self._last = reading
        if reading.value is None:
            if self._peaks and self._gap is None:
                self._gap = f"it failed on the way: {reading.reason}"
            return
        peak = self._peaks.get(reading.method)
        if peak is None or peak.value is None or reading.value > peak.value:
            self._peaks[reading.method] = reading


def _levels() -> dict[str, Level]:
    """Every device that NVML lets be asked, by its UUID."""
    levels = {}
    for handle in nvml_driver.all_handles():
        used, pids = None, frozenset[int]()
        with contextlib.suppress(pynvml.NVMLError):
            used = _used(handle)
        with contextlib.suppress(pynvml.NVMLError):
            pids = frozenset(p.pid for p in nvml_driver.compute_processes(handle))
        levels[_text(pynvml.nvmlDeviceGetUUID(handle))] = Level(used, pids)
    return levels


def _used(handle: Handle) -> int:
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def _reserved(device: torch.device) -> int:
    import torch

    return torch.cuda.memory_reserved(device) if torch.cuda.is_initialized() else 0


def _pids_in_other_namespaces() -> list[int]:
    """The pids of this process outside its container, as far as they are told inside."""
    try:
        text = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    found = re.search(r"(?m)^NSpid:\s+([\d\s]+?)$", text)
    return [int(pid) for pid in found.group(1).split()] if found else []


def _in_container() -> bool:
    """Does this process count pids of its own? Where that is not told, it may."""
    try:
        return str(_PID_NAMESPACE.readlink()) != _HOSTS_NAMESPACE
    except OSError:
        return True


def _shut_down() -> None:
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
