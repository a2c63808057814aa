"""What is installed: the whole tree, in its place, and light until it is used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "pandas", "matplotlib", "numpy")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def files_of(folder: str) -> set[str]:
    """Every file of a folder of the checkout, as paths inside that folder."""
    base = ROOT / folder
    paths = (path for path in base.rglob("*") if path.is_file())
    return {p.relative_to(base).as_posix() for p in paths if "__pycache__" not in p.parts}


def python(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the checkout with the setuptools that is installed."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("srbench", "models"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    done = python("-c", build, cwd=copy)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(copy / "dist" / done.stdout.split()[-1])


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {f"srbench/{name}" for name in files_of("srbench")}
    expected |= {f"srbench/models/{name}" for name in files_of("models")}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(held) == sorted(expected)


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    info = f"srbench-{_version()}.dist-info"
    assert wheel.read(f"{info}/top_level.txt").decode().split() == ["srbench"]
    assert "srbench = srbench.cli.app:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def test_models_cannot_be_imported_twice() -> None:
    done = python("-c", "import models", cwd=ROOT)
    assert done.returncode == 1
    assert "ImportError: import srbench.models, not models" in done.stderr


def test_models_are_imported_as_a_part_of_srbench(tmp_path: Path) -> None:
    done = python("-c", "import srbench.models.base as base; print(base.__name__)", cwd=tmp_path)
    assert done.stdout.strip() == "srbench.models.base", done.stderr


def test_importing_srbench_is_light(tmp_path: Path) -> None:
    assert _heavy_after("import srbench", tmp_path) == []


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    show_help = (
        "from typer.testing import CliRunner\n"
        "from srbench.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0"
    )
    assert _heavy_after(show_help, tmp_path) == []


def _heavy_after(code: str, cwd: Path) -> list[str]:
    report = f"{code}\nimport sys\nprint('found', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = python("-c", report, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1:]


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="processor time of a child needs os.wait4")
def test_help_answers_at_once(tmp_path: Path) -> None:
    """In 0.3 s of processor time. The clock on the wall counts other programs too, so it is held
    against a Python that does nothing, timed in turn: 0.03 s where the help takes 0.2 s."""
    full = [str(Path(sys.executable).with_name("srbench")), "--help"]
    bare = [sys.executable, "-c", "pass"]
    _timed(full, tmp_path)  # the first try may have to compile
    tries = [(_timed(full, tmp_path), _timed(bare, tmp_path)) for _ in range(5)]
    assert min(processor for (_, processor), _ in tries) < 0.3, tries
    assert min(wall for (wall, _), _ in tries) < 20 * min(wall for _, (wall, _) in tries), tries


def _timed(command: list[str], cwd: Path) -> tuple[float, float]:
    """Seconds on the wall and of the processor."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return wall, usage.ru_utime + usage.ru_stime


def test_each_requirement_is_pinned() -> None:
    needed = project()["project"]["dependencies"] + ["setuptools"]
    for extra in project()["project"]["optional-dependencies"].values():
        needed += extra
    names = {_canonical(re.split(r"[<>=!~\[; ]", need)[0]) for need in needed}
    assert names <= {name for name, _ in _pins()}


def test_pins_fit_every_machine() -> None:
    """Plain versions only: no local builds (+cpu), addresses or paths."""
    for name, version in _pins():
        assert re.fullmatch(r"\d+(\.\d+)*(\.?(post|rc|a|b)\d+)?", version), (name, version)


def test_requirements_have_floors_and_no_caps() -> None:
    for need in project()["project"]["dependencies"]:
        assert re.fullmatch(r"[a-z-]+>=\d+(\.\d+)*", need)


def test_the_changelog_knows_the_version() -> None:
    assert f"## {_version()}" in (ROOT / "CHANGELOG.md").read_text()


def _version() -> str:
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "srbench/__init__.py").read_text())
    assert found
    return found[1]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins() -> list[tuple[str, str]]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return [(_canonical(name), version) for name, version in pairs]
