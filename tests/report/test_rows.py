"""Rows and frames: what stands in which column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import srbench
from srbench.record.schema import Record
from srbench.record.store import Store
from srbench.report.rows import machine, row, to_frame

NDCG = "ndcg@10|full|seen:drop|ties:half|loo|v1"
GOLDEN = Path(__file__).parent.parent / "record" / "golden_record.json"


def test_a_row_holds_identity_settings_numbers_and_measurements() -> None:
    record = Record.model_validate_json(GOLDEN.read_text(encoding="utf-8"))
    found = row(record)
    expected = {
        "key": "0123456789ab",
        "status": "ok",
        "model": "gru4rec",
        "dataset": "synthetic",
        "fingerprint": "0011223344556677",
        "seed": 3,
        "machine": "AMD EPYC, 2 threads",
        "parameters": 14912,
        "best_epoch": 2,
        "training_seconds": 0.75,
        "train.lr": 0.001,
        "train.epochs": 2,
        "model.width": 64,
        "ndcg@10|full|seen:keep|ties:half|loo|v1": 0.11,
        "valid ndcg@10|full|seen:keep|ties:half|loo|v1": 0.125,
        "coverage@10|full|seen:keep|ties:half|loo|v1": 0.75,
        "time.epoch": 0.375,
        "memory.train.peak": None,
    }
    assert {name: found[name] for name in expected} == expected


def test_no_column_is_written_twice(make) -> None:
    """A setting, a measurement and a field of one name would overwrite each other."""
    record = make("sasrec", settings={"lr": 1, "epoch": 2})
    assert {"model.lr", "train.lr", "model.epoch", "time.epoch"} <= set(row(record))


def test_a_frame_has_missing_numbers_where_nothing_is_known(make, four: list[Record]) -> None:
    table = to_frame(four)
    assert table["model"].tolist() == ["pop", "glintru", "glintru", "sasrec"]
    assert table[NDCG].tolist()[:3] == pytest.approx([0.02, 0.1884, 0.1872])
    assert np.isnan(table[NDCG][3])
    assert table["status"].tolist() == ["ok", "ok", "ok", "out of memory"]
    assert table["memory.train.peak"].isna().all()
    assert table.attrs["units"] == {"time.epoch": "s", "memory.train.peak": "B"}


def test_the_records_of_a_folder(tmp_path: Path, make) -> None:
    store = Store(tmp_path)
    store.write(make("sasrec", 0.18, arrays=None))
    (tmp_path / "synthetic" / "gru4rec-seed0-ffffffffffff.json").write_text("{")
    with pytest.warns(UserWarning, match="damaged"):
        table = srbench.records(tmp_path)
    assert table["model"].tolist() == ["sasrec"]


def test_an_empty_folder_is_an_empty_frame(tmp_path: Path) -> None:
    assert len(srbench.records(tmp_path / "none")) == 0


def test_the_machine_is_what_times_depend_on(make) -> None:
    one = make("pop", environment={"threads": 1, "cpu": "AMD EPYC"}).environment
    assert machine(one) == "AMD EPYC, 1 thread"
    gpu = one.model_copy(update={"device_name": "NVIDIA L4"})
    assert machine(gpu) == "NVIDIA L4"
