"""Models by name: ours, those of other packages, and those of a file."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from srbench import registry
from srbench.errors import SrbenchError
from srbench.models.base import Encoder

MINE = '''
from srbench.models.pop import Pop


class Mine(Pop):
    """Popularity by another name."""


number = 3
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_every_file_of_models_is_a_model_or_a_part() -> None:
    assert registry.names() == (
        "bert4rec",
        "fmlprec",
        "fmlprec-official",
        "glintru",
        "glintru-official",
        "gru4rec",
        "hstu",
        "itemknn",
        "lightsans",
        "lightsans-official",
        "linrec",
        "linrec-official",
        "lrurec",
        "mamba4rec",
        "markov",
        "mingru4rec",
        "mlp4rec",
        "mlp4rec-official",
        "pop",
        "recblr",
        "recblr-official",
        "sasrec",
        "sigma",
        "sigma-official",
        "sligru4rec",
        "smlp4rec",
        "smlp4rec-official",
        "tim4rec",
        "tim4rec-official",
    )
    for name in registry.names():
        kind = registry.get(name)
        assert issubclass(kind, Encoder)
        assert kind.__module__ == f"srbench.models.{name.replace('-', '_')}"


def test_the_names_come_without_torch() -> None:
    code = "import sys; from srbench.registry import names; names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["glintrue", "GLINTRU", "glint-ru", "gluntru"])
def test_an_unknown_name_brings_the_nearest(name: str) -> None:
    with pytest.raises(SrbenchError, match=r"There is no model .* Did you mean glintru") as error:
        registry.get(name)
    assert error.value.exit_code == 2


def test_a_name_near_nothing_brings_all() -> None:
    with pytest.raises(SrbenchError, match=f"Known: {', '.join(registry.names())}"):
        registry.get("xyz")


def test_a_class_of_a_file(file: Path) -> None:
    assert registry.get(f"{file}:Mine").__doc__ == "Popularity by another name."


def test_a_class_that_the_file_has_not(file: Path) -> None:
    with pytest.raises(SrbenchError, match=r"defines no Mime\. Did you mean Mine"):
        registry.get(f"{file}:Mime")


def test_a_file_with_a_fault(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(SrbenchError, match=r"broken\.py cannot be imported .*nothing_of_this_name"):
        registry.get(f"{tmp_path / 'broken.py'}:Net")


def test_something_of_a_file_that_is_no_model(file: Path) -> None:
    with pytest.raises(SrbenchError, match=r"is no model: it must be a subclass of .*Encoder"):
        registry.get(f"{file}:number")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        SrbenchError, match=r"There is no file .*none\.py to take the model Net from"
    ):
        registry.get(f"{tmp_path / 'none.py'}:Net")


# ---------------------------------------------------------------- other packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package, as pip leaves it: its code, and its entry points in a dist-info."""

    def install(package: str, code: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name.replace('_', '-')} = {package}:{where}" for name, where in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[srbench.models]", *lines, ""]))
        forget()

    def forget() -> None:
        importlib.invalidate_caches()
        registry.names.cache_clear()
        registry._third_parties.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    monkeypatch.undo()
    forget()


def test_models_of_other_packages(installed: Callable[..., None]) -> None:
    installed("sr_theirs", MINE, their_pop="Mine")
    assert "their-pop" in registry.names()
    assert registry.get("their-pop").__name__ == "Mine"
    assert not registry.is_ours(registry.get("their-pop"))
    assert registry.is_ours(registry.get("pop"))
    assert registry.passed_over() == {}


@pytest.mark.parametrize("code", ["import nothing_of_this_name", "raise SystemExit(3)", "1 / 0"])
def test_a_package_that_cannot_be_imported(code: str, installed: Callable[..., None]) -> None:
    installed("sr_broken", code, broken="Net")
    with pytest.raises(
        SrbenchError,
        match=r"^broken of sr_broken cannot be imported \(.+\); mend or uninstall it\.$",
    ):
        registry.get("broken")
    assert registry.get("pop").__name__ == "Pop"


def test_a_package_cannot_take_a_name_of_ours(installed: Callable[..., None]) -> None:
    installed("sr_theirs", MINE, pop="Mine")
    assert registry.get("pop").__name__ == "Pop"
    assert registry.passed_over() == {"pop of sr_theirs": "the name pop belongs to srbench"}


def test_of_two_packages_with_one_name_the_first_has_it(installed: Callable[..., None]) -> None:
    installed("sr_second", MINE, theirs="Mine")
    installed("sr_first", MINE.replace("Mine", "First"), theirs="First")
    assert registry.get("theirs").__name__ == "First"
    assert registry.passed_over() == {"theirs of sr_second": "the name theirs belongs to sr_first"}


# ---------------------------------------------------------------- what is no model

WHOLE = """
from pydantic import Field, model_validator
from torch import nn
from srbench.models.base import Encoder, Info, Settings


class NetSettings(Settings):
    width: int = Field(4, description="width")


class Net(Encoder):
    info = Info(family="RNN", year=2026, paper="none", reference="none", summary="A net.")
    Settings = NetSettings

    def init_table(self, table_VD):
        nn.init.normal_(table_VD)

    def forward(self, x_BLD, batch):
        return x_BLD[:, 0]
"""


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("(Encoder)", "(nn.Module)", "must be a subclass of srbench.models.base.Encoder"),
        ("info =", "about =", "has no info, an instance of srbench.models.base.Info"),
        ("info = Info", "info = dict", "has no info, an instance of srbench.models.base.Info"),
        (
            "Settings = NetSettings",
            "",
            "has no Settings, a subclass of srbench.models.base.Settings",
        ),
        ("Settings = NetSettings", "Settings = dict", "has no Settings, a subclass of"),
        ("Field(4, ", "Field(", "has a setting without a default, width"),
        ('description="width"', "ge=1", "has a setting without a description, width"),
        (
            "\n\nclass Net(",
            '\n    @model_validator(mode="after")\n    def _no(self):\n'
            '        raise ValueError("width is odd")\n\nclass Net(',
            r"refuses its own defaults \(Value error, width is odd\)",
        ),
        ("def forward", "def forwards", "has no method forward"),
        ("def init_table", "def initialise", "has no method init_table"),
        ("    Settings =", '    learns = "counts"\n    Settings =', "has no method fit_table"),
        ("    Settings =", '    learns = "sleep"\n    Settings =', "learns by 'sleep'"),
        (
            "def forward",
            "def step(self, x_BD, state):\n        return x_BD, state\n\n    def forward",
            "has only one of the methods init_state and step",
        ),
    ],
)
def test_what_a_class_lacks_is_named(old: str, new: str, lack: str, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(WHOLE, encoding="utf-8")
    assert registry.get(f"{file}:Net").__name__ == "Net"
    assert WHOLE.count(old) == 1
    file.write_text(WHOLE.replace(old, new), encoding="utf-8")
    importlib.invalidate_caches()
    with pytest.raises(SrbenchError, match=rf"is no model: it {lack}") as error:
        registry.get(f"{file}:Net")
    assert str(error.value).endswith("; see docs/adding-a-model.md.")


def test_a_file_without_a_class(file: Path) -> None:
    with pytest.raises(SrbenchError, match=r"without the class to take; write .*mine\.py:CLASS\."):
        registry.get(str(file))
