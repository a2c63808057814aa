"""Whole runs on small synthetic data: the record, resuming, failing and stopping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srbench.config import resolve
from srbench.errors import SrbenchError
from srbench.experiment import cell
from srbench.experiment.listener import Listener
from srbench.record.schema import Record
from srbench.record.store import Store
from srbench.registry import get

DATA = "synthetic:users=120,items=40,seed=3"
SMALL = {
    "gru4rec": {"model.width": 8, "model.hidden": 8},
    "sasrec": {"model.width": 8, "model.heads": 2, "model.inner": 16, "model.dropout": 0.1},
    "glintru": {"model.width": 8, "model.heads": 2},
    "bert4rec": {"model.width": 8, "model.heads": 2, "model.inner": 16},
    "glintru-official": {"model.width": 8, "model.heads": 2, "train.prefixes_per_user": 1},
    "pop": {},
}


def run(
    folder: Path,
    model: str = "gru4rec",
    dataset: str = DATA,
    listener: Listener | None = None,
    **flags: Any,
) -> Record:
    small = SMALL[model] | {"data.length": 10, "train.epochs": 4, "train.lr": 0.01}
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return cell.run(resolve(model, dataset, flags=small | given), results=folder, listener=listener)


def ranks(folder: Path, record: Record) -> dict[str, Any]:
    return {n: a for n, a in Store(folder).arrays(record).items() if n.startswith("ranks/")}


def assert_same_ranks(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys() and len(one) == 5  # four protocols and the users
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


class StopIn(Listener):
    """Presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, epoch: int, done_targets: int, targets: int, loss: float | None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


class Told(Listener):
    """Remembers where a training went on."""

    behind: tuple[int, int] | None = None

    def resumed(self, epoch: int, epochs: int) -> None:
        self.behind = (epoch, epochs)


def test_the_record_says_whose_kernel_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path / "ours", "pop").model.kernel == "torch"
    monkeypatch.setattr(get("pop"), "kernel", "of another package")
    assert run(tmp_path / "theirs", "pop").model.kernel == "of another package"


@pytest.mark.parametrize("model", SMALL)
def test_every_model_runs_from_data_to_record(tmp_path: Path, model: str) -> None:
    record = run(tmp_path, model)
    assert record.status == "ok" and record.reason is None
    assert len(record.test) == 4 * 3 * 5  # protocols, metrics, cut-offs
    assert set(record.validation) == set(record.test)
    assert all(0 <= value <= 1 for value in record.test.values())
    assert record.data.oracle is not None
    signature = "ndcg@10|full|seen:drop|ties:half|loo|v1"
    assert record.test[signature] < record.data.oracle[signature]
    assert Store(tmp_path).records() == [
        record.model_copy(update={"arrays": record_arrays(tmp_path)})
    ]
    stored = ranks(tmp_path, record_of(tmp_path))
    recomputed = np.where(stored["ranks/full|seen:drop"] <= 10, 1, 0).mean()
    assert record.test["hr@10|full|seen:drop|ties:half|loo|v1"] == pytest.approx(recomputed)
    assert not list(tmp_path.glob("**/*.safetensors"))
    for name in ("time.epoch", "time.evaluate", "flops.request", "memory.process.peak"):
        assert (record.measured(name) or 0) > 0, name


def record_of(folder: Path) -> Record:
    (record,) = Store(folder).records()
    return record


def record_arrays(folder: Path) -> Any:
    return record_of(folder).arrays


def test_learning_beats_popularity(tmp_path: Path) -> None:
    data = "synthetic:users=400,items=60,seed=3"
    signature = "ndcg@10|full|seen:drop|ties:half|loo|v1"
    pop = run(tmp_path, "pop", data).test[signature]
    gru = run(tmp_path, "gru4rec", data, train__epochs=15, model__width=16, model__hidden=32)
    assert gru.test[signature] > 1.1 * pop
    assert gru.training is not None
    assert gru.training.curve[-1].loss < gru.training.curve[0].loss


@pytest.mark.parametrize("model", ["gru4rec", "sasrec", "glintru"])
def test_the_same_run_twice_gives_the_same_ranks(tmp_path: Path, model: str) -> None:
    first, second = (run(tmp_path / name, model) for name in ("a", "b"))
    assert first.key == second.key
    assert_same_ranks(
        ranks(tmp_path / "a", record_of(tmp_path / "a")),
        ranks(tmp_path / "b", record_of(tmp_path / "b")),
    )
    other = run(tmp_path / "c", model, seed=1)
    assert other.key != first.key
    assert other.test != first.test


@pytest.mark.parametrize("model", ["gru4rec", "sasrec", "glintru", "bert4rec"])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path, model: str) -> None:
    whole = run(tmp_path / "whole", model)
    broken = run(tmp_path / "broken", model, listener=StopIn(3))
    assert broken.status == "interrupted"
    assert broken.training is not None and broken.training.epochs == 2
    assert list((tmp_path / "broken").glob("*/*.failed.json"))
    told = Told()
    resumed = run(tmp_path / "broken", model, listener=told)
    assert told.behind == (2, 4)
    assert resumed.status == "ok" and resumed.key == whole.key
    assert resumed.training is not None and resumed.training.resumed_from == [2]
    assert not list((tmp_path / "broken").glob("*/*.failed.json"))
    assert_same_ranks(
        ranks(tmp_path / "whole", record_of(tmp_path / "whole")),
        ranks(tmp_path / "broken", record_of(tmp_path / "broken")),
    )
    assert whole.training is not None
    losses = [[row.loss for row in record.training.curve] for record in (whole, resumed)]
    assert losses[0] == losses[1]


def test_fresh_forgets_the_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, listener=StopIn(3))
    record = cell.run(
        resolve(
            "gru4rec",
            DATA,
            flags=SMALL["gru4rec"] | {"data.length": 10, "train.epochs": 4, "train.lr": 0.01},
        ),
        results=tmp_path,
        fresh=True,
    )
    assert record.training is not None and record.training.resumed_from == []


def test_killed_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    words = ["--model", "gru4rec", "--dataset", DATA, "--epochs", "6", "--length", "10"]
    words += ["--set", "model.width=8", "--set", "model.hidden=8", "--set", "train.batch_tokens=40"]
    command = [sys.executable, "-m", "srbench", "run", *words]
    killed = subprocess.Popen([*command, "--results", str(tmp_path / "killed"), "--quiet"])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("killed/.checkpoints/*.safetensors")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not list(tmp_path.glob("killed/*/*.json"))
    documents = []
    for folder in ("killed", "whole"):
        done = subprocess.run(
            [*command, "--results", str(tmp_path / folder), "--json"],
            capture_output=True,
            check=True,
            env={**os.environ},
        )
        documents.append(json.loads(done.stdout))
    assert documents[0]["training"]["resumed_from"] != []
    assert documents[1]["training"]["resumed_from"] == []
    assert documents[0]["test"] == documents[1]["test"]
    assert_same_ranks(
        ranks(tmp_path / "killed", record_of(tmp_path / "killed")),
        ranks(tmp_path / "whole", record_of(tmp_path / "whole")),
    )


def test_a_damaged_checkpoint_is_refused_and_kept(tmp_path: Path) -> None:
    run(tmp_path, listener=StopIn(3))
    (checkpoint,) = tmp_path.glob(".checkpoints/*")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    with pytest.raises(SrbenchError, match="--fresh"):
        run(tmp_path)
    assert checkpoint.exists()


def test_a_loss_that_turns_nan_is_a_failed_run_with_advice(tmp_path: Path) -> None:
    record = run(tmp_path, train__lr=1e30, train__batch_tokens=50)
    assert record.status == "failed"
    assert record.reason is not None
    assert "not finite" in record.reason and "train.lr" in record.reason
    assert record.test == {}


def test_a_failure_never_replaces_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = run(tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("srbench.experiment.cell.evaluate", interrupted)
    assert run(tmp_path).status == "interrupted"
    assert record_of(tmp_path).test == good.test


def test_no_memory_is_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("srbench.train.step.cross_entropy", no_memory)
    record = run(tmp_path)
    assert record.status == "out of memory"
    assert record.reason is not None and "train.batch_tokens" in record.reason


def test_another_error_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object, **__: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("srbench.train.step.cross_entropy", fault)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(tmp_path)


def test_two_of_the_same_run_at_once(tmp_path: Path) -> None:
    class Second(Listener):
        said = ""

        def epoch_begins(self, epoch: int, epochs: int, targets: int) -> None:
            if epoch == 1:
                with pytest.raises(SrbenchError) as error:
                    run(tmp_path)
                Second.said = str(error.value)

    assert run(tmp_path, listener=Second()).status == "ok"
    assert "is running this very run" in Second.said


def test_a_read_only_results_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SrbenchError, match="file"):
        run(tmp_path / "file" / "results")


def test_no_gpu_is_one_sentence(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SrbenchError, match="no CUDA device"):
        run(tmp_path, device="cuda")


def test_all_positions_asked_of_a_model_that_cannot(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match=r"train\.supervision=last"):
        run(tmp_path, "glintru-official", train__supervision="all", train__prefixes_per_user=None)


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    record = run(tmp_path, train__lr=0.3, train__epochs=60, train__patience=2)
    training = record.training
    assert training is not None and training.best_epoch is not None
    assert training.epochs == training.best_epoch + 2 < 60
    assert training.stopped_because == "no gain on validation in 2 validations"
    selected = "ndcg@10|full|seen:drop|ties:half|loo|v1"
    values = [row.validation[selected] for row in training.curve if row.validation]
    assert max(values) == values[training.best_epoch - 1]
    assert record.validation[selected] == values[training.best_epoch - 1]


def test_the_rate_falls_to_nothing(tmp_path: Path) -> None:
    plain, falling = run(tmp_path), run(tmp_path, train__schedule="linear")
    assert plain.key != falling.key
    assert plain.training is not None and falling.training is not None
    assert plain.training.curve[0].loss == falling.training.curve[0].loss  # one step
    assert plain.training.curve[-1].loss != falling.training.curve[-1].loss


def test_the_command_makes_the_record_again(tmp_path: Path) -> None:
    record = run(tmp_path, seed=5)
    words = record.command.split()
    assert words[:2] == ["srbench", "run"]
    overrides = [words[i + 1].strip("'") for i, w in enumerate(words) if w == "--set"]
    again = resolve("gru4rec", DATA, overrides=overrides, flags={"seed": 5})
    assert cell.run(again, results=tmp_path / "again").key == record.key


def test_supervision_on_prefixes_is_the_same_model(tmp_path: Path) -> None:
    record = run(tmp_path, train__supervision="last", train__epochs=1)
    assert record.training is not None
    assert record.training.supervision == "last"
    assert record.training.targets_per_epoch == record.data.train_targets


def test_hidden_events_are_what_a_cloze_model_learns_from(tmp_path: Path) -> None:
    given = {"train__epochs": 1, "model__mask_ratio": 0.5, "model__mask_last": 0.0}
    record = run(tmp_path, "bert4rec", **given)
    assert record.training is not None and record.training.supervision == "cloze"
    events = record.data.train_targets + record.data.users  # the first of a user may be hidden too
    assert record.training.targets_per_epoch == round(0.5 * events)
    (row,) = record.training.curve
    assert row.targets_per_second * row.seconds == pytest.approx(0.5 * events, rel=0.1)

    record = run(tmp_path, "bert4rec", train__epochs=1, train__supervision="last")
    assert record.training is not None and record.training.supervision == "last"
    assert record.training.targets_per_epoch == record.data.train_targets


def test_cloze_learns(tmp_path: Path) -> None:
    """Users keep to one of two groups of 20 items: whoever knows that has nine candidates left."""
    random, lines = np.random.default_rng(0), []
    for user in range(300):
        items = random.permutation(20)[:12] + 20 * (user % 2)
        lines += [f"{user + 1} {item + 1}\n" for item in items]
    (file := tmp_path / "groups.txt").write_text("".join(lines))
    signature = "hr@10|full|seen:drop|ties:half|loo|v1"
    small = {"model__width": 16, "model__inner": 32, "train__epochs": 25, "train__patience": 25}
    small |= {"train__lr": 0.005}
    assert run(tmp_path, "pop", str(file)).test[signature] < 0.5
    record = run(tmp_path, "bert4rec", str(file), train__batch_users=32, **small)
    assert record.test[signature] > 0.9


@pytest.mark.parametrize(
    ("model", "flags", "sentence"),
    [
        ("gru4rec", {"train__supervision": "cloze"}, "GRU4Rec cannot fill in hidden events"),
        ("bert4rec", {"train__supervision": "all"}, "BERT4Rec cannot represent all prefixes"),
        (
            "bert4rec",
            {"train__prefixes_per_user": 1},
            r"train\.prefixes_per_user has no effect where BERT4Rec trains on hidden events",
        ),
        (
            "bert4rec",
            {"train__supervision": "last", "model__mask_ratio": 0.3},
            r"model\.mask_ratio has no effect with train\.supervision=last",
        ),
    ],
)
def test_what_a_cloze_model_refuses(
    tmp_path: Path, model: str, flags: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SrbenchError, match=sentence):
        run(tmp_path, model, **flags)


def test_half_precision_and_clipping_train(tmp_path: Path) -> None:
    for model in ("gru4rec", "sasrec", "glintru", "bert4rec"):
        record = run(tmp_path, model, train__precision="bf16", train__clip_norm=1.0)
        assert record.status == "ok"


def test_a_setting_without_effect_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match=r"train\.prefixes_per_user has no effect where GRU4Rec"):
        run(tmp_path, train__prefixes_per_user=2)
    with pytest.raises(SrbenchError, match=r"train\.stride has no effect where GlintRUOfficial"):
        run(tmp_path, "glintru-official", train__stride=5)


def test_a_counting_model_tells_what_changed_nothing(tmp_path: Path) -> None:
    record = run(tmp_path, "pop", train__epochs=7)
    (told,) = [w.what for w in record.warnings if "by counting" in w.what]
    assert "train.epochs" in told and "train.lr" in told and "train.patience" not in told
    assert run(tmp_path, "pop", train__epochs=8).key == record.key


def test_a_models_file_is_part_of_the_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    keys = []
    for line in ("", "# another model\n"):
        file.write_text(
            f"{line}from srbench.models.pop import Pop\n\n\nclass Mine(Pop):\n    pass\n"
        )
        resolved = resolve(f"{file}:Mine", DATA, flags={"data.length": 10})
        keys.append(cell.run(resolved, results=tmp_path / "results").key)
    assert keys[0] != keys[1]


def test_the_command_names_the_columns(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    rows = [f"{user},{1 + (3 * user + n) % 40},{n}" for user in range(30) for n in range(8)]
    file.write_text("\n".join(["who,what,when", *rows]))
    resolved = resolve("pop", str(file), flags={"data.k_core": 0})
    record = cell.run(resolved, results=tmp_path / "results", columns="who,what,when")
    assert "--columns who,what,when" in record.command
    assert str(tmp_path) not in record.to_json()


def test_threads_are_those_of_before_after_a_run(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    record = run(tmp_path, "pop", threads=before + 1)
    assert record.environment.threads == before + 1
    assert torch.get_num_threads() == before


def test_a_training_resumed_elsewhere_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, listener=StopIn(3))
    here = cell.made_by(torch.device("cpu"))
    monkeypatch.setattr(cell, "made_by", lambda device: here | {"threads": 99})
    (warning,) = run(tmp_path).warnings
    assert "resumed under another threads" in warning.what


CLOCK = """
import torch
from pydantic import Field
from srbench.models.base import Encoder, Info, Settings, last_BD


class ClockSettings(Settings):
    target_time: bool = Field(False, description="looks at the time of the target")


class Clock(Encoder):
    info = Info(family="reference", year=0, paper="", reference="", summary="Looks at the clock.")
    Settings = ClockSettings

    def __init__(self, settings, n_items, length):
        super().__init__()
        self.settings, self.width = settings, 4

    def init_table(self, table_VD):
        torch.nn.init.normal_(table_VD)

    def forward(self, x_BLD, batch):
        seen = batch.target_times_B if self.settings.target_time else batch.times_BL[:, 0]
        return last_BD(x_BLD, batch.lengths_B) + (seen % 7)[:, None]
"""


def test_a_model_that_sees_when_the_target_happens_says_so(tmp_path: Path) -> None:
    (file := tmp_path / "clock.py").write_text(CLOCK)

    def told(dataset: str, **flags: Any) -> list[str]:
        small = {"data.length": 10, "data.k_core": 0, "train.epochs": 1}
        resolved = resolve(f"{file}:Clock", dataset, flags=small | flags)
        record = cell.run(resolved, results=tmp_path / "results")
        assert record.status == "ok"
        return [caution.what for caution in record.warnings]

    sees = "The model sees the time of the event to be predicted."
    assert sees in told(DATA, **{"model.target_time": True})
    assert sees not in told(DATA)
    timeless = tmp_path / "timeless.txt"
    timeless.write_text("".join(f"{u} {1 + (u + n) % 9}\n" for u in range(1, 9) for n in range(6)))
    with pytest.raises(SrbenchError, match=r"model\.target_time has no effect.*has no times"):
        told(str(timeless), **{"model.target_time": True})


def test_a_model_that_uses_times_and_finds_none_says_so(tmp_path: Path) -> None:
    timeless = tmp_path / "timeless.txt"
    timeless.write_text("".join(f"{u} {1 + (u + n) % 9}\n" for u in range(1, 9) for n in range(6)))
    small = {"data.length": 10, "data.k_core": 0, "train.epochs": 1}
    warned = {}
    for uses in (True, False):
        resolved = resolve("hstu", str(timeless), flags=small | {"model.time": uses})
        record = cell.run(resolved, results=tmp_path / "results")
        assert record.status == "ok"
        warned[uses] = [caution.what for caution in record.warnings]
    untimed = [what for what in warned[True] if what.endswith("the model does without them.")]
    assert len(untimed) == 1 and "has no times" in untimed[0]
    assert not set(untimed) & set(warned[False])
