"""`srbench models`: the list, one model explained, and third parties' faults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from srbench import registry
from srbench.cli.app import main

SUPPORTS = {"prefixes", "step", "pads_absent", "trained"}


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["models", "--json"]) == 0
    return {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}


def test_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--names"]) == 0
    assert tuple(capsys.readouterr().out.splitlines()) == registry.names()


def test_every_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    models = listed(capsys)
    assert tuple(models) == registry.names()
    gru4rec = models["gru4rec"]
    # GRU 64 -> 128 without biases, and a linear layer back to 64 with one
    assert gru4rec["encoder_parameters"] == 3 * 128 * (64 + 128) + 128 * 64 + 64
    assert gru4rec["item_parameters"] == 64
    assert (gru4rec["family"], gru4rec["year"]) == ("RNN", 2016)
    assert {name for name in SUPPORTS if gru4rec[name]} == SUPPORTS
    assert not models["glintru-official"]["pads_absent"]
    assert (models["pop"]["year"], models["pop"]["trained"]) == (None, False)


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_fits_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    first = [line.split()[0] for line in lines if line.strip()]
    assert set(registry.names()) <= set(first)


@pytest.mark.parametrize("name", registry.names())
def test_each_model_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", name, "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    model = registry.get(name)
    assert [row["name"] for row in explained["settings"]] == [
        f"model.{field}" for field in model.Settings.model_fields
    ]
    assert all(row["description"] and row["allowed"] for row in explained["settings"])
    assert explained["paper"] == model.info.paper
    assert main(["models", name]) == 0
    text = capsys.readouterr().out
    assert explained["summary"] in text
    assert all(row["name"] in text for row in explained["settings"])


def test_equations_are_not_wrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["models", "gru4rec"]) == 0
    text = capsys.readouterr().out
    assert "\n    n_t = tanh(W_n x_t + r_t * (U_n h_{t-1}))   h_t = (1 - z_t)" in text


def test_a_preset_is_shown_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gru4rec"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "preset any: model.width 64" in text
    assert "from RecBole 1.2.1" in text


def test_a_broken_plugin_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    get = registry.get

    def broken(name: str) -> Any:
        if name == "sasrec":
            raise ImportError("No module named 'fast_kernels'")
        return get(name)

    monkeypatch.setattr(registry, "get", broken)
    assert main(["models"]) == 0
    shown = capsys.readouterr()
    assert "gru4rec" in shown.out
    assert (
        shown.err == "warning: sasrec cannot be used: ImportError: No module named 'fast_kernels'\n"
    )
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["broken"] == {
        "sasrec": "ImportError: No module named 'fast_kernels'"
    }
