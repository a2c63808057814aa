"""`srbench doctor`: each finding, from machines that are made up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from srbench.cli import doctor
from srbench.cli.app import main
from srbench.measure import nvml
from srbench.measure.nvml import Inventory, Reading, Unknown
from srbench.measure.nvml_driver import GpuProcess
from srbench.record.schema import Caution

FILES = {
    "/proc/cpuinfo": "flags : fpu avx2 avx512_bf16",
    "/proc/meminfo": "MemTotal: 16 kB\nMemAvailable: 8388608 kB\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
}


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["doctor", "--json"]) == 0
    return {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the system tells, in place of its files."""
    known = dict(FILES)
    monkeypatch.setattr(doctor, "_read", lambda path: known.get(path, ""))
    return known


@pytest.mark.parametrize("width", [80, 120])
def test_this_machine(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert any("torch" in line and torch.__version__ in line for line in lines)


def test_a_processor(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    findings = found(capsys)
    assert findings["bf16"]["found"] == "avx512_bf16"
    assert findings["memory"]["found"] == "8 GiB available"
    assert findings["load"]["state"] == "ok"
    assert findings["clock"]["found"] == "governor powersave"
    assert "performance" in findings["clock"]["do"]


def test_a_busy_small_old_machine(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files["/proc/cpuinfo"] = "flags : fpu"
    files["/proc/meminfo"] = "MemAvailable: 1048576 kB\n"
    files["/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"] = "performance"
    monkeypatch.setattr(os, "getloadavg", lambda: (64.0, 0.0, 0.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    findings = found(capsys)
    for what in ("load", "memory", "threads", "vectors"):
        assert findings[what]["state"] == "note", what
        assert findings[what]["do"], what
    assert findings["clock"]["state"] == "ok"
    assert findings["bf16"]["found"] == "not in hardware"


def test_a_system_that_tells_nothing(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    files.clear()
    findings = found(capsys)
    assert findings["memory"]["found"] == "the system does not tell"
    assert findings["clock"]["found"] == "the system does not tell its governor"


def driver(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """A driver with one GPU; `answers` in place of some of its calls."""
    calls = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: b"550.54",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: "NVIDIA L4",
    }
    for name, answer in (calls | answers).items():
        monkeypatch.setattr(pynvml, name, answer)


def test_a_gpu_that_torch_cannot_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driver(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    findings = found(capsys)
    assert findings["gpu"]["found"] == "NVIDIA L4, which torch cannot use"
    assert findings["gpu"]["state"] == "bad"
    assert "built for CUDA" in findings["gpu"]["do"]
    assert findings["nvml"]["found"] == "driver 550.54"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert found(capsys)["gpu"]["do"] == "Update the driver (550.54) to one for CUDA 13.0."


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetName"])
def test_nvml_that_fails_without_a_gpu_is_a_finding(
    call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    driver(monkeypatch, **{call: fail})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    findings = found(capsys)
    assert findings["gpu"]["found"] == "none"
    assert findings["nvml"]["found"] == "the NVIDIA driver is not loaded"


class Gpu:
    """Stands in for Nvml: one device, on which all is well but for what a test says."""

    def __init__(self, **answers: Any) -> None:
        own = Reading(400 * 2**20, "B", nvml.OWN_PID)
        self.answers = {"process_bytes": own, "other_processes": (), "throttling": ()} | answers
        self.is_mig = False
        self.device = torch.device("cuda")

    def __enter__(self) -> Gpu:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda: self.answers[name]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A torch with one GPU; called with what NVML is to tell of it."""
    monkeypatch.setattr(
        torch,
        "cuda",
        SimpleNamespace(
            is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda _: "NVIDIA L4"
        ),
    )

    def tells(opened: Gpu | Unknown, energy: str | None = None) -> None:
        monkeypatch.setattr(nvml, "inventory", lambda: Inventory("550.54", ("NVIDIA L4",)))
        monkeypatch.setattr(nvml, "open_nvml", lambda device: opened)
        monkeypatch.setattr(nvml, "nvml_context", lambda gpu: gpu.process_bytes())
        monkeypatch.setattr("srbench.measure.energy.unreadable", lambda device: energy)

    return tells


def test_a_gpu_on_which_all_is_well(cuda: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cuda(Gpu())
    findings = {what: f for what, f in found(capsys).items() if what.startswith(("gpu", "nvml"))}
    assert {what: finding["found"] for what, finding in findings.items()} == {
        "gpu": "NVIDIA L4",
        "nvml": "driver 550.54",
        "gpu process": "400 MiB after one kernel (NVML, the process with this one's pid)",
        "gpu others": "none",
        "gpu clock": "not held down now",
        "gpu energy": "its counter can be read",
    }
    assert {finding["state"] for finding in findings.values()} == {"ok"}


def test_a_gpu_with_company_and_in_heat(cuda: Any, capsys: pytest.CaptureFixture[str]) -> None:
    others = (GpuProcess(7, 10), GpuProcess(8, None))
    cuda(Gpu(other_processes=others, throttling=("the power limit", "heat")))
    findings = found(capsys)
    assert findings["gpu others"]["found"] == "2 (pid 7, 8)"
    assert findings["gpu clock"]["found"] == "held down by the power limit, heat"
    for what in ("gpu others", "gpu clock"):
        assert findings[what]["state"] == "note"
        assert findings[what]["do"]


def test_a_gpu_whose_processes_are_not_told(cuda: Any, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = Unknown("NVML refuses it: no permission")
    caution = Caution(what="It is that of the whole device.", advice="Start it with --pid=host.")
    reading = Reading(5 * 2**20, "B", nvml.DEVICE_DELTA, caution=caution)
    cuda(Gpu(process_bytes=reading, other_processes=unknown, throttling=unknown))
    findings = found(capsys)
    assert findings["gpu process"]["found"].startswith("5 MiB after one kernel (NVML, used memory")
    assert findings["gpu process"]["do"] == "Start it with --pid=host."
    assert findings["gpu others"]["found"] == unknown.reason
    assert findings["gpu clock"]["found"] == unknown.reason


def test_a_gpu_whose_memory_is_unknown_to_nvml(
    cuda: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    mig = Gpu(process_bytes=Reading(None, "B", nvml.OWN_PID, "the GPU is lost"))
    mig.is_mig = True
    cuda(mig)
    finding = found(capsys)["gpu process"]
    assert finding["found"] == "a MIG instance; the GPU is lost"
    assert finding["state"] == "note"
    assert "unknown in records" in finding["means"]


def test_a_gpu_that_nvml_does_not_know(cuda: Any, capsys: pytest.CaptureFixture[str]) -> None:
    why = "the NVIDIA driver is not loaded"
    cuda(Unknown(why), energy=why)
    findings = found(capsys)
    assert findings["nvml"]["found"] == findings["gpu energy"]["found"] == why
    assert findings["nvml"]["state"] == "note"
    assert "gpu process" not in findings


def test_a_gpu_on_which_cuda_does_not_start(
    cuda: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(gpu: Gpu) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy\nlong advice")

    cuda(Gpu())
    monkeypatch.setattr(nvml, "nvml_context", fail)
    findings = found(capsys)
    assert findings["gpu start"]["found"] == "CUDA error: all CUDA-capable devices are busy"
    assert findings["gpu start"]["state"] == "bad"


@pytest.mark.parametrize(
    ("why", "do"),
    [
        (None, ""),
        ("this system has no RAPL counters", ""),
        ("RAPL's counters are there, but only root may read them", "energy_uj"),
    ],
    ids=["readable", "none", "only root"],
)
def test_the_energy_of_the_processor(
    why: str | None, do: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("srbench.measure.energy.unreadable", lambda device: why)
    finding = found(capsys)["energy"]
    assert finding["found"] == (why or "its counter can be read")
    assert do in finding["do"]
    assert bool(do) == bool(finding["do"])


def test_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SRBENCH_DATA", str(tmp_path))
    (tmp_path / "ml-1m.csv").write_text("user,item\n", encoding="utf-8")
    assert found(capsys)["data"]["means"] == "Here: ml-1m, synthetic."
    monkeypatch.setenv("SRBENCH_DATA", str(tmp_path / "nowhere"))
    assert found(capsys)["data"]["state"] == "bad"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert found(capsys)["cache"]["state"] == "bad"
