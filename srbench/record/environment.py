"""The machine, the libraries and the version of srbench, as they stand in a record.

Records are published: nothing here may hold a path, a user or a host name.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import torch

import srbench
from srbench.record.schema import CodeVersion, Environment

_PACKAGE = Path(srbench.__file__).resolve().parent
_CODE_FOLDERS = ("srbench", "models", "pyproject.toml")  # results and docs do not make it dirty


def environment(device: str) -> Environment:
    """The machine that a run on `device` ("cpu", "cuda" or "cuda:1") sees."""
    kind = torch.device(device).type
    values: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "os": f"{platform.system()} {platform.release()}",
        "device": kind,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }
    reasons: dict[str, str] = {}

    def put(name: str, value: object, reason: str) -> None:
        values[name] = value
        if value is None:
            reasons[name] = reason

    put("libc", " ".join(platform.libc_ver()).strip() or None, "not told by the system")
    put("cpu", _cpu_model(), "not told by the system")
    put("cpu_quota", _cpu_quota(), "no limit is set")
    put("memory_bytes", _memory_bytes(), "not told by the system")
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(device)
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call, unused-ignore]
        put("device_name", properties.name, "not told by the driver")
        put("device_memory_bytes", properties.total_memory, "not told by the driver")
        put("cuda", torch.version.cuda, "this torch was not built for CUDA")
        put("cudnn", None if cudnn is None else str(cudnn), "this torch has no cuDNN")
        put("driver", _driver_version(), "the driver does not tell its version under /proc")
    else:
        for name in ("device_name", "device_memory_bytes", "cuda", "cudnn", "driver"):
            put(name, None, f"the run was on {kind}")
    return Environment.model_validate({**values, "reasons": reasons})


def usable_cores() -> int:
    """Logical cores this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def code() -> CodeVersion:
    """The version of srbench that runs, and its commit where it runs from its own checkout.

    Asks git about the folder of the package, never about the folder the user stands in. Cached:
    what was imported is what runs, though the files may change afterwards.
    """
    version = srbench.__version__
    top = _PACKAGE.parent
    if not _is_checkout(top):
        reason = "srbench is installed from a package, not from a checkout"
        return CodeVersion(version=version, git_sha=None, dirty=None, reason=reason)
    try:
        sha = _git(top, "rev-parse", "HEAD").strip()
        changed = _git(top, "status", "--porcelain", "--", *_CODE_FOLDERS)
    except FileNotFoundError:
        reason = "git is not installed"
    except subprocess.CalledProcessError:
        reason = "git could not read the checkout"  # its message would hold the path
    except subprocess.TimeoutExpired:
        reason = "git did not answer in time"
    else:
        return CodeVersion(version=version, git_sha=sha, dirty=bool(changed.strip()))
    return CodeVersion(version=version, git_sha=None, dirty=None, reason=reason)


def _is_checkout(top: Path) -> bool:
    """Is `top` the checkout of srbench itself, and not a project with srbench copied into it?"""
    project = top / "pyproject.toml"
    if not (top / ".git").exists() or not project.is_file():
        return False
    return re.search(r'(?m)^name\s*=\s*"srbench"', project.read_text(encoding="utf-8")) is not None


def _git(top: Path, *arguments: str) -> str:
    # GIT_DIR and its like, set by a hook that started us, would lead to another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(top), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env=clean,
    ).stdout


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    found = re.search(r"(?m)^model name\s*:\s*(.+)$", text)
    return found.group(1).strip() if found else platform.processor() or None


def _cpu_quota() -> float | None:
    """Cores' worth of time per second granted by the control group, version 2 or 1."""
    limits = _read("/sys/fs/cgroup/cpu.max").split()
    if not limits:
        limits = [
            _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
            _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
        ]
    if len(limits) != 2 or not limits[0].isdigit() or not limits[1].isdigit():
        return None
    return int(limits[0]) / int(limits[1])


def _memory_bytes() -> int | None:
    """The machine's memory, or the control group's limit where that is lower."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        limit = _read(path)
        if limit.isdigit():
            memory = min(memory, int(limit))
    return memory


def _driver_version() -> str | None:
    found = re.search(
        r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", _read("/proc/driver/nvidia/version")
    )
    return found.group(1) if found else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
