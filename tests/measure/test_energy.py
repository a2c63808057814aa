"""Joules of a block: from counters that are made up, and in words where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from srbench.measure import clock, energy
from srbench.measure.energy import Energy, unreadable
from srbench.measure.nvml import ENERGY_COUNTER, Reading, Unknown

LARGEST = 262_143_328_850  # microjoules at which RAPL's counters begin again


class Times:
    """A clock that stands still until it is told to go on."""

    now = 100.0


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    times = Times()
    monkeypatch.setattr(clock, "now", lambda: times.now)
    return times


Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Writes a zone of RAPL: its name, microjoules, and the largest value."""
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)

    def put(zone: str, name: str, microjoules: int, largest: int = LARGEST) -> Path:
        folder = tmp_path / zone
        folder.mkdir(exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text(f"{largest}\n")
        return folder

    return put


def test_packages_and_their_memory_are_added_up_and_their_parts_are_not(
    put: Put, times: Times
) -> None:
    put("intel-rapl:0", "package-0", 1_000_000)
    put("intel-rapl:0:0", "core", 500_000)
    put("intel-rapl:0:1", "dram", 70_000)
    put("intel-rapl:1", "package-1", 2_000_000)
    put("intel-rapl:2", "psys", 9_000_000)
    put("intel-rapl-mmio:0", "package-0", 1_000_000)
    with Energy("cpu") as spent:
        times.now += 2
        put("intel-rapl:0", "package-0", 41_000_000)
        put("intel-rapl:0:0", "core", 30_500_000)
        put("intel-rapl:0:1", "dram", 3_070_000)
        put("intel-rapl:1", "package-1", 9_000_000)
        put("intel-rapl:2", "psys", 99_000_000)
        put("intel-rapl-mmio:0", "package-0", 41_000_000)
    assert spent.joules == 40 + 3 + 7
    measured = spent.measurement("energy.request", calls=100)
    assert (measured.name, measured.value, measured.unit) == ("energy.request", 0.5, "J")
    assert measured.method == (
        "RAPL (dram, package-0, package-1), all that ran on the processor, idle power included"
    )


def test_a_counter_that_went_round_is_counted_on(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", LARGEST - 5_000_000)
    with Energy("cpu") as spent:
        times.now += 2
        put("intel-rapl:0", "package-0", 7_000_000)
    assert spent.joules == 12
    assert unreadable("cpu") is None


def test_a_block_in_which_a_counter_may_go_round_twice_is_unknown(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", 5, largest=65_532_610_987)
    with Energy("cpu") as spent:
        times.now += 65
        put("intel-rapl:0", "package-0", 6, largest=65_532_610_987)
    assert spent.joules == 1e-6
    with Energy("cpu") as spent:
        times.now += 66
    assert spent.joules is None
    assert spent.reason == "66 s of work may have led a counter round more than once"


def test_a_block_that_is_too_short_for_the_counter_is_unknown(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", 5)
    with Energy("cpu") as spent:
        times.now += 0.02
    assert spent.reason == "0.02 s of work are too few for this counter: it needs 0.1 s"
    assert spent.measurement("energy.request").value is None


def test_a_counter_that_stands_still_is_none_and_never_0(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", 5)
    with Energy("cpu") as spent:
        times.now += 1
    assert (spent.joules, spent.reason) == (None, "the counter did not move: nothing keeps it")


def test_a_machine_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path / "none")
    with Energy("cpu") as spent:
        pass
    measured = spent.measurement("energy.request")
    assert (measured.value, measured.reason) == (None, "this system has no RAPL counters")


def test_counters_that_only_root_may_read(
    put: Put, times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("intel-rapl:0", "package-0", 5)
    read = Path.read_text

    def refuse(path: Path, *rest: object, **named: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", refuse)
    with Energy("cpu") as spent:
        times.now += 1
    assert spent.reason == "RAPL's counters are there, but only root may read them"
    assert unreadable("cpu") == spent.reason


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("energy_uj", "RAPL's counters cannot be read"),
        ("max_energy_range_uj", "RAPL does not tell where its counters start again"),
    ],
)
def test_a_counter_that_is_broken(put: Put, times: Times, file: str, reason: str) -> None:
    zone = put("intel-rapl:0", "package-0", 5)
    with Energy("cpu") as spent:
        times.now += 1
        (zone / file).write_text("no number")
    assert (spent.joules, spent.reason) == (None, reason)


def test_a_zone_without_a_name_is_left_out(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", 5)
    (put("intel-rapl:1", "package-1", 5) / "name").unlink()
    with Energy("cpu") as spent:
        times.now += 1
        put("intel-rapl:0", "package-0", 3_000_005)
    assert spent.joules == 3


def test_a_block_that_fails_has_no_energy(put: Put, times: Times) -> None:
    put("intel-rapl:0", "package-0", 5)
    spent = Energy("cpu")

    def fail() -> None:
        times.now += 1
        raise RuntimeError

    with pytest.raises(RuntimeError), spent:
        fail()
    assert (spent.joules, spent.reason) == (None, "the work failed")


def test_before_the_block_ends_nothing_is_known(put: Put) -> None:
    put("intel-rapl:0", "package-0", 5)
    with Energy("cpu") as spent:
        assert (spent.joules, spent.reason) == (None, "the block has not ended")


# ---------------------------------------------------------------- a GPU


class Gpu:
    """Stands in for Nvml: joules read one after the other, None with a reason."""

    def __init__(self, *reads: float | str) -> None:
        self._reads: Iterator[float | str] = iter(reads)
        self.closed = False

    def total_energy_joules(self) -> Reading:
        read = next(self._reads)
        if isinstance(read, str):
            return Reading(None, "J", ENERGY_COUNTER, read)
        return Reading(read, "J", ENERGY_COUNTER)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waits.append(str(device)))
    return waits


def block(gpu: Gpu | Unknown, times: Times, seconds: float, patch: pytest.MonkeyPatch) -> Energy:
    patch.setattr(energy, "open_nvml", lambda device: gpu)
    with Energy("cuda:1") as spent:
        times.now += seconds
    return spent


def test_nvml_energy_of_a_block_is_the_difference_of_its_counter(
    times: Times, waits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu(1000.5, 1300.5)
    spent = block(gpu, times, 2.0, monkeypatch)
    assert spent.measurement("energy.request", calls=1000).value == 0.3
    assert spent.method.startswith(ENERGY_COUNTER)
    assert gpu.closed
    assert waits == ["cuda:1", "cuda:1"]


@pytest.mark.parametrize(
    ("gpu", "seconds", "reason"),
    [
        (Gpu(5.0, "the GPU is lost"), 2.0, "the GPU is lost"),
        (Gpu("no permission", 5.0), 2.0, "no permission"),
        (Gpu(5.0, 5.0), 2.0, "the counter did not move: nothing keeps it"),
        (Gpu(5.0, 4.0), 2.0, "the counter went back: the driver was loaded anew"),
        (Gpu(5.0, 9.0), 0.5, "0.5 s of work are too few for this counter: it needs 1 s"),
        (Unknown("the NVIDIA driver is not loaded"), 2.0, "the NVIDIA driver is not loaded"),
    ],
    ids=["lost midway", "refused", "stands still", "goes back", "too short", "no driver"],
)
def test_nvml_energy_that_is_not_known_has_a_reason(
    gpu: Gpu | Unknown,
    seconds: float,
    reason: str,
    times: Times,
    waits: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent = block(gpu, times, seconds, monkeypatch)
    assert (spent.joules, spent.reason) == (None, reason)
    assert spent.measurement("energy.request").reason == reason


def test_nvml_energy_that_cannot_be_read_is_known_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = Gpu(5.0, "the GPU is lost")
    monkeypatch.setattr(energy, "open_nvml", lambda device: gpu)
    assert unreadable("cuda") is None
    assert unreadable("cuda") == "the GPU is lost"
    assert gpu.closed
