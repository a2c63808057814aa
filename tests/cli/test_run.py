"""`srbench run`: what it hands on, what it prints and how it ends."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from srbench.cli.app import main
from srbench.config import Resolved
from srbench.experiment import cell
from srbench.experiment.listener import Listener
from srbench.record.schema import Record

POP = ["run", "--model", "pop", "--dataset", "synthetic"]


class Cell:
    """Stands for the run itself: keeps what it was given, tells a little, returns a record."""

    def __init__(self, ends: Record | BaseException) -> None:
        self.ends = ends
        self.resolved: Resolved | None = None
        self.given: dict[str, Any] = {}

    def run(self, resolved: Resolved, *, listener: Listener, **given: Any) -> Record:
        self.resolved, self.given = resolved, given
        listener.warning("The machine is busy.", "Wait.")
        if isinstance(self.ends, BaseException):
            raise self.ends
        return self.ends


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, record: Record) -> Cell:
    stand_in = Cell(record)
    monkeypatch.setattr(cell, "run", stand_in.run)
    return stand_in


# ---------------------------------------------------------------- what is handed on


def test_options_become_settings(ran: Cell, tmp_path: Path) -> None:
    options = "seed=3 epochs=4 length=50 device=cpu time-ties=item columns=u,i,t"
    arguments = [f"--{option}" for option in options.split(" ")]
    arguments += ["--set", "train.lr=0.5", "--set", "threads=1", "--fresh"]
    paths = ["--results", str(tmp_path / "r"), "--data-dir", str(tmp_path)]
    assert main([*POP, *arguments, *paths]) == 0
    assert ran.resolved is not None
    settings, origins = ran.resolved.settings, ran.resolved.origins
    assert (settings.model, settings.dataset, settings.seed) == ("pop", "synthetic", 3)
    assert (settings.train.epochs, settings.train.lr) == (4, 0.5)
    assert (settings.data.length, settings.data.time_ties) == (50, "item")
    assert (settings.device, settings.threads) == ("cpu", 1)
    assert (origins["seed"], origins["train.lr"], origins["train.patience"]) == (
        "flag",
        "--set",
        "default",
    )
    assert ran.given == {
        "results": tmp_path / "r",
        "data_dir": tmp_path,
        "columns": "u,i,t",
        "fresh": True,
    }


def test_what_is_not_given_is_left_to_the_layers(ran: Cell) -> None:
    assert main(POP) == 0
    assert ran.resolved is not None
    assert set(ran.resolved.origins.values()) == {"default"}
    assert ran.given == {
        "results": Path("results"),
        "data_dir": None,
        "columns": None,
        "fresh": False,
    }


def test_a_file_of_settings(ran: Cell, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nlr = 0.25\n", encoding="utf-8")
    assert main([*POP, "--config", str(file)]) == 0
    assert ran.resolved is not None
    assert ran.resolved.settings.train.lr == 0.25
    assert ran.resolved.origins["train.lr"] == "file mine.toml"


# ---------------------------------------------------------------- what is printed


def test_the_result_goes_to_standard_output(ran: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*POP, "--results", "here"]) == 0
    shown = capsys.readouterr()
    assert "0.1100" in shown.out  # the record's NDCG@10
    assert "record: here/synthetic/gru4rec-seed3-0123456789ab.json" in shown.out
    assert shown.err == "warning: The machine is busy. Wait.\n"


@pytest.mark.parametrize("flags", [["--json"], ["--json", "--quiet"], ["--json", "--verbose"]])
def test_json_is_the_record_and_nothing_else(
    ran: Cell, record: Record, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*POP, *flags]) == 0
    shown = capsys.readouterr()
    assert shown.out == record.to_json()
    assert json.loads(shown.out)["test"]["ndcg@10|full|seen:keep|ties:half|loo|v1"] == 0.11
    told = "warning: The machine is busy. Wait.\nrecord: results/synthetic/gru4rec-seed3-"
    assert shown.err == "" if "--quiet" in flags else shown.err.startswith(told)


def test_quiet_prints_nothing(ran: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*POP, "--quiet"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


# ---------------------------------------------------------------- how it ends


@pytest.mark.parametrize("status", ["failed", "out of memory"])
@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--json"]])
def test_a_failed_run_ends_with_1_and_says_why(
    ran: Cell,
    record: Record,
    status: str,
    flags: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = {"status": status, "reason": "The loss was not finite; lower train.lr."}
    ran.ends = record.model_copy(update=failed)
    assert main([*POP, *flags]) == 1
    shown = capsys.readouterr()
    sentence = f"srbench: The run ended with {status}: The loss was not finite; lower train.lr.\n"
    assert shown.err.endswith(sentence)
    if "--json" in flags:
        assert json.loads(shown.out)["status"] == status


@pytest.mark.parametrize("how", ["raised", "recorded"])
def test_an_interrupted_run_says_how_to_go_on(
    ran: Cell,
    record: Record,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted = record.model_copy(update={"status": "interrupted", "reason": "Ctrl-C"})
    ran.ends = KeyboardInterrupt() if how == "raised" else interrupted
    arguments = [*POP, "--fresh", "--results", "my results"]
    monkeypatch.setattr("sys.argv", ["srbench", *arguments])
    assert main(arguments) == 130
    told = capsys.readouterr().err
    assert "To go on: srbench run --model pop --dataset synthetic --results 'my results'\n" in told
    assert "With --fresh it starts again" in told


@pytest.mark.slow
def test_ctrl_c_from_the_shell(tmp_path: Path) -> None:
    words = ["run", "--model", "gru4rec", "--dataset", "synthetic:users=60,items=150,length=8"]
    words += ["--epochs", "100000", "--set", "train.patience=100000", "--results", str(tmp_path)]
    started = subprocess.Popen(
        [sys.executable, "-m", "srbench", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs deaf to Ctrl-C, and the tests may be one of them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("epoch 2/"):
            break
    started.send_signal(signal.SIGINT)
    told = started.stderr.read()
    assert started.wait(timeout=120) == 130
    assert f"To go on: srbench {shlex.join(words)}\n" in told
    assert "Traceback" not in told
    (failed,) = tmp_path.glob("*/*.failed.json")
    record = json.loads(failed.read_text("utf-8"))
    assert record["status"] == "interrupted"
    assert record["training"]["epochs"] >= 2


# ---------------------------------------------------------------- --show-config


@pytest.mark.parametrize("width", [80, 120])
def test_show_config_is_a_table(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    arguments = ["--model", "glintru", "--dataset", "ml-1m", "--seed", "2"]
    assert main(["run", *arguments, "--set", "train.lr=0.002", "--show-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    cells = [line.split() for line in lines]
    assert ["seed", "2", "flag"] in [row[:3] for row in cells]
    assert ["train.lr", "0.002", "--set"] in [row[:3] for row in cells]
    assert ["model.width", "128", "preset"] in [row[:3] for row in cells]
    assert ["train.clip_norm", "none", "default"] in [row[:3] for row in cells]
    assert ["train.compile", "false", "default"] in [row[:3] for row in cells]


def test_show_config_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "sasrec", "--dataset", "x.csv", "--show-config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["dataset"]) == ("sasrec", "x.csv")
    assert document["settings"]["train.stride"] == {"value": None, "origin": "default"}
    assert document["settings"]["model.heads"] == {"value": 2, "origin": "preset sasrec/any"}


# ---------------------------------------------------------------- the real thing, once


def test_a_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Popularity on synthetic data needs no training, so the whole path takes a second."""
    results = ["--results", str(tmp_path)]
    small = ["run", "--model", "pop", "--dataset", "synthetic:users=60,items=150,length=8"]
    assert main([*small, *results, "--json", "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "ok"
    protocols = {signature.split("|", 1)[1] for signature in record["test"]}
    assert protocols == {
        "full|seen:keep|ties:half|loo|v1",
        "full|seen:drop|ties:half|loo|v1",
        "uni100|seen:drop|ties:half|loo|v1",
        "pop100|seen:drop|ties:half|loo|v1",
    }
    (path,) = tmp_path.glob("*/pop-seed0-*.json")
    assert json.loads(path.read_text("utf-8")) == record
