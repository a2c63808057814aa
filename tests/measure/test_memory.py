"""Peaks of memory: of known allocations, phase by phase, and what is said where none is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from srbench.measure import memory as module
from srbench.measure.memory import PhaseMemory, process_peak, resident_bytes

MB = 1_000_000
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


def allocate(size: int) -> int:
    """Holds `size` bytes for a moment, every page of them touched."""
    return int(np.ones(size, dtype=np.uint8)[-1])


@linux
def test_a_phase_that_holds_100_mb_for_a_moment_says_100_mb() -> None:
    with PhaseMemory("memory.train", "cpu") as memory:
        allocate(100 * MB)
    (peak,) = memory.measurements()
    assert peak.name == "memory.train.peak"
    assert peak.unit == "B"
    assert peak.value == pytest.approx(100 * MB, rel=0.03)


@linux
def test_each_phase_has_a_peak_of_its_own_and_the_process_keeps_the_largest() -> None:
    level = resident_bytes()
    assert level is not None
    with PhaseMemory("memory.train", "cpu", level=level) as first:
        allocate(200 * MB)
    with PhaseMemory("memory.evaluate", "cpu", level=level) as second:
        allocate(50 * MB)
    assert first.measurements()[0].value == pytest.approx(200 * MB, rel=0.03)
    assert second.measurements()[0].value == pytest.approx(50 * MB, rel=0.06)
    peak = process_peak()
    assert peak.name == "memory.process.peak"
    assert peak.value is not None
    assert peak.value >= level + 190 * MB


@linux
def test_the_level_before_is_subtracted() -> None:
    before = resident_bytes()
    assert before is not None
    held = np.ones(60 * MB, dtype=np.uint8)
    with PhaseMemory("memory.train", "cpu", level=before) as memory:
        allocate(40 * MB)
    assert held[-1] == 1
    assert memory.measurements()[0].value == pytest.approx(100 * MB, rel=0.03)


@linux
def test_where_the_mark_cannot_be_set_back_a_new_peak_is_known_and_a_lower_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CLEAR_REFS", "/proc/self/no_such_file")
    mark = module._status_bytes("VmHWM")
    level = resident_bytes()
    assert mark is not None
    assert level is not None
    higher = mark - level + 100 * MB
    with PhaseMemory("memory.train", "cpu") as memory:
        allocate(higher)
    assert memory.measurements()[0].value == pytest.approx(higher, rel=0.03)
    with PhaseMemory("memory.evaluate", "cpu") as memory:
        allocate(10 * MB)
    (peak,) = memory.measurements()
    assert peak.value is None
    assert peak.reason == "the process had been larger before, and its peak could not be set back"


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_STATUS", tmp_path / "none")
    assert resident_bytes() is None
    with PhaseMemory("memory.train", "cpu") as memory:
        pass
    (peak,) = memory.measurements()
    assert peak.value is None
    assert peak.reason == "this system does not tell a process's peak (no VmHWM)"
    fallback = process_peak()
    assert fallback.method == "resident set, ru_maxrss"
    assert fallback.value is not None
    assert fallback.value > 10 * MB


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_fallbacks_unit_is_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, unit: int
) -> None:
    class Usage:
        ru_maxrss = 5000

    monkeypatch.setattr(module, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(module.sys, "platform", platform)
    monkeypatch.setattr(module.resource, "getrusage", lambda who: Usage)
    assert process_peak().value == 5000 * unit


@linux
def test_a_phase_is_measured_though_it_fails() -> None:
    memory = PhaseMemory("memory.train", "cpu")

    def fail() -> None:
        allocate(50 * MB)
        raise MemoryError

    with pytest.raises(MemoryError), memory:
        fail()
    assert memory.measurements()[0].value == pytest.approx(50 * MB, rel=0.06)


@linux
def test_a_fresh_process_does_not_carry_the_peak_of_its_parent() -> None:
    """The kernel's ru_maxrss does: it is handed on from the process that started this one."""
    program = (
        "import numpy as np\n"
        "from srbench.measure.memory import process_peak, resident_bytes\n"
        "print(resident_bytes(), process_peak().value)\n"
        "np.ones(400_000_000, dtype=np.uint8)\n"
        "print(process_peak().value)\n"
    )
    held = np.ones(600 * MB, dtype=np.uint8)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert held[-1] == 1
    level, before, after = map(float, done.stdout.split())
    assert before < level + 100 * MB
    assert after == pytest.approx(level + 400 * MB, rel=0.03)


def test_the_two_peaks_of_a_gpu_and_the_order_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name: calls.append(name))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty_cache"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 90)
    with PhaseMemory("memory.train", "cuda") as memory:
        calls.append("work")
    assert calls == ["synchronize", "empty_cache", "reset_peak_memory_stats", "work"]
    assert [(m.name, m.value) for m in memory.measurements()] == [
        ("memory.train.allocated", 70.0),
        ("memory.train.reserved", 90.0),
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_phase_that_holds_100_mib_says_so_and_the_next_starts_anew() -> None:
    level = torch.cuda.memory_allocated()
    with PhaseMemory("memory.train", "cuda") as first:
        torch.ones(100 * 2**20, dtype=torch.uint8, device="cuda")
    with PhaseMemory("memory.evaluate", "cuda") as second:
        torch.ones(20 * 2**20, dtype=torch.uint8, device="cuda")
    assert [m.value for m in first.measurements()] == [level + 100 * 2**20] * 2
    assert second.measurements()[0].value == level + 20 * 2**20
