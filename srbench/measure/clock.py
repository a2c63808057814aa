"""The only place that reads a clock.

A piece of work is timed from the outside: the device has nothing left to do, the clock is read, the
work runs, the device is waited for, the clock is read. On CUDA an event on either side of the work
says beside it what the device itself saw.

Two reads and a call cost well under a microsecond on a CPU, 0.1 % of a request of 1 ms; work that
takes less than `SHORTEST` is called several times between two reads, so that this stays small.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from types import TracebackType

import numpy as np
import torch

from srbench.measure.order import Values, relative_width, samples_for

SHORTEST = 50e-6  # seconds of a sample; shorter work is called more often in each
TURN = 0.02  # seconds for which short work keeps its turn; longer work gives one sample
STEADY = 0.05  # warm is who takes as long as a moment ago, to this share
WARM_UP_SHARE = 0.25  # of the budget, at most, for becoming steady
LOOK_AGAIN = 1.1  # the interval is worked out again when there are a tenth more samples

Work = Callable[[], object]


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


@dataclass(frozen=True)
class Sampling:
    """How long a piece of work is sampled: until its median is known, or the budget is spent.

    relative_width: of the 95 % interval of the median, as a share of the median, at most.
    least: samples before that interval is believed.
    wanted: samples that are taken while the budget lasts even where the median is known sooner;
        a 99th percentile needs as many.
    seconds: the budget, warm-up included, but not the first call, which pays for what is made once.
        The call under way is finished, and at least one sample is taken.
    warm_up_seconds: of calls before the first sample, at least; more, up to a quarter of the
        budget, while they are not steady.
    """

    relative_width: float = 0.03
    least: int = 20
    wanted: int = samples_for(0.99)
    seconds: float = 2.0
    warm_up_seconds: float = 0.2


@dataclass(frozen=True)
class Samples:
    """Seconds of one call each, in the order they were taken.

    seconds: on the wall clock, the wait for the device included.
    device_seconds: between two CUDA events around the same calls; None on a CPU.
    calls: of which each sample is the mean; more than 1 only where one is too short for the clock.
    warm_up: calls that were made and not taken, before the first sample and at turns.
    settled: was the median known as well as was asked for when the sampling ended?
    """

    seconds: Values
    device_seconds: Values | None
    calls: int
    warm_up: int
    settled: bool


def sample(
    work: Work, device: torch.device | str = "cpu", sampling: Sampling | None = None
) -> Samples:
    """Calls `work` again and again and times it. What it raises is raised."""
    sampler = _Sampler(work, device, sampling or Sampling())
    with _no_garbage_collection():
        sampler.warm_up()
        while sampler.has_time() and not sampler.done():
            sampler.take()
    return sampler.samples()


def interleaved(
    works: Mapping[str, Work],
    device: torch.device | str = "cpu",
    sampling: Sampling | None = None,
) -> dict[str, Samples | BaseException]:
    """Times several pieces of work in turn, so that what slows the machine slows all of them.

    In each round every work has a turn, in an order drawn anew. Work that is shorter than a turn is
    called once untimed, so that it finds its own data in the caches and not those of the work
    before, then sampled for `TURN` seconds; longer work gives one sample. The rounds end when all
    are done; a work whose budget is spent leaves them before.

    A work that raises RuntimeError, as torch does where memory ends or a kernel fails, or
    MemoryError is dropped, and its error stands in its place, without the frames that would keep
    its tensors alive.
    """
    samplers = {
        name: _Sampler(work, device, sampling or Sampling()) for name, work in works.items()
    }
    errors: dict[str, BaseException] = {}
    order = random.Random(0)

    def attempt(name: str, action: Callable[[_Sampler], None]) -> None:
        try:
            action(samplers[name])
        except (RuntimeError, MemoryError) as error:
            del samplers[name]
            errors[name] = _without_frames(error)

    with _no_garbage_collection():
        for name in works:
            attempt(name, _Sampler.warm_up)
        while not all(one.done() or not one.has_time() for one in samplers.values()):
            names = [name for name, one in samplers.items() if one.has_time()]
            order.shuffle(names)
            for name in names:
                attempt(name, _Sampler.turn)
    return {name: errors[name] if name in errors else samplers[name].samples() for name in works}


class _Sampler:
    """One piece of work and what is known of its time so far."""

    def __init__(self, work: Work, device: torch.device | str, sampling: Sampling) -> None:
        self.work, self.sampling = work, sampling
        self.device = torch.device(device)
        self.time = _on_cuda if self.device.type == "cuda" else _on_cpu
        self.calls, self.untimed = 1, 0
        self.seconds: list[float] = []
        self.device_seconds: list[float] = []
        self.spent = 0.0
        self.settled = False
        self._sample_lasts = 0.0
        self._look_at = sampling.least

    def warm_up(self) -> None:
        """Calls the work until it takes as long as it took a moment ago."""
        sampling = self.sampling
        self._call()
        start, before = now(), math.inf
        while True:
            seconds = self._window(sampling.warm_up_seconds / 2)
            self.spent = now() - start
            steady = abs(seconds - before) <= STEADY * before < math.inf
            if steady or self.spent >= WARM_UP_SHARE * sampling.seconds:
                break
            before = seconds
        self.calls = max(1, math.ceil(SHORTEST / seconds)) if seconds > 0 else 1
        self._sample_lasts = self.calls * seconds

    def _window(self, length: float) -> float:
        """The median of calls that fill so many seconds."""
        start = now()
        seconds: list[float] = []
        while not seconds or now() - start < length:
            seconds.append(self._call())
        return median(seconds)

    def _call(self) -> float:
        self.untimed += 1
        return self.time(self.work, 1, self.device)[0]

    def take(self) -> None:
        """One sample more."""
        start = now()
        seconds, device_seconds = self.time(self.work, self.calls, self.device)
        self.seconds.append(seconds)
        if device_seconds is not None:
            self.device_seconds.append(device_seconds)
        self.spent += now() - start

    def turn(self) -> None:
        """A sample more, or as many as fit a turn, behind a call that brings the caches back."""
        start = now()
        if self._sample_lasts < TURN:
            self._call()
            self.spent += now() - start
        while True:
            self.take()
            if now() - start >= TURN or self.done() or not self.has_time():
                break

    def has_time(self) -> bool:
        """Is there budget left? Always for the first sample."""
        return not self.seconds or self.spent < self.sampling.seconds

    def done(self) -> bool:
        """Is the median known, and are there as many samples as were wanted?"""
        if len(self.seconds) >= self._look_at:
            self._look()
        return self.settled and len(self.seconds) >= self.sampling.wanted

    def _look(self) -> None:
        values = np.array(self.seconds)
        self.settled = relative_width(values) <= self.sampling.relative_width
        self._look_at = math.ceil(len(values) * LOOK_AGAIN)

    def samples(self) -> Samples:
        if len(self.seconds) >= self.sampling.least:
            self._look()
        device_seconds = np.array(self.device_seconds) if self.device_seconds else None
        return Samples(
            np.array(self.seconds), device_seconds, self.calls, self.untimed, self.settled
        )


def _on_cpu(work: Work, calls: int, device: torch.device) -> tuple[float, None]:
    start = now()
    for _ in range(calls):
        work()
    return (now() - start) / calls, None


def _on_cuda(work: Work, calls: int, device: torch.device) -> tuple[float, float]:
    """Seconds of a call on the wall clock, and between two events on the stream."""
    stream = torch.cuda.current_stream(device)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start = now()
    first.record(stream)
    for _ in range(calls):
        work()
    last.record(stream)
    torch.cuda.synchronize(device)
    seconds = now() - start
    return seconds / calls, first.elapsed_time(last) / 1000 / calls


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What earlier work left behind is collected before, nothing in between."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _without_frames(error: BaseException) -> BaseException:
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
