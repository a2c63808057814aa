"""`srbench models`: the list, one model explained, and third parties' faults."""

from __future__ import annotations

import json
import re
from pathlib import Path
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
    (gru4rec,) = (line for line in lines if line.startswith("gru4rec "))
    paper = {80: "Hidasi et al.", 120: "Hidasi et al., Session-based Recommendations with RNNs, I…"}
    expected = ["gru4rec", "2016", "81,984 + 64", "prefixes step pads", paper[width]]
    assert re.split(r" {2,}", gru4rec.strip()) == expected
    (official,) = (line for line in lines if line.startswith("glintru-official "))
    assert not {"prefixes", "step", "pads"} & set(official.split())


def test_the_list_goes_by_family_and_year(capsys: pytest.CaptureFixture[str]) -> None:
    families = {name: model["family"] for name, model in listed(capsys).items()}
    assert main(["models"]) == 0
    first = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    shown = [word for word in first if word in families or word in families.values()]
    headings = [word for word in shown if word in families.values()]
    assert headings == ["RNN", "Transformer", "MLP", "SSM", "reference"]
    heading = ""
    for word in shown:
        heading = word if word in headings else heading
        assert word == heading or families[word] == heading
    assert shown.index("gru4rec") < shown.index("glintru") < shown.index("glintru-official")
    assert shown[-3:] == ["pop", "itemknn", "markov"]


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


MINE = """
from srbench.models.pop import Pop


class Mine(Pop):
    \"\"\"Popularity, which looks at what stands behind the end.\"\"\"

    def forward(self, x_BLD, batch):
        return x_BLD[:, -1]
"""


@pytest.fixture
def broken_file(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    return f"{tmp_path / 'mine.py'}:Mine"


def test_a_model_of_a_file_is_explained(
    broken_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", broken_file]) == 0
    assert "Popularity, which looks" in capsys.readouterr().out


def test_check_says_who_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "markov", "--check"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("markov keeps its contract: forward, pads, ")
    assert shown.err == ""


def test_check_says_what_is_broken(broken_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", broken_file, "--check"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"srbench: {broken_file} breaks its contract (forward): forward of " in shown.err
    assert shown.err.count("\n") == 1


def test_check_of_all_goes_on_behind_a_broken_one(
    broken_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    get = registry.get
    monkeypatch.setattr(registry, "names", lambda: ("markov", "mine", "pop"))
    monkeypatch.setattr(registry, "get", lambda name: get(broken_file if name == "mine" else name))
    assert main(["models", "--check"]) == 2
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()] == ["markov", "pop"]
    first, last = shown.err.splitlines()
    assert first.startswith("srbench: mine breaks its contract (forward): ")
    assert last == "srbench: 1 of 3 models failed: mine."


def test_a_plugin_that_breaks_its_contract_is_named(
    broken_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    get = registry.get
    monkeypatch.setattr(registry, "names", lambda: ("markov", "mine"))
    monkeypatch.setattr(registry, "get", lambda name: get(broken_file if name == "mine" else name))
    assert main(["models"]) == 0
    shown = capsys.readouterr()
    assert "markov" in shown.out and "mine" not in shown.out
    assert shown.err.startswith("warning: mine cannot be used: mine breaks its contract (forward)")
    assert shown.err.count("\n") == 1


def test_a_plugin_whose_name_is_taken_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "names", lambda: ("pop",))
    taken = {"pop of theirs": "the name pop belongs to srbench"}
    monkeypatch.setattr(registry, "passed_over", lambda: taken)
    assert main(["models"]) == 0
    expected = "warning: pop of theirs cannot be used: the name pop belongs to srbench\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "words",
    [["--names", "--json"], ["--check", "--json"], ["--names", "--check"], ["pop", "--names"]],
)
def test_options_that_exclude_each_other(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *words]) == 2
    assert capsys.readouterr().err.startswith("srbench: --names")
