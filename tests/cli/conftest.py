"""A record to show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srbench.record.schema import Record

GOLDEN = Path(__file__).resolve().parent.parent / "record" / "golden_record.json"


@pytest.fixture
def record() -> Record:
    return Record.model_validate(json.loads(GOLDEN.read_text("utf-8")))
