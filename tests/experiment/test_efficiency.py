"""A measurement goes on whatever happens to one of its points, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srbench.config.efficiency import EfficiencySettings
from srbench.experiment import efficiency
from srbench.experiment.efficiency import Size, sizes
from srbench.experiment.workload import Answer, Question
from srbench.measure.child import Outcome
from srbench.measure.footprint import Footprint, Subject
from srbench.measure.roofline import Roofline
from srbench.models.base import Settings
from srbench.record.efficiency import Efficiency, Point, read, samples_of
from srbench.record.names import (
    FLOPS_REQUEST,
    MEMORY_INFERENCE,
    SPREAD_REQUEST,
    TIME_REQUEST,
    TIME_SHARE,
)
from srbench.record.schema import Measurement, ModelUsed, Parameters
from srbench.registry import get

MEDIAN, PEAK = f"{TIME_REQUEST}.p50", f"{MEMORY_INFERENCE}.peak"
ROOFLINE = Roofline(
    machine={},
    created="2026-01-31T12:00:00Z",
    flops={"fp32": 1e11, "bf16": 1e11},
    copies=((2**20, 1e10),),
    steady=1.0,
)
Ask = Callable[[Question], Outcome]


def number(name: str, value: float, unit: str = "s") -> Measurement:
    return Measurement(name=name, value=value, unit=unit, method="made up")


def answered(question: Question, seconds: Callable[[str, int, int], float]) -> Outcome:
    """As a child answers that took `seconds` of (model, length, batch)."""
    points, samples = [], {}
    for name, settings in question.models.items():
        for length, batch in question.sizes:
            took = seconds(name, length, batch)
            point = Point(
                model=ModelUsed(
                    name=name,
                    family="RNN",
                    settings=settings,
                    parameters=Parameters(total=1000, table=800, encoder=200),
                ),
                items=question.items,
                length=length,
                batch=batch,
                status="ok",
                measurements=[number(MEDIAN, took), number(FLOPS_REQUEST, 1e6, "FLOP")],
            )
            points.append(point)
            samples[f"{point.name}/{TIME_REQUEST}"] = [took, took]
    return Outcome("ok", Answer(points=points, samples=samples).model_dump(mode="json"))


@pytest.fixture
def measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Efficiency, Path]]:
    """`measure(ask, models=..., ...)`: everything but the processes and the probe is real."""

    def run(ask: Ask, **asked: Any) -> tuple[Efficiency, Path]:
        def in_child(function: str, argument: Any, **_: object) -> Outcome:
            assert function == "srbench.experiment.workload:measure"
            return ask(Question.model_validate(argument))

        def footprint(subject: Subject, **_: object) -> Footprint:
            return Footprint("ok", None, [number(PEAK, 1e6 * subject.length, "B")], [])

        monkeypatch.setattr(efficiency, "in_child", in_child)
        monkeypatch.setattr(efficiency, "footprint", footprint)
        monkeypatch.setattr(efficiency, "probe", lambda device: ROOFLINE)
        settings = EfficiencySettings(**{"models": ("gru4rec",), "batch": (1,), **asked})
        return efficiency.measure(
            settings, own_settings, results=tmp_path, command="srbench measure ..."
        )

    return run


def own_settings(name: str, width: int | None) -> Settings:
    values = {} if width is None else {"width": width}
    return get(name).Settings.model_validate(values)


def test_sizes_go_from_small_to_large() -> None:
    asked = EfficiencySettings(models=("gru4rec",), length=(200, 50), items=(500, 100))
    assert sizes(asked) == [
        Size(100, 50, None, (1, 256)),
        Size(100, 200, None, (1, 256)),
        Size(500, 50, None, (1, 256)),
        Size(500, 200, None, (1, 256)),
    ]


def test_all_models_of_a_size_share_a_process(measure: Any) -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Outcome:
        asked.append(question)
        return answered(question, lambda model, length, batch: 0.001)

    found, path = measure(ask, models=("gru4rec", "sasrec"), length=(50, 100), batch=(1, 8))
    assert [(list(q.models), q.sizes) for q in asked] == [
        (["gru4rec", "sasrec"], [(50, 1), (50, 8)]),
        (["gru4rec", "sasrec"], [(100, 1), (100, 8)]),
    ]
    assert len(found.points) == 8
    assert all(point.status == "ok" for point in found.points)
    assert all(point.measured(PEAK) == 1e6 * point.length for point in found.points)
    assert all(0 < (point.measured(TIME_SHARE) or 0) <= 1 for point in found.points)
    assert read(path) == found.model_copy(update={"arrays": read(path).arrays})
    assert len(samples_of(path, read(path))) == 8


def test_who_brings_the_process_down_is_found_and_the_rest_goes_on(measure: Any) -> None:
    def ask(question: Question) -> Outcome:
        if "sasrec" in question.models and (50, 8) in question.sizes:
            return Outcome("out of memory", reason="the process was killed (SIGKILL)")
        return answered(question, lambda model, length, batch: 0.001)

    found, _ = measure(ask, models=("gru4rec", "sasrec"), batch=(1, 8))
    status = {(p.model.name, p.batch): p.status for p in found.points}
    assert status == {
        ("gru4rec", 1): "ok",
        ("gru4rec", 8): "ok",
        ("sasrec", 1): "ok",
        ("sasrec", 8): "out of memory",
    }
    killed = next(p for p in found.points if p.status != "ok")
    assert killed.reason == "the process was killed (SIGKILL)"
    assert killed.measurements == []


def test_where_it_did_not_fit_larger_sizes_are_not_tried(measure: Any) -> None:
    asked: list[int] = []

    def ask(question: Question) -> Outcome:
        ((length, _),) = question.sizes
        asked.append(length)
        if length >= 100:
            return Outcome("out of memory", reason="MemoryError")
        return answered(question, lambda model, length, batch: 0.001)

    found, _ = measure(ask, sweep="length", length=(50, 100, 200))
    assert asked == [50, 100]
    assert [p.status for p in found.points] == ["ok", "out of memory", "out of memory"]
    assert found.points[2].reason == "not tried: it did not fit at length 100, 3,416 items already"


def test_a_kernel_that_fails_is_a_row(measure: Any) -> None:
    found, _ = measure(lambda question: Outcome("failed", reason="RuntimeError: no such kernel"))
    assert [(p.status, p.reason) for p in found.points] == [
        ("failed", "RuntimeError: no such kernel")
    ]


def test_a_sweep_is_fitted(measure: Any) -> None:
    def ask(question: Question) -> Outcome:
        return answered(question, lambda model, length, batch: 1e-6 * length**2)

    found, _ = measure(ask, sweep="length", length=(50, 100, 200))
    fits = {fit.measurement: fit for fit in found.growth}
    assert fits[MEDIAN].exponent == pytest.approx(2)
    assert fits[PEAK].exponent == pytest.approx(1)
    assert found.axis == "length"


def test_repeated_processes_give_their_median_and_their_spread(measure: Any) -> None:
    took = iter((0.001, 0.0012, 0.0011))

    def ask(question: Question) -> Outcome:
        seconds = next(took)
        return answered(question, lambda model, length, batch: seconds)

    found, path = measure(ask, repeat=3)
    (point,) = found.points
    assert point.measured(MEDIAN) == 0.0011
    assert point.measured(SPREAD_REQUEST) == pytest.approx(0.0002 / 0.0011)
    assert any("medians of 3 processes differ by 18%" in one.what for one in point.warnings)
    assert len(samples_of(path, read(path))) == 3


def test_ctrl_c_in_a_child_ends_all(measure: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure(lambda question: Outcome("interrupted", reason="Ctrl-C was pressed"))
    assert not list(tmp_path.rglob("*.json"))
