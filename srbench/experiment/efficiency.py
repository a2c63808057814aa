"""`srbench measure`: several models at several sizes, each point timed in turn with the others, its
memory taken in a process of its own, all of it in one record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from srbench.config.efficiency import Axis, EfficiencySettings
from srbench.experiment import workload
from srbench.experiment.conditions import conditions, slowed
from srbench.experiment.machine import device_of, threads
from srbench.experiment.workload import Answer, Question
from srbench.measure.child import in_child
from srbench.measure.clock import utc_now
from srbench.measure.footprint import Subject, footprint
from srbench.measure.growth import fit
from srbench.measure.roofline import Roofline, probe, share
from srbench.models.base import Settings
from srbench.record.efficiency import Efficiency, Fitted, Point, write
from srbench.record.environment import code, environment
from srbench.record.key import key_of
from srbench.record.names import (
    FLOPS_REQUEST,
    MEMORY_INFERENCE,
    SPREAD_REQUEST,
    TIME_REQUEST,
    TIME_STEP,
)
from srbench.record.schema import Caution, Measurement, ModelUsed, Status
from srbench.registry import get

GROWING = (f"{TIME_REQUEST}.p50", f"{TIME_STEP}.p50", f"{MEMORY_INFERENCE}.peak")
APART = 0.03  # medians of two processes, on a quiet machine
HANGS = 600.0  # seconds beyond all budgets after which a process is ended

SHARED = {*Question.model_fields} & {*EfficiencySettings.model_fields} - {"models", "items"}
SHARED -= {"device"}  # which is decided here

Progress = Callable[[str, int, int], None]  # what is measured now, how much is done, of how much


@dataclass(frozen=True)
class Size:
    """Where all models are measured together: one catalogue, length and width, some batches."""

    items: int
    length: int
    width: int | None
    batches: tuple[int, ...]


def sizes(asked: EfficiencySettings) -> list[Size]:
    """From small to large along each axis."""
    widths: tuple[int | None, ...] = asked.width or (None,)
    return [
        Size(items, length, width, tuple(sorted(asked.batch)))
        for items, width, length in product(sorted(asked.items), widths, sorted(asked.length))
    ]


def measure(
    asked: EfficiencySettings,
    settings_of: Callable[[str, int | None], Settings],
    *,
    results: Path,
    command: str,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Efficiency, Path]:
    """Measures, writes the record into `results` and returns it with its path.

    settings_of: the settings of a model at a width (None: its own). Raises SrbenchError for bad
    input alone; what fails on the way is a point with its status.
    """
    device = device_of(asked.device)
    session = _Session(asked, settings_of, device, progress)
    with threads(asked.threads):
        warnings = conditions(device)
        roofline = probe(device)
        session.run(roofline)
        warnings += [*roofline.cautions(), *slowed(device)]
        found = Efficiency(
            key="",
            created=utc_now(),
            command=command,
            settings=asked.model_dump(mode="json"),
            dataset=asked.dataset,
            axis=asked.sweep,
            code=code(),
            environment=environment(device.type),
            probes=roofline.measurements(),
            points=session.points,
            growth=list(_growth(asked, session.points)),
            warnings=warnings,
        )
    document = found.model_dump(mode="json", exclude={"arrays", "key"})
    found = found.model_copy(update={"key": key_of(document)})
    return found, write(results, found, session.samples)


class _Session:
    """The points so far."""

    def __init__(
        self,
        asked: EfficiencySettings,
        settings_of: Callable[[str, int | None], Settings],
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.asked, self.settings_of, self.device = asked, settings_of, device
        self.progress = progress
        self.points: list[Point] = []
        self.samples: dict[str, NDArray[Any]] = {}
        self.too_large: dict[str, Size] = {}  # model -> where its memory ended

    def run(self, roofline: Roofline) -> None:
        plan = sizes(self.asked)
        total = len(plan) * len(self.asked.batch) * len(self.asked.models)
        for size in plan:
            for point in self._timed(size):
                self.progress(_words(point), len(self.points), total)
                self.points.append(self._completed(point, size, roofline))

    def _timed(self, size: Size) -> Iterator[Point]:
        """All models at one size, in turn; those that bring the process down are tried alone."""
        models = {
            name: self.settings_of(name, size.width).model_dump(mode="json")
            for name in self.asked.models
        }
        for name in models.keys() & self.too_large.keys():
            reason = f"not tried: it did not fit at {_size(self.too_large[name])} already"
            del models[name]
            for batch in size.batches:
                yield self._failed(name, size, batch, "out of memory", reason)
        if models:
            yield from self._asked(models, size, size.batches)

    def _asked(
        self, models: Mapping[str, Mapping[str, JsonValue]], size: Size, batches: tuple[int, ...]
    ) -> Iterator[Point]:
        asked = self.asked
        question = Question(
            models={name: dict(settings) for name, settings in models.items()},
            items=size.items,
            sizes=[(size.length, batch) for batch in batches],
            device=self.device.type,
            **asked.model_dump(include=SHARED),
        )
        cells = len(models) * len(batches)
        self.progress(f"{', '.join(models)} at {_size(size)}", len(self.points), 0)
        answers: list[Answer] = []
        for _ in range(asked.repeat):
            outcome = in_child(
                f"{workload.__name__}:measure",
                question.model_dump(mode="json"),
                timeout=HANGS + 10 * cells * asked.seconds,
            )
            if outcome.status == "interrupted":
                raise KeyboardInterrupt
            if outcome.status != "ok":
                if cells > 1:
                    for name, batch in product(models, batches):
                        yield from self._asked({name: models[name]}, size, (batch,))
                    return
                (name,) = models
                reason = outcome.reason or "no reason was given"
                yield self._failed(name, size, batches[0], outcome.status, reason)
                return
            answers.append(Answer.model_validate(outcome.value))
        yield from self._together(answers)

    def _together(self, answers: list[Answer]) -> Iterator[Point]:
        """The points of one answer, or of several to the same question."""
        for number, answer in enumerate(answers, start=1):
            again = "" if number == 1 else f"/repeat{number}"
            for name, values in answer.samples.items():
                self.samples[name + again] = np.array(values)
        for points in zip(*(answer.points for answer in answers), strict=True):
            bad = next((point for point in points if point.status != "ok"), None)
            yield bad or (_repeated(points) if len(points) > 1 else points[0])

    def _completed(self, point: Point, size: Size, roofline: Roofline) -> Point:
        """With its memory and its share of what the machine can do."""
        status, reason = point.status, point.reason
        found, warnings = list(point.measurements), list(point.warnings)
        seconds, flops = point.measured(f"{TIME_REQUEST}.p50"), point.measured(FLOPS_REQUEST)
        if seconds is not None and flops is not None:
            least, precision = _least_bytes(point), self.asked.precision
            found.append(share(flops, least, seconds, roofline, precision=precision))
        if self.asked.memory and status == "ok":
            print_of = footprint(self._subject(point), timeout=HANGS)
            if print_of.status == "interrupted":
                raise KeyboardInterrupt
            status, reason = print_of.status, print_of.reason
            found += print_of.measurements
            warnings += print_of.warnings
        if status == "out of memory":
            self.too_large.setdefault(point.model.name, size)
        done = {"status": status, "reason": reason, "measurements": found, "warnings": warnings}
        return Point.model_validate(point.model_copy(update=done).model_dump())

    def _subject(self, point: Point) -> Subject:
        question = Question(
            models={point.model.name: point.model.settings},
            items=point.items,
            sizes=[(point.length, point.batch)],
            device=self.device.type,
            **self.asked.model_dump(include=SHARED),
        )
        return question.subject(point.model.name, point.length, point.batch)

    def _failed(self, name: str, size: Size, batch: int, status: Status, reason: str) -> Point:
        settings = self.settings_of(name, size.width).model_dump(mode="json")
        family = get(name).info.family
        return Point(
            model=ModelUsed(name=name, family=family, settings=settings, parameters=None),
            items=size.items,
            length=size.length,
            batch=batch,
            status=status,
            reason=reason,
        )


def _repeated(points: tuple[Point, ...]) -> Point:
    """One point from several: the median of each number, and how far the medians lie apart."""
    first, *_ = points
    found = []
    for place, one in enumerate(first.measurements):
        values = [point.measurements[place].value for point in points]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            method = f"{one.method}; median of {len(points)} processes"
            found.append(one.model_copy(update={"value": median(known), "method": method}))
        else:
            found.append(one)
    medians = [point.measured(f"{TIME_REQUEST}.p50") or 0.0 for point in points]
    spread = (max(medians) - min(medians)) / median(medians)
    found.append(
        Measurement(
            name=SPREAD_REQUEST,
            value=spread,
            unit="",
            method=f"largest less smallest median of {len(points)} processes, over their median",
        )
    )
    warnings = list(dict.fromkeys(one for point in points for one in point.warnings))
    if spread > APART:
        told = Caution(
            what=f"{TIME_REQUEST}: the medians of {len(points)} processes differ by {spread:.0%}.",
            advice="Stop other programs on this machine, or give it more time.",
        )
        warnings.append(told)
    return first.model_copy(update={"measurements": found, "warnings": warnings})


def _least_bytes(point: Point) -> int | None:
    """What a request must at least fetch: every parameter once, the table for its scores. None for
    models that read a few of their counts."""
    parameters = point.model.parameters
    counts = get(point.model.name).has_scores()
    return None if parameters is None or counts else 4 * parameters.total


def _growth(asked: EfficiencySettings, points: list[Point]) -> Iterator[Fitted]:
    if asked.sweep is None:
        return
    for name, measurement in product(asked.models, GROWING):
        mine = [p for p in points if p.model.name == name and p.batch == _fitted_batch(asked, p)]
        known = [
            (place_on(asked.sweep, p), value) for p in mine if (value := p.measured(measurement))
        ]
        if not any(m.name == measurement for p in mine for m in p.measurements):
            continue
        grown = fit([x for x, _ in known], [y for _, y in known])
        yield Fitted(
            model=name,
            measurement=measurement,
            exponent=grown.exponent,
            low=grown.low,
            high=grown.high,
            points=grown.points,
            reason=grown.reason,
        )


def _fitted_batch(asked: EfficiencySettings, point: Point) -> int:
    return point.batch if asked.sweep == "batch" else min(asked.batch)


def place_on(axis: Axis, point: Point) -> int:
    """Where a point stands on the swept axis."""
    if axis == "width":
        width = point.model.settings.get("width")
        assert isinstance(width, int)
        return width
    places: dict[Axis, int] = {"items": point.items, "length": point.length, "batch": point.batch}
    return places[axis]


def _size(size: Size) -> str:
    width = "" if size.width is None else f", width {size.width}"
    return f"length {size.length}, {size.items:,} items{width}"


def _words(point: Point) -> str:
    return f"{point.model.name}, length {point.length}, batch {point.batch}, {point.items:,} items"
