"""The documentation names what a record holds, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from srbench.record import names
from srbench.record.schema import Record

TEXT = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def test_every_field_is_told() -> None:
    table = TEXT.split("## What is in it")[1].split("**An unknown number")[0]
    told: set[str] = set()
    for line in table.splitlines():
        if line.startswith("| `"):
            told |= set(re.findall(r"`(\w+)`", line.split("|")[1]))
    assert told == set(Record.model_fields)


def test_every_measurement_is_told() -> None:
    known = {value for name, value in vars(names).items() if name.isupper()}
    assert known
    assert [name for name in sorted(known) if f"`{name}" not in TEXT] == []
