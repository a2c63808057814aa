"""The machine's best rates: how they are taken and kept, and what a share of them means."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from srbench.errors import SrbenchError
from srbench.measure import roofline
from srbench.measure.clock import Samples
from srbench.measure.roofline import Roofline, probe, share

Timed = list[Callable[[], object]]

MACHINE = Roofline(
    machine={"device": "cpu"},
    created="2026-01-31T12:00:00Z",
    flops={"fp32": 100e9, "bf16": 400e9},
    copies=((1_000, 80e9), (1_000_000, 90e9), (1_000_000_000, 10e9)),
    steady=0.95,
)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Timed:
    """What was timed. Each work takes 1 ms at best and 1.1 ms mostly, whatever it is."""
    works: Timed = []

    def sample(work: Callable[[], object], *_: object) -> Samples:
        works.append(work)
        return samples([1.2e-3, 1e-3, 1.1e-3])

    monkeypatch.setattr(roofline, "sample", sample)
    monkeypatch.setattr(roofline, "SIZES", {"cpu": (8, 32, 16)})
    monkeypatch.setattr(roofline, "SMALL", {"cpu": (8,)})
    monkeypatch.setattr(roofline, "COPIES", (64, 4096))
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path))
    return works


def samples(seconds: Sequence[float]) -> Samples:
    return Samples(np.array(seconds), None, calls=1, warm_up=1, settled=True)


def test_rates_are_those_of_the_best_call_and_the_best_size(timed: Timed) -> None:
    found = probe("cpu")
    assert found.flops == {"fp32": pytest.approx(2 * 32**3 / 1e-3), "bf16": 2 * 8**3 / 1e-3}
    assert found.copies == ((64, pytest.approx(64e3)), (4096, pytest.approx(4096e3)))
    assert found.copy_rate == pytest.approx(4096e3)
    assert found.steady == pytest.approx(1 / 1.1)
    assert len(timed) == 3 + 1 + 2


def test_what_is_timed_is_a_product_and_a_copy(timed: Timed) -> None:
    probe("cpu")
    products = [work() for work in timed[:4]]
    assert [(p.shape, p.dtype) for p in products if isinstance(p, torch.Tensor)] == [
        ((8, 8), torch.float32),
        ((32, 32), torch.float32),
        ((16, 16), torch.float32),
        ((8, 8), torch.bfloat16),
    ]
    copies = [work() for work in timed[4:]]  # half is read and half is written
    assert [c.nbytes for c in copies if isinstance(c, torch.Tensor)] == [32, 2048]
    assert all(isinstance(c, torch.Tensor) and bool((c == 1).all()) for c in copies)


def test_a_machine_is_probed_once(timed: Timed, tmp_path: Path) -> None:
    first = probe("cpu")
    count = len(timed)
    assert probe("cpu") == first
    assert len(timed) == count
    (kept,) = tmp_path.rglob("*.json")
    assert json.loads(kept.read_text())["machine"]["torch"] == torch.__version__
    assert probe("cpu", fresh=True).flops == first.flops
    assert len(timed) == 2 * count


def test_other_threads_and_another_torch_are_another_machine(
    timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    one = probe("cpu", before)
    more = probe("cpu", before + 1)
    assert torch.get_num_threads() == before
    assert (one.machine["threads"], more.machine["threads"]) == (before, before + 1)
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert probe("cpu", before).machine["torch"] == "9.9"
    assert len(list(tmp_path.rglob("*.json"))) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": {}}'])
def test_what_cannot_be_read_is_probed_again(timed: Timed, tmp_path: Path, content: str) -> None:
    first = probe("cpu")
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(content)
    count = len(timed)
    assert probe("cpu").flops == first.flops
    assert len(timed) == 2 * count
    assert Roofline.model_validate_json(kept.read_text()).flops == first.flops


def test_a_probe_of_another_machine_under_the_same_name_is_not_believed(
    timed: Timed, tmp_path: Path
) -> None:
    first = probe("cpu")
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text(first.model_copy(update={"machine": {"cpu": "other"}}).model_dump_json())
    assert probe("cpu").machine == first.machine


def test_a_disturbed_probe_is_told_and_not_kept(
    timed: Timed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "sample", lambda *_: samples([1e-3, 2e-3, 2e-3]))
    found = probe("cpu")
    assert found.steady == 0.5
    assert list(tmp_path.rglob("*.json")) == []
    (caution,) = found.cautions()
    assert "rates that differ by 50%" in caution.what
    assert "stop them" in caution.advice
    assert MACHINE.cautions() == []


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SrbenchError("the disk is full")

    monkeypatch.setattr(roofline, "write_text_atomically", full)
    assert probe("cpu").flops["fp32"] > 0


def test_a_copy_that_does_not_fit_is_left_out(
    timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofline, "COPIES", (64, 2**62))
    assert [size for size, _ in probe("cpu").copies] == [64]


def test_the_machine_is_named_by_what_rates_depend_on_and_by_no_person(timed: Timed) -> None:
    assert set(probe("cpu").machine) == {
        "device",
        "device_name",
        "driver",
        "cpu",
        "cpu_capability",
        "cores",
        "cpu_quota",
        "threads",
        "torch",
    }


def test_the_probes_for_a_record() -> None:
    found = {one.name: (one.value, one.unit) for one in MACHINE.measurements()}
    assert found == {
        "probe.gemm.fp32": (100e9, "FLOP/s"),
        "probe.gemm.bf16": (400e9, "FLOP/s"),
        "probe.copy": (10e9, "B/s"),
    }
    assert all("2026-01-31" in one.method for one in MACHINE.measurements())


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "precision", "value", "bound"),
    [
        (100e9, None, 2.0, "fp32", 0.5, "products"),
        (100e9, 0, 2.0, "fp32", 0.5, "products"),
        (100e9, None, 2.0, "bf16", 0.125, "products"),
        (1.0, 20e9, 4.0, "fp32", 0.5, "traffic"),  # from main memory
        (1.0, 9e6, 2e-4, "fp32", 0.5, "traffic"),  # from a cache, at 90 GB/s
        (0.0, 9e6, 2e-4, "fp32", 0.5, "traffic"),
        (100e9, 5e9, 2.0, "fp32", 0.5, "products"),  # 1 s against 1/18 s: the larger counts
    ],
)
def test_a_share_is_the_least_time_over_the_measured_one(
    flops: float, moved: float | None, seconds: float, precision: str, value: float, bound: str
) -> None:
    found = share(flops, moved, seconds, MACHINE, precision=precision)  # type: ignore[arg-type]
    assert found.value == pytest.approx(value)
    assert (found.name, found.unit) == ("time.request.share", "")
    assert found.method.endswith(f"bound by {bound}")


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "reason"),
    [
        (None, 1e6, 1.0, "its number of products is not known"),
        (1e6, 1e6, None, "its time is not known"),
        (1e6, 1e6, 0.0, "its time is not known"),
        (0.0, None, 1.0, "it has neither products nor weights to fetch"),
    ],
)
def test_an_unknown_share_has_a_reason(
    flops: float | None, moved: float | None, seconds: float | None, reason: str
) -> None:
    found = share(flops, moved, seconds, MACHINE, name="time.step.share")
    assert (found.name, found.value, found.reason) == ("time.step.share", None, reason)


@pytest.mark.parametrize(
    ("moved", "rate"),
    [
        (1, 90e9),  # no small copy is slower for being short
        (1_000, 90e9),
        (999_999, 90e9),
        (1_000_000, 90e9),
        (999_999_999, 90e9),  # the probe below it: a bound, not a guess
        (1_000_000_000, 10e9),
        (1e12, 10e9),
    ],
)
def test_little_is_fetched_at_the_rate_of_the_cache_it_fits_into(moved: float, rate: float) -> None:
    assert MACHINE.rate(moved) == rate


def test_a_bf16_that_is_emulated_bounds_nothing() -> None:
    slow = MACHINE.model_copy(update={"flops": {"fp32": 100e9, "bf16": 1e9}})
    assert slow.peak("bf16") == slow.peak("fp32") == 100e9


def test_a_real_probe_gives_rates_of_this_age(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(roofline, "SIZES", {"cpu": (256,)})
    monkeypatch.setattr(roofline, "SMALL", {"cpu": (128,)})
    monkeypatch.setattr(roofline, "COPIES", (2**20,))
    found = probe("cpu", 1)
    assert 1e8 < found.flops["fp32"] < 1e13
    assert 1e7 < found.copy_rate < 1e13
    assert 0 < found.steady <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_probed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path))
    found = probe("cuda")
    assert found.machine["device_name"] == torch.cuda.get_device_name()
    assert found.flops["bf16"] > found.flops["fp32"] > 1e12
    assert found.copy_rate > 1e11
