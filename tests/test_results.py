"""What this repository publishes is what its records say."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

from srbench.record.schema import Record
from srbench.record.store import Store

RESULTS = Path(__file__).resolve().parent.parent / "results"
COLUMNS = {
    "masked": "ndcg@10|full|seen:drop|ties:half|loo|v1",
    "kept": "ndcg@10|full|seen:keep|ties:half|loo|v1",
    "uni100": "ndcg@10|uni100|seen:drop|ties:half|loo|v1",
    "pop100": "ndcg@10|pop100|seen:drop|ties:half|loo|v1",
    "HR masked": "hr@10|full|seen:drop|ties:half|loo|v1",
    "HR kept": "hr@10|full|seen:keep|ties:half|loo|v1",
}
RECORDS = Store(RESULTS).records()
COMMANDS = [
    line
    for text in ((RESULTS / name).read_text() for name in ("README.md", "commands.sh"))
    for line in text.replace("\\\n", "").replace("  ", " ").splitlines()
    if line.startswith("srbench run ")
]
BY_KEY = {record.key: record for record in RECORDS}


def rows() -> list[dict[str, str]]:
    """The rows of all tables of results/README.md, by the heads of their columns."""
    found: list[dict[str, str]] = []
    heads: list[str] = []
    for line in (RESULTS / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells
        elif set(cells[0]) != {"-"}:
            found.append(dict(zip(heads, cells, strict=True)))
    return found


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.model.name}-{r.key}")
def test_a_published_record_is_whole(record: Record) -> None:
    assert record.status == "ok"
    assert record.code.git_sha is not None
    assert record.code.dirty is False
    ranks = {name for name in Store(RESULTS).arrays(record) if name.startswith("ranks/")}
    assert len(ranks) == 5  # four protocols and the users
    assert record.environment.threads >= 1


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['model']}-{row['records'][:14]}")
def test_every_published_number_is_the_mean_of_its_records(row: dict[str, str]) -> None:
    records = [BY_KEY[key] for key in re.findall(r"[0-9a-f]{12}", row["records"])]
    assert records
    assert {record.model.name for record in records} == {row["model"].strip("`")}
    assert len({record.seed for record in records}) == len(records) == int(row.get("seeds", "1"))
    assert len({(record.data.name, record.data.fingerprint) for record in records}) == 1
    for head, signature in COLUMNS.items():
        if head in row:
            mean = statistics.mean(record.test[signature] for record in records)
            assert row[head] == f"{mean:.4f}", head
    trained = [record.training for record in records if record.training is not None]
    best = " ".join(f"{training.best_epoch}/{training.epochs}" for training in trained)
    assert row["best epoch"] == (best or "-")
    ways = {training.supervision for training in trained} or {"counts"}
    assert ways == {row.get("trained on", "all")}


def test_every_record_stands_in_a_table() -> None:
    shown = [key for row in rows() for key in re.findall(r"[0-9a-f]{12}", row["records"])]
    assert sorted(shown) == sorted(BY_KEY)


def test_every_record_has_its_command_and_the_other_way_round() -> None:
    assert sorted(COMMANDS) == sorted(record.command for record in RECORDS)
