"""The clock: what it reads and when it waits for the device."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest
import torch

from srbench.measure import clock
from srbench.measure.clock import Stopwatch, now, utc_now


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
