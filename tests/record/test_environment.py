"""The machine and the code as a record names them, and what it must not name."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import srbench
from srbench.record import environment as module
from srbench.record.environment import code, environment
from srbench.record.private import without_paths


@pytest.fixture(autouse=True)
def _uncached() -> Iterator[None]:
    code.cache_clear()
    yield
    code.cache_clear()


def test_this_machine() -> None:
    seen = environment("cpu")
    assert seen.torch == torch.__version__
    assert seen.python == platform.python_version()
    assert seen.threads == torch.get_num_threads()
    assert seen.cores >= 1
    assert seen.memory_bytes is None or seen.memory_bytes > 2**20
    assert seen.device == "cpu"
    assert seen.reasons["cuda"] == "the run was on cpu"


def test_neither_path_nor_user_nor_host_name() -> None:
    seen = environment("cpu").model_dump()
    assert without_paths(seen) == seen
    text = json.dumps(seen) + code().model_dump_json()
    words = {str(Path.home()), str(Path.cwd()), str(Path(srbench.__file__).parent.parent)}
    assert not [word for word in words if word in text]
    for name in {platform.node(), getpass.getuser()}:
        assert f'"{name}"' not in text


def test_limits_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/sys/fs/cgroup/cpu.max": "150000 100000", "/sys/fs/cgroup/memory.max": "1048576"}
    monkeypatch.setattr(module, "_read", lambda path: files.get(path, ""))
    seen = environment("cpu")
    assert seen.cpu_quota == 1.5
    assert seen.memory_bytes == 1048576
    files["/sys/fs/cgroup/cpu.max"] = "max 100000"
    files["/sys/fs/cgroup/memory.max"] = "max"
    seen = environment("cpu")
    assert seen.cpu_quota is None
    assert seen.reasons["cpu_quota"] == "no limit is set"


def test_limits_of_the_first_kind_of_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    }
    monkeypatch.setattr(module, "_read", lambda path: files.get(path, ""))
    assert environment("cpu").cpu_quota is None
    files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "400000"
    assert environment("cpu").cpu_quota == 4.0


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19", "535.129.03"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build",
            "570.86.15",
        ),
        ("", None),
    ],
)
def test_the_drivers_version(
    monkeypatch: pytest.MonkeyPatch, line: str, version: str | None
) -> None:
    monkeypatch.setattr(module, "_read", lambda path: line)
    assert module._driver_version() == version


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu() -> None:
    seen = environment("cuda")
    assert seen.device == "cuda"
    assert seen.device_name == torch.cuda.get_device_name()
    assert seen.device_memory_bytes is not None
    assert seen.cuda == torch.version.cuda
    assert seen.cudnn is not None


def checkout(folder: Path, *, project: str = "srbench") -> str:
    """A small git checkout that looks like srbench's; returns its commit."""
    (folder / "srbench").mkdir(parents=True)
    (folder / "srbench" / "a.py").write_text("1\n")
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_the_commit_and_whether_the_code_differs_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = checkout(tmp_path)
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "srbench")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.json").write_text("{}")
    seen = code()
    assert (seen.git_sha, seen.dirty, seen.reason) == (sha, False, None)
    assert seen.version == srbench.__version__
    (tmp_path / "srbench" / "new.py").write_text("2\n")
    assert code() is seen, "what was imported is what runs"
    code.cache_clear()
    assert code().dirty is True


@needs_git
def test_the_repository_the_user_stands_in_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path / "theirs")
    sha = checkout(tmp_path / "ours")
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "ours" / "srbench")
    assert code().git_sha == sha


@needs_git
@pytest.mark.parametrize("case", ["another project", "installed"])
def test_no_commit_where_srbench_is_not_in_its_own_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if case == "another project":
        checkout(tmp_path, project="theirs")
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "srbench")
    seen = code()
    assert (seen.git_sha, seen.dirty) == (None, None)
    assert seen.reason == "srbench is installed from a package, not from a checkout"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(), "git is not installed"),
        (subprocess.CalledProcessError(128, "git"), "git could not read the checkout"),
        (subprocess.TimeoutExpired("git", 1), "git did not answer in time"),
    ],
)
def test_no_commit_where_git_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "srbench"\n')
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "srbench")

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert code().reason == reason
