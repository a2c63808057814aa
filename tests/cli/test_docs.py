"""docs/command-line.md says what the command line does."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from srbench.cli import data, demo, measure, models, run, sizes
from srbench.cli.app import main
from srbench.cli.show import plain
from srbench.config import resolve
from srbench.config.settings import SECTIONS, TOP, RunSettings

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


def test_every_setting_is_listed_with_its_default() -> None:
    fields = {name: RunSettings.model_fields[name] for name in TOP}
    for section, cls in SECTIONS.items():
        fields |= {f"{section}.{name}": field for name, field in cls.model_fields.items()}
    expected = [
        (key, plain(field.default), field.description or "") for key, field in fields.items()
    ]
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \| (.*) \|$", TEXT, re.MULTILINE)
    listed = [tuple(cell.replace("\\|", "|") for cell in row) for row in rows]
    assert listed == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def call(*_: object, **__: object) -> Any:
        called.append(command)
        return MagicMock(n_interactions=1, n_users=1)

    for module, function in (
        (run, "_run"),
        (run, "_show_config"),
        (measure, "_measure"),
        (data, "list_"),
        (data, "_show"),
        (data, "_load"),
        (data, "_keep"),
        (data, "_write"),
        (models, "_list"),
        (models, "_explain"),
        (models, "_check"),
        (models, "put_text"),
        (demo, "_run"),
    ):
        monkeypatch.setattr(module, function, call)
    monkeypatch.setattr(sizes, "_catalogue", lambda *_: 3416)
    words = shlex.split(command.partition(">")[0])
    assert words[0] == "srbench"
    assert main(words[1:]) == 0
    assert called or words[1:] == ["data", "list"]


def test_the_file_of_settings_is_one(tmp_path: Path) -> None:
    (text,) = [block for kind, block in BLOCKS if kind == "toml"]
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    resolved = resolve("sasrec", "x", file)
    assert tomllib.loads(text)["train"]["lr"] == resolved.settings.train.lr == 0.002
    assert (resolved.settings.seed, resolved.settings.data.length) == (1, 50)
    assert resolved.settings.train.clip_norm is None
    assert resolved.settings.settings["width"] == 64
