"""What a child process of `srbench measure` does: builds models and times them in turn.

It is asked in JSON and answers in JSON (`srbench.measure.child`), so that whatever ends it ends
nothing else. All models at all sizes of one question are there at once, and take turns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, JsonValue

from srbench.config.settings import TrainSettings
from srbench.data.batches import TrainingBatch
from srbench.experiment.machine import device_of, threads
from srbench.measure import work
from srbench.measure.child import is_shortage, sentence
from srbench.measure.clock import Samples, Sampling, Stopwatch, Work, interleaved
from srbench.measure.energy import Energy, unreadable
from srbench.measure.flops import request_flops, request_scans
from srbench.measure.footprint import Subject, build
from srbench.measure.parameters import parameters
from srbench.measure.samples import arrays, cautions, measurements
from srbench.recommender import Recommender
from srbench.record.efficiency import Point
from srbench.record.names import (
    ENERGY_REQUEST,
    MEMORY_STATE,
    THROUGHPUT,
    TIME_ENCODE,
    TIME_REQUEST,
    TIME_SCORE,
    TIME_STEP,
    TIME_TRAINING_STEP,
)
from srbench.record.schema import Caution, Measurement, ModelUsed, Status
from srbench.registry import get
from srbench.train.loop import supervision_of
from srbench.train.step import Stepper

STEP = f"{__name__}:training_step"  # for who measures its memory
ENERGY_SECONDS = 1.2  # of requests, where energy can be read: its counters are slow
MEANING = {
    TIME_ENCODE: "histories to representations",
    TIME_SCORE: "representations to the top {top} of the catalogue",
    TIME_REQUEST: "histories to the top {top} of the catalogue",
    TIME_STEP: "one event more on the state of the history before it",
    TIME_TRAINING_STEP: "forward, loss, backward and update; {rows} histories",
}


class Question(BaseModel):
    """What is measured: each of `models` (name -> settings) at each of `sizes` (length, batch)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, dict[str, JsonValue]]
    items: int
    sizes: list[tuple[int, int]]
    device: str = "cpu"
    threads: int | None = None
    precision: work.Precision = "fp32"
    compile: bool = False
    top: int = 10
    stream: bool = False
    training: bool = False
    seconds: float = 1.5
    interval: float = 0.03
    seed: int = 0

    def subject(self, model: str, length: int, batch: int) -> Subject:
        """One model at one size, as its memory is measured too."""
        trains = self.training and get(model).learns == "gradient"
        return Subject(
            model=model,
            settings=self.models[model],
            items=self.items,
            length=length,
            batch=batch,
            top=self.top,
            rows=max(1, TrainSettings().batch_tokens // length),
            step=STEP if trains else None,
            device=self.device,
            precision=self.precision,
            compile=self.compile,
            threads=self.threads,
            seed=self.seed,
        )


class Answer(BaseModel):
    """The points in the order models x sizes, and the raw samples of all, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: list[Point]
    samples: dict[str, list[float]]


def measure(question: Any) -> Any:
    """`Question` in, `Answer` out, both as JSON."""
    asked = Question.model_validate(question)
    with threads(asked.threads):
        return _Session(asked).answer().model_dump(mode="json")


class _Session:
    """The models of one question, the work they are given, and what came of it."""

    def __init__(self, asked: Question) -> None:
        self.asked = asked
        self.device = device_of(asked.device)
        cells = [_Cell(asked, name, *size) for name in asked.models for size in asked.sizes]
        self.cells = {cell.name: cell for cell in cells}

    def answer(self) -> Answer:
        asked = self.asked
        works: dict[tuple[str, str], Work] = {}
        for cell in self.cells.values():
            works |= {(cell.name, what): one for what, one in cell.prepare().items()}
        sampling = Sampling(relative_width=asked.interval, seconds=asked.seconds)
        by_label = {f"{cell} {what}": one for (cell, what), one in works.items()}
        found = interleaved(by_label, self.device, sampling)
        for name, what in works:
            self.cells[name].take(what, found[f"{name} {what}"])
        samples: dict[str, list[float]] = {}
        for cell in self.cells.values():
            cell.spend_energy(self.device)
            samples |= cell.samples
        return Answer(points=[cell.point() for cell in self.cells.values()], samples=samples)


class _Cell:
    """One model at one size. What fails here, fails here alone."""

    def __init__(self, asked: Question, name: str, length: int, batch: int) -> None:
        self.asked = asked
        self.model_class = get(name)
        self.subject = asked.subject(name, length, batch)
        self.name = f"{name}/items{asked.items}/length{length}/batch{batch}"
        self.recommender: Recommender | None = None
        self.error: BaseException | None = None
        self.found: list[Measurement] = []
        self.warnings: list[Caution] = []
        self.samples: dict[str, list[float]] = {}
        self.request: Work | None = None

    def prepare(self) -> dict[str, Work]:
        """The works to be timed, by the name of what they measure; none where building fails."""
        try:
            return self._prepare()
        except (RuntimeError, MemoryError, ValueError, NotImplementedError) as error:
            self.error = error.with_traceback(None)
            return {}

    def _prepare(self) -> dict[str, Work]:
        asked, one = self.asked, self.subject
        self.recommender = recommender = build(one).eval()
        histories = work.histories(recommender, one.batch, one.length, one.seed)
        how: Any = {"precision": one.precision}
        encode = work.encode(recommender, histories, compile=one.compile, **how)
        works: dict[str, Work] = {
            TIME_ENCODE: encode,
            TIME_SCORE: work.score(recommender, encode(), one.top, **how),
        }
        self.request = works[TIME_REQUEST] = work.request(
            recommender, histories, one.top, compile=one.compile, **how
        )
        if asked.stream:
            self.found.append(self._state(recommender))
            if self.model_class.has_step():
                works[TIME_STEP] = work.step(
                    recommender, one.length, one.batch, seed=one.seed, **how
                )
        if one.step is not None:
            works[TIME_TRAINING_STEP] = training_step(build(one).train(), one)
        for count in (request_flops, request_scans):
            self.found.append(count(recommender, one.length, one.batch))
        return works

    def _state(self, recommender: Recommender) -> Measurement:
        size = work.state_bytes(recommender, 1, self.subject.length)
        return Measurement(
            name=MEMORY_STATE,
            value=size,
            unit="B",
            method=f"what step keeps of a user before event {self.subject.length}",
            reason=None if size is not None else "the model has no step",
        )

    def take(self, what: str, result: Samples | BaseException) -> None:
        """What sampling one work gave."""
        if isinstance(result, BaseException):
            self.error = self.error or result
            return
        method = MEANING[what].format(top=self.subject.top, rows=self.subject.rows)
        self.found += measurements(what, result, method)
        self.warnings += cautions(what, result)
        for name, values in arrays(what, result).items():
            self.samples[f"{self.name}/{name}"] = [float(value) for value in values]

    def spend_energy(self, device: torch.device) -> None:
        """Requests for a while, with the counter of energy read before and after."""
        if self.request is None or self.error is not None:
            return
        calls = 0
        readable = unreadable(device) is None
        with Energy(device) as energy, Stopwatch(device) as watch:
            while readable and watch.so_far() < ENERGY_SECONDS:
                self.request()
                calls += 1
        self.found.append(energy.measurement(ENERGY_REQUEST, max(1, calls)))

    def point(self) -> Point:
        median = next((one.value for one in self.found if one.name == f"{TIME_REQUEST}.p50"), None)
        if median:
            self.found.append(
                Measurement(
                    name=THROUGHPUT,
                    value=self.subject.batch / median,
                    unit="1/s",
                    method=f"{self.subject.batch} histories over the median time of their request",
                )
            )
        error = self.error
        return Point(
            model=ModelUsed(
                name=self.subject.model,
                family=self.model_class.info.family,
                settings=self.subject.settings,
                parameters=None if self.recommender is None else parameters(self.recommender),
                kernel="torch" if self.recommender is None else self.recommender.encoder.kernel,
            ),
            items=self.asked.items,
            length=self.subject.length,
            batch=self.subject.batch,
            status=_status(error),
            reason=None if error is None else sentence(error),
            measurements=self.found,
            warnings=self.warnings,
        )


def _status(error: BaseException | None) -> Status:
    if error is None:
        return "ok"
    return "out of memory" if is_shortage(error) else "failed"


def training_step(recommender: Recommender, one: Subject) -> Work:
    """One step of the training on `rows` histories of random items, again and again.

    The targets are what the model trains on by itself: all positions, the last, or hidden events
    (every fifth and the last).
    """
    settings = TrainSettings(precision=one.precision, compile=one.compile)
    supervision = supervision_of(type(recommender.encoder), recommender.settings, settings)
    stepper = Stepper(recommender, supervision, settings)
    batch = work.histories(recommender, one.rows, one.length, one.seed)
    targets = batch.items_BL.roll(1, 0)
    if supervision == "last":
        targets = targets[:, -1].contiguous()
    elif supervision == "cloze":
        hidden_BL = torch.zeros_like(targets, dtype=torch.bool)
        hidden_BL[:, 4::5] = hidden_BL[:, -1] = True
        targets = targets[hidden_BL]
        batch = replace(batch, items_BL=batch.items_BL.masked_fill(hidden_BL, 0))
    training = TrainingBatch(batch, targets, targets.numel())
    return lambda: stepper.step(training)
