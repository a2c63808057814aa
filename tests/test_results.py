"""What this repository publishes is what its records say."""

from __future__ import annotations

import re
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


def table() -> list[dict[str, str]]:
    """The rows of the first table of results/README.md, by the heads of its columns."""
    lines = [line for line in (RESULTS / "README.md").read_text().splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.model.name}-{r.key}")
def test_a_published_record_is_whole(record: Record) -> None:
    assert record.status == "ok"
    assert record.code.git_sha is not None
    assert record.code.dirty is False
    ranks = {name for name in Store(RESULTS).arrays(record) if name.startswith("ranks/")}
    assert len(ranks) == 5  # four protocols and the users
    assert record.environment.threads >= 1


def test_every_published_number_stands_in_a_record() -> None:
    rows = table()
    assert len(rows) >= 3
    by_key = {record.key: record for record in RECORDS}
    for row in rows:
        key = re.search(r"[0-9a-f]{12}", row["record"])
        assert key is not None
        record = by_key[key[0]]
        assert record.model.name == row["model"].strip("`")
        for head, signature in COLUMNS.items():
            assert row[head] == f"{record.test[signature]:.4f}", (record.model.name, head)
        assert record.training is not None
        assert row["best epoch"] == f"{record.training.best_epoch} of {record.training.epochs}"


def test_every_record_has_its_command() -> None:
    text = (RESULTS / "README.md").read_text()
    for record in RECORDS:
        assert record.command in text.replace("\\\n", "").replace("  ", " "), record.command
