"""The rules of the house, read from the sources: one clock, one writer, imports point one way,
and no setting is accepted and then ignored."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "srbench").rglob("*.py"), *(ROOT / "models").rglob("*.py")])

# From the ground up. A room stands on the rooms above it in this list, and on itself.
ROOMS = (
    "srbench.errors",
    "srbench.record.files",  # the one writer, which knows nothing of records
    "srbench.models",
    "srbench.registry",
    "srbench.config",
    "srbench.data",
    "srbench.record",
    "srbench.recommender",
    "srbench.contract",
    "srbench.evaluate",
    "srbench.measure",
    "srbench.train",
    "srbench.report",
    "srbench.experiment",
    "srbench.cli",
)
ROOF = ("srbench", "srbench.__main__")  # what is offered to users; may use every room

CLOCK = "srbench/measure/clock.py"
WRITER = "srbench/record/files.py"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(["srbench", *parts] if parts[0] == "models" else parts)


MODULES = {module_of(path) for path in SOURCES}


def places(path: Path, nodes: Iterator[ast.AST]) -> list[str]:
    return [f"{name_of(path)}:{getattr(node, 'lineno', 0)}" for node in nodes]


# ---------------------------------------------------------------- clocks and writers


def clocks(module: ast.Module) -> Iterator[ast.AST]:
    """Where a clock is read: any use of `time` but sleep, timeit, and CUDA's events."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "time"
    }
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
            yield from (node for alias in node.names if alias.name != "sleep")
        elif isinstance(node, ast.Import) and any(a.name == "timeit" for a in node.names):
            yield node
        elif isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            head, _, attribute = dotted.rpartition(".")
            if (head in aliases and attribute != "sleep") or dotted == "torch.cuda.Event":
                yield node


def writers(module: ast.Module) -> Iterator[ast.AST]:
    """Where a file is opened for writing or written at once."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in ("write_text", "write_bytes", "tofile", "save_file", "savetxt", "fdopen"):
            yield node
        elif called in ("open", "open_memmap", "memmap", "GzipFile", "ZipFile"):
            given = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "mode")]
            modes = [arg.value for arg in given if isinstance(arg, ast.Constant)]
            if any(re.fullmatch(r"(?=.*[wax+])[rwaxbt+]{1,3}", str(mode)) for mode in modes):
                yield node


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_one_clock(path: Path) -> None:
    if name_of(path) != CLOCK:
        assert places(path, clocks(tree(path))) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_one_writer(path: Path) -> None:
    if name_of(path) != WRITER:
        assert places(path, writers(tree(path))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import time; time.perf_counter()",
        "import time as t; t.time()",
        "from time import monotonic",
        "import timeit",
        "torch.cuda.Event(enable_timing=True)",
    ],
)
def test_a_clock_is_recognised(line: str) -> None:
    assert list(clocks(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "path.open('xb')",
        "gzip.open(path, mode='wt')",
        "path.write_text('x')",
        "np.lib.format.open_memmap(path, mode='w+')",
        "array.tofile(path)",
    ],
)
def test_a_writer_is_recognised(line: str) -> None:
    assert list(writers(ast.parse(line)))


@pytest.mark.parametrize("line", ["open(path)", "path.open('rb')", "gzip.open(path, 'rt')"])
def test_a_reader_is_no_writer(line: str) -> None:
    assert not list(writers(ast.parse(line)))


# ---------------------------------------------------------------- imports


def imports(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each srbench module that is imported, but for the type checker's own."""
    for node in _without_type_checking(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if _is_ours(a.name))
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level
        elif isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if full in MODULES else node.module


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in ("srbench", "models")


def _without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _without_type_checking(child)


def floor(module: str) -> int:
    """How high a module stands; the longest name that fits decides."""
    fits = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    if not fits:
        raise AssertionError(f"{module} stands in no room: add it to ROOMS")
    return ROOMS.index(max(fits, key=len))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_import_points_up(path: Path) -> None:
    module = module_of(path)
    if module in ROOF:
        return
    up = [
        f"{name_of(path)}:{line} imports {imported}"
        for line, imported in imports(tree(path))
        if imported != "srbench" and (imported not in MODULES or floor(imported) > floor(module))
    ]
    assert up == []


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=name_of)
def test_models_know_nothing_of_the_harness(path: Path) -> None:
    known = [name for _, name in imports(tree(path)) if not name.startswith("srbench.models")]
    assert known == []


# ---------------------------------------------------------------- settings


def settings_classes(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each pydantic class of a file and its fields."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef) and node.bases:
            fields = [
                part.target.id
                for part in node.body
                if isinstance(part, ast.AnnAssign)
                and isinstance(part.target, ast.Name)
                and "ClassVar" not in ast.unparse(part.annotation)
            ]
            if fields and node.name.endswith("Settings"):
                yield node.name, fields


def attributes_read(paths: list[Path]) -> set[str]:
    return {
        node.attr
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def _model_settings() -> list[tuple[Path, str, list[str]]]:
    models = [path for path in SOURCES if name_of(path).startswith("models/")]
    return [(path, *found) for path in models for found in settings_classes(path)]


def test_each_setting_of_the_harness_is_used() -> None:
    config = [path for path in SOURCES if module_of(path).startswith("srbench.config")]
    read = attributes_read([path for path in SOURCES if path not in config])
    classes = dict(found for path in config for found in settings_classes(path))
    assert "TrainSettings" in classes
    unused = [f"{name}.{f}" for name, fields in classes.items() for f in fields if f not in read]
    assert unused == []


def test_each_setting_of_a_model_is_used() -> None:
    found = _model_settings()
    assert found, "no model has settings: are they still called ...Settings?"
    models = {path.stem: path for path in SOURCES if name_of(path).startswith("models/")}

    def readers(path: Path) -> list[Path]:
        """The model and the parts it is made of; what is in the base is there for the harness."""
        if path.stem == "base":
            return SOURCES
        imports = [n.module or "" for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom)]
        parts = [m.removeprefix("srbench.models.") for m in imports if "srbench.models." in m]
        return [path, *(models[part] for part in [*parts, "base", "layers", "scan"])]

    unused = [
        f"{name_of(path)}: {name}.{field}"
        for path, name, fields in found
        for field in fields
        if field not in attributes_read(readers(path))
    ]
    assert unused == []


# ---------------------------------------------------------------- what is published


@cache
def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if listed.returncode != 0:
        pytest.skip("no git checkout here, so nothing is tracked")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_this_machine() -> None:
    """No home, no folder of this checkout, no package server in anything that is published."""
    private = [str(ROOT), "/wo" + "rk/main", "/wo" + "rk/shared", "/ro" + "ot/."]
    if Path.home() != Path("/root"):  # which every container has
        private.append(str(Path.home()))
    servers = ["py" + "pi.org", "python" + "hosted.org"]
    pattern = re.compile("|".join(map(re.escape, private + servers)).encode())
    named = [name_of(path) for path in tracked() if pattern.search(path.read_bytes())]
    assert named == []


def test_no_file_is_unfinished() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")))
    sources = [path for path in tracked() if path.suffix in (".py", ".toml", ".md", ".yml")]
    unfinished = [name_of(path) for path in sources if marks.search(path.read_text("utf-8"))]
    assert unfinished == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path))
