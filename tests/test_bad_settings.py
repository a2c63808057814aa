"""Settings that a model cannot have are refused, in one sentence and before any data is looked for.

Every registered model is asked, by the names of its settings; what is an exception is listed.
"""

from __future__ import annotations

from typing import Any

import pytest

from srbench.cli.app import main
from srbench.experiment import cell
from srbench.models import mamba
from srbench.registry import get, names

# Settings that may be 0: nothing of it is a model too.
MAY_BE_ZERO: set[tuple[str, str]] = {("sigma", "kept")}
# Heads that divide something else than the width, or nothing.
HEADS_OF_THEIR_OWN: set[str] = {"hstu"}  # a head has the widths dqk and dv
# What makes a model have heads at all.
WITH_HEADS = {"fmlprec": ["model.filters=false"], "fmlprec-official": ["model.filters=false"]}


def fields(name: str, kind: type) -> list[str]:
    return [f for f, field in get(name).Settings.model_fields.items() if field.annotation is kind]


def having(*wanted: str) -> list[tuple[str, str]]:
    return [(name, f) for name in names() for f in get(name).Settings.model_fields if f in wanted]


def cases() -> list[Any]:
    """Each as (model, settings, a part of the sentence)."""
    found: list[Any] = []
    for name in names():
        for field in fields(name, int):
            least = 0 if (name, field) in MAY_BE_ZERO else 1
            wanted = (
                f"model.{field} = {least - 1} (--set) is not possible; it must be a whole number"
            )
            found.append((name, [f"model.{field}={least - 1}"], wanted))
        for field in (f for f in fields(name, float) if f.endswith("dropout")):
            for value in ("1.0", "-0.1"):
                wanted = f"model.{field} = {value} (--set) is not possible; it must be a number"
                found.append((name, [f"model.{field}={value}"], wanted))
        for field in fields(name, bool):
            wanted = f"model.{field} = 3 (--set) is not possible; it must be true or false"
            found.append((name, [f"model.{field}=3"], wanted))
        found.append((name, ["model.widht=3"], "Unknown setting model.widht (--set)."))
    for name, field in having("heads"):
        if name not in HEADS_OF_THEIR_OWN:
            wanted = "The model's settings do not fit: heads (3) must divide "
            settings = [f"model.{field}=3", "model.width=8", *WITH_HEADS.get(name, [])]
            found.append((name, settings, wanted))
    for name in names():
        for field, other, value in get(name).Settings.idle:
            default = get(name).Settings.model_fields[field].default
            changed = not default if isinstance(default, bool) else default / 2
            if isinstance(default, int) and not isinstance(default, bool):
                changed = default * 2
            text = str(value).lower()
            wanted = f"The model's settings do not fit: {field} has no effect with {other} = {text}"
            chosen = [f"model.{field}={str(changed).lower()}", f"model.{other}={text}"]
            found.append((name, chosen, f"{wanted}: leave it out."))
    for name, field in having("kernel"):
        wanted = "The model's settings do not fit: kernel (4) must be odd."
        found.append((name, [f"model.{field}=4"], wanted))
    for name, field in having("kernel", "taps"):
        wanted = f"The model's settings do not fit: {field} (7) must not be larger than data.length"
        found.append((name, [f"model.{field}=7", "data.length=6"], f"{wanted} (6)."))
    return found


@pytest.mark.parametrize("name", [name for name, _ in having("scan")])
def test_a_kernel_of_a_gpu_is_refused_on_a_cpu(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there are both the package and a GPU, which is not to be used."""
    monkeypatch.setattr(mamba, "has_mamba_ssm", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    asked = ["run", "--model", name, "--dataset", "synthetic", "--set", "model.scan=mamba-ssm"]
    assert main([*asked, "--device", "cpu"]) == 2
    assert capsys.readouterr().err == (
        "srbench: The model's settings do not fit: scan = mamba-ssm runs on a GPU alone: leave it "
        "at auto.\n"
    )


def test_the_exceptions_exist() -> None:
    for name, field in MAY_BE_ZERO:
        assert getattr(get(name).Settings(**{field: 0}), field) == 0
    assert {name for name, _ in having("heads")} >= HEADS_OF_THEIR_OWN


@pytest.mark.parametrize(
    ("name", "settings", "sentence"), cases(), ids=lambda x: ",".join(x) if type(x) is list else ""
)
def test_refused_before_any_data_is_loaded(
    name: str,
    settings: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(cell, "load", lambda *given, **_: loaded.append(given))
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["run", "--model", name, "--dataset", "synthetic", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"srbench: {sentence}")
    assert shown.err.count("\n") == 1
    assert loaded == []
