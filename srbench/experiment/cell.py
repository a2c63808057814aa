"""One run, from data to record: prepare, train, rank, measure, write down."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from srbench.config.settings import RunSettings
from srbench.contract import check
from srbench.data import load
from srbench.data.batches import Sequences, TrainingBatches, training_part
from srbench.data.dataset import Dataset, Split
from srbench.data.split import make_split
from srbench.errors import RunFailed, SrbenchError
from srbench.evaluate.evaluate import Evaluation, evaluate
from srbench.evaluate.negatives import require_candidates
from srbench.evaluate.protocol import FULL, PROTOCOLS, Protocol
from srbench.experiment.describe import command, data_used, run_key
from srbench.experiment.listener import Listener
from srbench.experiment.machine import device_of, made_by, threads
from srbench.experiment.requests import request_times
from srbench.measure.clock import Stopwatch, utc_now
from srbench.measure.flops import request_flops, request_scans
from srbench.measure.memory import PhaseMemory, process_peak, resident_bytes
from srbench.measure.parameters import parameters
from srbench.models.base import ClozeSettings
from srbench.recommender import Recommender
from srbench.record.environment import code, environment
from srbench.record.names import MEMORY_EVALUATE, MEMORY_TRAIN, TIME_EPOCH, TIME_EVALUATE
from srbench.record.schema import (
    SEES_TARGET_TIME,
    Caution,
    Epoch,
    Measurement,
    ModelUsed,
    Record,
    Status,
    Training,
)
from srbench.record.store import Store
from srbench.registry import get, is_ours
from srbench.train.checkpoint import Checkpoint, Progress
from srbench.train.loop import Trainer, seed_all, supervision_of

if TYPE_CHECKING:
    from srbench.config import Resolved

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # as torch says it on CUDA, on a CPU


def run(
    resolved: Resolved,
    *,
    results: Path,
    data_dir: Path | None = None,
    columns: str | None = None,
    fresh: bool = False,
    listener: Listener | None = None,
) -> Record:
    """Runs one model on one dataset, writes the record into `results` and returns it.

    A run that was broken off in training goes on from its last whole epoch; `fresh` forgets it. A
    run that fails, runs out of memory or is interrupted has a record too, whose status says so.

    Raises SrbenchError for bad input and if another process is running the same run.
    """
    cell = Cell(resolved, Store(results), listener or Listener())
    with threads(resolved.settings.threads):
        cell.prepare(data_dir, columns)
        with cell.store.lock(cell.key):
            if fresh:
                cell.checkpoint.remove()
            return cell.run()


@dataclass
class Found:
    """What a run has found so far; whatever happens next, it goes into the record."""

    model: Recommender | None = None
    supervision: str = ""
    targets: int = 0
    progress: Progress | None = None
    stopped: str = "broken off"
    validation: dict[str, float] = field(default_factory=dict)
    test: Evaluation | None = None
    measurements: list[Measurement] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=dict)
    warnings: list[Caution] = field(default_factory=list)


class Cell:
    """A run in the making. `prepare` first: the key of the record depends on the data."""

    def __init__(self, resolved: Resolved, store: Store, listener: Listener) -> None:
        self.resolved, self.store, self.listener = resolved, store, listener
        self.settings: RunSettings = resolved.settings
        self.model_class = get(self.settings.model)
        self.device = device_of(self.settings.device)
        self.found = Found()
        self.level: int | None = None

    def prepare(self, data_dir: Path | None, columns: str | None) -> None:
        """Loads and splits the data, and with it knows the key."""
        settings = self.settings
        self.listener.phase("preparing")
        self._refuse_unused()
        self._refuse_broken()
        self.columns = columns
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            self.dataset: Dataset = load(
                settings.dataset,
                settings.data,
                data_dir=data_dir,
                columns=columns,
                progress=self.listener.progress,
            )
        for one in caught:
            self._warn(str(one.message), "")
        self._tell_target_time()
        self.sequences = Sequences(self.dataset, self.device)
        self.split: Split = make_split(self.dataset, settings.data.split)
        self.key = run_key(settings, self.model_class, self.dataset, self.split, self.device)
        self.checkpoint = Checkpoint(
            self.store.folder / ".checkpoints" / f"{self.key}.safetensors", self.key
        )
        for targets in (self.split.valid, self.split.test):
            require_candidates(self.dataset, targets)  # now, not after hours of training
        self.used = data_used(self.dataset, self.split, settings)
        self.listener.dataset_ready(self.dataset, self.used)

    def _refuse_broken(self) -> None:
        """A model of others is held to its contract first: what breaks it is not measured."""
        if not is_ours(self.model_class):
            name, length = self.settings.model, self.settings.data.length
            settings = self.resolved.model_settings
            check(self.model_class, name, settings, length=length, device=self.device)

    def _refuse_unused(self) -> None:
        """A setting of the training that this model has no use for is an error, or is told."""
        if self.model_class.learns == "gradient":
            model_settings = self.resolved.model_settings
            chosen = supervision_of(self.model_class, model_settings, self.settings.train)
            if isinstance(model_settings, ClozeSettings) and chosen != "cloze":
                self._refuse_masks(chosen)
            return
        unused = [
            key
            for key, origin in self.resolved.origins.items()
            if key.startswith("train.") and origin != "default"
        ]
        if unused:
            self._warn(
                f"{self.settings.model} learns by counting: {', '.join(unused)} changed nothing.",
                "Leave it out.",
            )

    def _refuse_masks(self, chosen: str) -> None:
        for name in ClozeSettings.model_fields:
            origin = self.resolved.origins[f"model.{name}"]
            if origin != "default" and not origin.startswith("preset"):
                raise SrbenchError(
                    f"model.{name} has no effect with train.supervision={chosen}: leave it out."
                )

    def _tell_target_time(self) -> None:
        """Whoever sees when the target happens knows more than others: that goes with its numbers,
        as it does if a model that uses times finds none.

        Raises SrbenchError if the time of the target is wanted of a dataset without times.
        """
        settings = self.resolved.model_settings
        if not getattr(settings, "target_time", False):
            if getattr(settings, "time", False) and self.dataset.times is None:
                self._warn(
                    f"{self.dataset.name} has no times: the model does without them.",
                    "Set model.time=false if that is meant.",
                )
            return
        if self.dataset.times is None:
            raise SrbenchError(
                f"model.target_time has no effect, because {self.dataset.name} has no times: "
                "leave it out."
            )
        self._warn(SEES_TARGET_TIME, "Compare it only with models that see it too.")

    def run(self) -> Record:
        """Trains, ranks, measures; a failure on the way becomes the record's status."""
        status: Status = "ok"
        reason: str | None = None
        try:
            self.train()
            self.evaluate()
            self.measure()
        except KeyboardInterrupt:
            status, reason = "interrupted", "Ctrl-C was pressed"
        except RunFailed as error:
            status, reason = "failed", str(error)
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or any(w in str(error) for w in OUT_OF_MEMORY)):
                raise
            status = "out of memory"
            reason = (
                "The memory was not enough; lower train.batch_tokens, evaluate.batch_tokens or "
                f"data.length ({str(error).splitlines()[0]})"
            )
        written = self.store.write(
            self.record(status, reason), ranks=self.ranks(), samples=self.found.samples
        )
        record = self.store.read(written)  # as it is published: without paths, with its arrays
        if status == "ok":
            self.checkpoint.remove()
        self.listener.finished(record)
        return record

    def train(self) -> None:
        """Fits the model, by gradient or by counting."""
        settings, found = self.settings, self.found
        self.listener.phase("training")
        self.level = resident_bytes()  # before the model: what it adds is what it needs
        seed_all(settings.seed, 0)
        length = settings.data.length
        model = Recommender(
            self.model_class,
            self.resolved.model_settings,
            self.dataset.n_items,
            length,
        ).to(self.device)
        found.model = model
        if self.model_class.learns == "counts":
            with Stopwatch(self.device) as watch:
                model.fit_by_counting(*training_part(self.dataset, self.split, self.device))
            self._measured(TIME_EPOCH, watch.seconds, "s", "one pass of counting")
            return
        train, model_settings = settings.train, self.resolved.model_settings
        found.supervision = supervision_of(self.model_class, model_settings, train)
        batches = TrainingBatches(
            self.dataset,
            self.split,
            supervision=found.supervision,
            length=length,
            tokens=train.batch_tokens,
            users=train.batch_users,
            stride=train.stride,
            prefixes_per_user=train.prefixes_per_user,
            cloze=model_settings if isinstance(model_settings, ClozeSettings) else None,
            padded=not self.model_class.pad_invariant,
            seed=settings.seed,
            sequences=self.sequences,
        )
        found.targets = batches.targets_per_epoch
        trainer = Trainer(
            model,
            batches,
            train,
            seed=settings.seed,
            validate=self._validate,
            checkpoint=self.checkpoint,
            watcher=self.listener,
            epoch_ends=lambda row, best: self.listener.epoch_ends(Epoch.model_validate(row), best),
        )
        if trainer.resume():
            self.listener.resumed(trainer.progress.epoch, train.epochs)
        found.progress = trainer.progress
        now = made_by(self.device)
        began = found.progress.began_with = found.progress.began_with or now
        if began != now:
            differing = ", ".join(name for name in now if now[name] != began.get(name))
            self._warn(
                f"The training was resumed under another {differing} than it began with.",
                "It may differ from an uninterrupted one; --fresh starts again.",
            )
        with self._memory(MEMORY_TRAIN):
            found.stopped = trainer.run()
        seconds = median(row["seconds"] for row in trainer.progress.curve)
        self._measured(TIME_EPOCH, seconds, "s", "median over epochs, without validation")

    def evaluate(self) -> None:
        """Ranks the test targets under all protocols, once, with the selected model."""
        self.listener.phase("evaluating")
        found = self.found
        found.validation = self._evaluate("valid", PROTOCOLS).metrics
        with self._memory(MEMORY_EVALUATE), Stopwatch(self.device) as watch:
            found.test = self._evaluate("test", PROTOCOLS, coverage_at=10)
        users = len(found.test.targets)
        self._measured(
            TIME_EVALUATE, watch.seconds, "s", f"one pass over {users} users, four protocols"
        )
        for what, advice in found.test.warnings:
            self._warn(what, advice)

    def measure(self) -> None:
        """What is measured beside accuracy."""
        self.listener.phase("measuring")
        settings, found, model = self.settings.measure, self.found, self.found.model
        assert model is not None
        if settings.flops:
            found.measurements += [count(model) for count in (request_flops, request_scans)]
        if settings.requests:
            timed = request_times(model, self.device, settings.seconds)
            found.measurements += timed.measurements
            found.samples |= timed.samples
        found.measurements.append(process_peak())

    def ranks(self) -> dict[str, Any]:
        """Per-user ranks of the test under each protocol, with the users they belong to."""
        if self.found.test is None:
            return {}
        ranks: dict[str, Any] = {str(p): r for p, r in self.found.test.ranks.items()}
        return ranks | {"users": self.found.test.targets.users}

    def record(self, status: Status, reason: str | None) -> Record:
        """The record of what has been found."""
        settings, found = self.settings, self.found
        return Record(
            key=self.key,
            status=status,
            reason=reason,
            created=utc_now(),
            command=command(self.resolved, self.columns),
            model=ModelUsed(
                name=settings.model,
                family=self.model_class.info.family,
                settings=settings.settings,
                parameters=None if found.model is None else parameters(found.model),
                kernel="torch" if found.model is None else found.model.encoder.kernel,
            ),
            data=self.used,
            seed=settings.seed,
            settings=settings.model_dump(mode="json"),
            origins=self.resolved.origins,
            code=code(),
            environment=environment(self.device.type),
            training=self._training(),
            validation=found.validation,
            test={} if found.test is None else found.test.metrics,
            coverage={} if found.test is None else found.test.coverage,
            measurements=found.measurements,
            warnings=found.warnings,
        )

    def _training(self) -> Training | None:
        found = self.found
        if found.progress is None:
            return None
        return Training(
            supervision=found.supervision,
            loss=self.settings.train.loss,
            epochs=found.progress.epoch,
            best_epoch=found.progress.best_epoch,
            steps=found.progress.steps,
            targets_per_epoch=found.targets,
            stopped_because=found.stopped,
            resumed_from=found.progress.resumed_from,
            curve=[Epoch.model_validate(row) for row in found.progress.curve],
        )

    def _evaluate(
        self, which: Any, protocols: tuple[Protocol, ...], coverage_at: int | None = None
    ) -> Evaluation:
        assert self.found.model is not None
        return evaluate(
            self.found.model,
            self.dataset,
            self.split,
            which,
            length=self.settings.data.length,
            device=self.device,
            protocols=protocols,
            coverage_at=coverage_at,
            batch_tokens=self.settings.evaluate.batch_tokens,
            sequences=self.sequences,
        )

    def _validate(self) -> tuple[dict[str, float], float]:
        evaluation = self._evaluate("valid", _selecting(self.settings))
        return evaluation.metrics, evaluation[self.settings.evaluate.select_by]

    @contextmanager
    def _memory(self, name: str) -> Iterator[None]:
        """Measures a phase; its peak stands in the record even if the phase fails."""
        memory = PhaseMemory(name, self.device, level=self.level)
        try:
            with memory:
                yield
        finally:
            self.found.measurements += memory.measurements()

    def _warn(self, what: str, advice: str) -> None:
        self.found.warnings.append(Caution(what=what, advice=advice))
        self.listener.warning(what, advice)

    def _measured(self, name: str, value: float, unit: str, method: str) -> None:
        self.found.measurements.append(
            Measurement(name=name, value=value, unit=unit, method=method)
        )


def _selecting(settings: RunSettings) -> tuple[Protocol, ...]:
    """The protocols of a validation: both full ones, and the one that selects."""
    wanted = settings.evaluate.select_by.split("|", 1)[1]
    return FULL + tuple(p for p in PROTOCOLS if p not in FULL and str(p) == wanted)
