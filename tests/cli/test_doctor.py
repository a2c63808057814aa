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


def nvml(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
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
    nvml(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    findings = found(capsys)
    assert findings["gpu"]["found"] == "NVIDIA L4, which torch cannot use"
    assert findings["gpu"]["state"] == "bad"
    assert "built for CUDA" in findings["gpu"]["do"]
    assert findings["nvml"]["found"] == "driver 550.54"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert found(capsys)["gpu"]["do"] == "Update the driver (550.54) to one for CUDA 13.0."


def test_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nvml(monkeypatch)
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda _: "NVIDIA L4"
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    assert found(capsys)["gpu"]["found"] == "NVIDIA L4"


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetName"])
def test_nvml_that_fails_is_a_finding(
    call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    nvml(monkeypatch, **{call: fail})
    finding = found(capsys)["nvml"]
    assert "Driver Not Loaded" in finding["found"]
    assert "unknown in records" in finding["means"]


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
