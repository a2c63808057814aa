"""The clock: what it reads, when it waits for the device, and how long it goes on."""

from __future__ import annotations

import gc
import re
import time
import weakref
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain, cycle, repeat

import numpy as np
import pytest
import torch

from srbench.measure import clock
from srbench.measure.clock import (
    Samples,
    Sampling,
    Stopwatch,
    interleaved,
    now,
    sample,
    utc_now,
)


def test_utc_now_is_the_time_of_day_to_the_second() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    text = utc_now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


def test_a_block_that_sleeps_20_ms_takes_20_ms() -> None:
    before = time.perf_counter()
    with Stopwatch() as watch:
        time.sleep(0.01)
        part = watch.so_far()
        time.sleep(0.01)
    around = time.perf_counter() - before  # on a busy machine 20 ms may take long
    assert 0.01 <= part < watch.seconds
    assert 0.02 <= watch.seconds <= around


def test_the_clock_never_goes_back() -> None:
    reads = [now() for _ in range(1000)]
    assert reads == sorted(reads)


def test_a_gpu_is_waited_for_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append(f"wait {device}"))
    monkeypatch.setattr(clock, "now", lambda: order.append("read") or float(len(order)))
    with Stopwatch("cuda:1") as watch:
        order.append("work")
        watch.so_far()
    wait = "wait cuda:1"
    assert order == [wait, "read", "work", "read", wait, "read"]
    assert watch.seconds == 6.0 - 2.0


def test_a_block_that_fails_is_timed_but_the_device_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    watch = Stopwatch("cuda")

    def fail() -> None:
        time.sleep(0.001)
        raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="lost"), watch:
        fail()
    assert watch.seconds >= 0.001
    assert len(waits) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_that_still_run_are_waited_for() -> None:
    a = torch.randn(8192, 8192, device="cuda")
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    a @ a
    with Stopwatch("cuda") as watch:
        start.record()
        for _ in range(20):
            a @ a
        end.record()
    assert watch.seconds == pytest.approx(start.elapsed_time(end) / 1000, rel=0.05)


# ---------------------------------------------------------------- sampling, on a clock of our own

TICK = 2.0**-10  # seconds; sums of it are exact
BUDGET = Sampling(seconds=2.0, warm_up_seconds=0.25)


class Clock:
    """A clock that only moves while work is done, and by `cost` each time that it is read."""

    def __init__(self, cost: float = 0.0) -> None:
        self.time, self.cost, self.log = 0.0, cost, list[str]()

    def now(self) -> float:
        self.time += self.cost
        return self.time

    def work(self, seconds: float | Iterable[float], name: str = "") -> Callable[[], None]:
        """Work that takes as long as each of `seconds` in turn."""
        durations = repeat(seconds) if isinstance(seconds, float) else iter(seconds)

        def work() -> None:
            self.log.append(name)
            self.time += next(durations)

        return work


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "now", made.now)
    return made


def test_steady_work_is_sampled_until_its_99th_percentile_can_be_told(fake: Clock) -> None:
    found = sample(fake.work(TICK), "cpu", BUDGET)
    assert found.settled
    assert found.seconds.tolist() == [TICK] * 299
    assert (found.calls, found.device_seconds) == (1, None)
    assert found.warm_up == 1 + 128 + 128  # the first call; two windows of half the warm-up each
    assert len(fake.log) == 1 + 256 + 299


def test_who_wants_no_percentiles_is_done_when_the_median_is_known(fake: Clock) -> None:
    found = sample(fake.work(TICK), "cpu", Sampling(wanted=0))
    assert found.settled
    assert len(found.seconds) == 20


def test_the_budget_ends_what_does_not_settle(fake: Clock) -> None:
    found = sample(fake.work(cycle([TICK, 2 * TICK])), "cpu", BUDGET)
    assert not found.settled
    warm_up = fake.time - found.seconds.sum() - TICK  # without the first call
    assert 2.0 <= warm_up + found.seconds.sum() <= 2.0 + 2 * TICK


def test_slow_work_gives_the_samples_that_fit_and_its_first_call_is_free(fake: Clock) -> None:
    found = sample(fake.work(chain([60.0], repeat(0.5))), "cpu", BUDGET)
    assert found.seconds.tolist() == [0.5] * 3  # 0.5 s of warm-up, then up to 2 s
    assert found.warm_up == 2
    assert not found.settled


def test_there_is_always_one_sample(fake: Clock) -> None:
    assert sample(fake.work(30.0), "cpu", BUDGET).seconds.tolist() == [30.0]


def test_warm_is_who_takes_as_long_as_a_moment_ago(fake: Clock) -> None:
    falling = [TICK * 2**power for power in (6, 5, 4, 3, 2, 1)]
    found = sample(fake.work(chain(falling, repeat(TICK))), "cpu", BUDGET)
    assert set(found.seconds) == {TICK}
    assert found.warm_up > len(falling) + 128


def test_warming_up_ends_after_a_quarter_of_the_budget(fake: Clock) -> None:
    found = sample(fake.work(cycle([0.125, 0.25])), "cpu", BUDGET)
    assert found.warm_up == 4  # the first call, then 0.25, 0.125 and 0.25 s


def test_work_that_is_too_short_for_the_clock_is_called_more_often(fake: Clock) -> None:
    short = 2.0**-20
    found = sample(fake.work(short), "cpu", BUDGET)
    assert found.calls == 53  # of 0.95 us, to fill 50 us
    assert found.seconds.tolist() == [short] * 299


def test_reading_the_clock_costs_a_request_of_1_ms_one_read(fake: Clock) -> None:
    fake.cost = 1e-6  # twenty times what it costs
    found = sample(fake.work(1e-3), "cpu", BUDGET)
    assert np.median(found.seconds) == pytest.approx(1e-3 + 1e-6, rel=1e-9)


def test_the_clock_costs_less_than_a_hundredth_of_1_ms() -> None:
    """The real one, around nothing; the best of many, as a busy machine is none of its doing."""
    assert min(clock._on_cpu(lambda: None, 1, torch.device("cpu"))[0] for _ in range(2000)) < 1e-5


def test_work_that_sleeps_5_ms_takes_5_ms() -> None:
    found = sample(lambda: time.sleep(0.005), "cpu", Sampling(seconds=0.2, warm_up_seconds=0.02))
    assert found.seconds.min() >= 0.005
    assert found.calls == 1


def test_no_garbage_is_collected_in_between_and_afterwards_it_is_again(fake: Clock) -> None:
    seen: set[bool] = set()

    def look() -> None:
        seen.add(gc.isenabled())
        fake.time += 1.0

    sample(look, "cpu", BUDGET)
    assert (seen, gc.isenabled()) == ({False}, True)
    with pytest.raises(StopIteration):
        sample(fake.work([1.0, 1.0]), "cpu", BUDGET)
    assert gc.isenabled()
    gc.disable()
    try:
        sample(look, "cpu", BUDGET)
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---------------------------------------------------------------- several in turn


def test_each_round_holds_every_work_and_the_order_changes(fake: Clock) -> None:
    names = ["a", "b", "c"]
    works = {name: fake.work(1.0, name) for name in names}
    found = interleaved(works, "cpu", Sampling(seconds=8.0))
    assert [kind(one) for one in found.values()] == ["6 samples"] * 3
    assert list(found) == names
    assert fake.log[:9] == [*"aaabbbccc"]  # the first call, and two that take as long
    rounds = [tuple(fake.log[at : at + 3]) for at in range(9, len(fake.log), 3)]
    assert {tuple(sorted(one)) for one in rounds} == {("a", "b", "c")}
    assert len(set(rounds)) > 1


def test_short_work_keeps_its_turn_and_begins_it_untimed(fake: Clock) -> None:
    cold, warm = 4 * TICK, TICK
    last = ""

    def work(name: str) -> Callable[[], None]:
        def call() -> None:
            nonlocal last
            fake.time += warm if last == name else cold  # what the other left in the caches
            last = name

        return call

    found = interleaved({name: work(name) for name in "ab"}, "cpu", BUDGET)
    for one in found.values():
        assert isinstance(one, Samples)
        assert set(one.seconds) == {warm}
        assert len(one.seconds) >= 299
        assert one.settled


def test_long_work_gives_one_sample_a_turn(fake: Clock) -> None:
    works = {"short": fake.work(TICK, "short"), "long": fake.work(0.125, "long")}
    found = interleaved(works, "cpu", BUDGET)
    short, long = found["short"], found["long"]
    assert isinstance(short, Samples) and isinstance(long, Samples)
    # 0.5 s of warm-up at the most, 0.125 s a sample: the budget of 2 s
    assert len(long.seconds) == (2.0 - 0.125 * (long.warm_up - 1)) / 0.125
    assert len(short.seconds) >= 299


def test_work_whose_budget_is_spent_leaves_the_rounds(fake: Clock) -> None:
    works = {"long": fake.work(2.0, "long"), "short": fake.work(cycle([0.0625, 0.125]), "short")}
    found = interleaved(works, "cpu", BUDGET)
    assert kind(found["long"]) == "1 samples"
    assert fake.log.count("long") == 3
    assert isinstance(found["short"], Samples)
    assert 1.9 < fake.log.count("short") * 0.09375 < 2.3  # its own budget, to the end


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize("calls", [0, 5])
def test_work_that_fails_is_dropped_and_the_rest_goes_on(
    fake: Clock, error: type[BaseException], calls: int
) -> None:
    class Large:
        pass

    alive: list[weakref.ref[Large]] = []
    steps = iter(range(calls))

    def fails() -> None:
        held = Large()
        alive.append(weakref.ref(held))
        fake.time += 0.25
        if next(steps, None) is None:
            try:
                raise KeyError("the cause")
            except KeyError:
                raise error("no room") from None

    works = {"good": fake.work(0.25, "good"), "bad": fails, "fine": fake.work(0.25, "fine")}
    found = interleaved(works, "cpu", BUDGET)
    assert list(found) == ["good", "bad", "fine"]
    assert [kind(found[name]) for name in ("good", "fine")] == ["6 samples"] * 2
    assert type(found["bad"]) is error and str(found["bad"]) == "no room"
    assert alive[-1]() is None, "what the work held lives on in the frames of its error"


def test_other_errors_are_errors_of_the_program(fake: Clock) -> None:
    def wrong() -> None:
        raise TypeError("a string is no tensor")

    with pytest.raises(TypeError, match="no tensor"):
        interleaved({"good": fake.work(1.0), "wrong": wrong}, "cpu", BUDGET)
    assert gc.isenabled()


def test_nothing_to_time_is_no_error() -> None:
    assert interleaved({}, "cpu") == {}


def kind(found: Samples | BaseException) -> str:
    return f"{len(found.seconds)} samples" if isinstance(found, Samples) else repr(found)


# ---------------------------------------------------------------- the device


def test_on_a_gpu_events_stand_around_the_work_and_both_ends_are_waited_for(
    fake: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: str) -> None:
            fake.log.append(f"event on {stream}")
            self.at = fake.time

        def elapsed_time(self, later: Event) -> float:
            return (later.at - self.at) * 1000

    def synchronize(device: torch.device) -> None:
        fake.log.append(f"wait {device}")
        fake.time += TICK  # the device ends later than the host

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    found = sample(fake.work(0.5, "work"), "cuda:1", BUDGET)
    one = ["wait cuda:1", "event on stream of cuda:1", "work", "event on stream of cuda:1"]
    assert fake.log[:5] == [*one, "wait cuda:1"]
    assert len(fake.log) == 5 * (found.warm_up + len(found.seconds))
    assert set(found.seconds) == {0.5 + TICK}
    assert found.device_seconds is not None
    assert found.device_seconds.tolist() == [0.5] * len(found.seconds)
