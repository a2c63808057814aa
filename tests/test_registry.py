"""Models by name: ours, those of other packages, and those of a file."""

from __future__ import annotations

import subprocess
import sys
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


def test_models_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    points = {"theirs": EntryPoint("theirs", "srbench.models.pop:Pop", "srbench.models")}
    monkeypatch.setattr(registry, "_third_parties", lambda: points)
    registry.names.cache_clear()
    try:
        assert "theirs" in registry.names()
        assert registry.get("theirs").__name__ == "Pop"
    finally:
        registry.names.cache_clear()
