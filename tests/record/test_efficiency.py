"""The record of a measurement goes to its file and comes back, and says what it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from srbench.errors import SrbenchError
from srbench.record.efficiency import Efficiency, Fitted, Point, path_of, read, samples_of, write
from srbench.record.environment import code, environment
from srbench.record.schema import Measurement, ModelUsed
from srbench.record.store import Store

MEDIAN = Measurement(name="time.request.p50", value=0.002, unit="s", method="wall clock")


def point(model: str = "glintru", **more: object) -> Point:
    used = ModelUsed(name=model, family="RNN", settings={"width": 64}, parameters=None)
    values = {"items": 3416, "length": 50, "batch": 1, "status": "ok", **more}
    return Point.model_validate({"model": used, "measurements": [MEDIAN], **values})


def efficiency(*points: Point) -> Efficiency:
    return Efficiency(
        key="0123456789ab",
        created="2026-01-31T12:00:00Z",
        command="srbench measure --model glintru,./nets/mine.py:Net",
        settings={"top": 10},
        dataset=None,
        axis=None,
        code=code(),
        environment=environment("cpu"),
        probes=[],
        points=list(points),
    )


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = efficiency(point(), point("sasrec"))
    samples = {"glintru/items3416/length50/batch1/time.request": np.array([0.002, 0.003])}
    path = write(tmp_path, found, samples)
    assert path == tmp_path / "efficiency" / "glintru-sasrec-0123456789ab.json"
    again = read(path)
    assert again.model_copy(update={"arrays": None}) == found
    assert samples_of(path, again).keys() == samples.keys()
    for name, values in samples_of(path, again).items():
        assert np.array_equal(values, samples[name])


def test_paths_of_the_machine_are_not_published(tmp_path: Path) -> None:
    failed = point(status="failed", reason="OSError: /home/me/nets/mine.py is gone")
    again = read(write(tmp_path, efficiency(failed), {}))
    assert again.points[0].reason == "OSError: mine.py is gone"
    assert again.arrays is None


def test_a_measurement_is_no_run(tmp_path: Path) -> None:
    write(tmp_path, efficiency(point()), {})
    assert Store(tmp_path).scan().records == []
    assert Store(tmp_path).scan().unreadable == []


@pytest.mark.parametrize("more", [{"status": "failed"}, {"reason": "why"}])
def test_a_status_is_explained(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="a status other than ok needs a reason"):
        point(**more)


def test_a_number_is_found_by_its_name() -> None:
    assert point().measured("time.request.p50") == 0.002
    assert point().measured("energy.request") is None


def test_a_fit_may_be_unknown() -> None:
    fit = Fitted(
        model="glintru",
        measurement="time.request.p50",
        exponent=None,
        low=None,
        high=None,
        points=2,
        reason="2 points are too few",
    )
    assert fit.exponent is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "is no record of srbench measure (key: Field required): measure again."),
        ("not JSON", "is no record of srbench measure"),
    ],
)
def test_a_damaged_record_is_told(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(SrbenchError) as told:
        read(path)
    assert says in str(told.value)


def test_a_missing_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match="Cannot read the record"):
        read(tmp_path / "none.json")


def test_many_models_have_a_short_name(tmp_path: Path) -> None:
    many = efficiency(*(point(f"model{n}") for n in range(40)))
    assert len(path_of(tmp_path, many).name) < 110
