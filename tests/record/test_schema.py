"""The format of a record, held by a golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srbench.record.schema import SCHEMA_VERSION, Epoch, Measurement, Record

GOLDEN = Path(__file__).parent / "golden_record.json"


def golden() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return document


def test_the_golden_record_is_read_and_written_to_the_letter() -> None:
    """If this fails the format has changed: raise SCHEMA_VERSION and tell it in docs/records.md."""
    record = Record.model_validate(golden())
    assert record.to_json() == GOLDEN.read_text(encoding="utf-8")
    assert record.schema_version == SCHEMA_VERSION


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Record.model_validate(golden() | {"colour": "red"})


def test_not_finite_metrics_are_an_error_and_not_a_null() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Record.model_validate(golden() | {"test": {"ndcg@10|full": float("nan")}})


def test_a_loss_that_was_not_finite_is_none() -> None:
    epoch = Epoch(epoch=1, steps=1, loss=float("inf"), seconds=1.0, targets_per_second=1.0)
    assert epoch.loss is None


@pytest.mark.parametrize(
    "change",
    [
        {"status": "failed"},
        {"reason": "the loss was NaN"},
        {"status": "lost", "reason": "unknown status"},
        {"schema_version": 2},
    ],
)
def test_a_status_needs_its_reason_and_the_version_is_fixed(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(golden() | change)


@pytest.mark.parametrize(("value", "reason"), [(None, None), (1.0, "why"), (None, "")])
def test_a_measurement_has_a_value_or_a_reason(value: float | None, reason: str | None) -> None:
    with pytest.raises(ValidationError, match="a value or a reason"):
        Measurement(name="x", value=value, unit="s", method="wall clock", reason=reason)


def test_what_is_unknown_of_the_machine_or_the_code_needs_a_reason() -> None:
    document = golden()
    document["environment"]["reasons"].pop("driver")
    with pytest.raises(ValidationError, match=r"unknown: .*explained: "):
        Record.model_validate(document)
    document = golden()
    document["code"]["git_sha"] = None
    with pytest.raises(ValidationError, match="needs a reason"):
        Record.model_validate(document)


def test_measured() -> None:
    record = Record.model_validate(golden())
    assert record.measured("time.epoch") == 0.375
    assert record.measured("memory.train.peak") is None
    assert record.measured("never heard of") is None
