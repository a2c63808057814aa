"""Training with early stopping: one loop for every model that learns by gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from srbench.config.settings import TrainSettings
from srbench.data.batches import Supervision, TrainingBatches
from srbench.errors import RunFailed, SrbenchError
from srbench.measure.clock import Stopwatch
from srbench.models.base import Encoder, Settings
from srbench.recommender import Recommender
from srbench.train.checkpoint import Checkpoint, Progress, copy_of
from srbench.train.step import Stepper

ESTIMATE_AFTER = 0.05  # share of an epoch after which its time is told
LOOK_EVERY = 20  # steps between two looks at the loss on a GPU, where looking waits

Metrics = dict[str, float]
Row = dict[str, Any]  # a row of the curve, as in the record


class Watcher(Protocol):
    """Who is told while a training goes on (`srbench.experiment.listener.Listener`)."""

    def estimate(self, seconds_per_epoch: float, epochs: int, advice: str | None) -> None: ...
    def epoch_begins(self, epoch: int, epochs: int, targets: int) -> None: ...
    def step(self, epoch: int, done_targets: int, targets: int, loss: float | None) -> None: ...


def seed_all(seed: int, epoch: int) -> None:
    """Seeds torch from (seed, epoch); epoch 0 is the initialisation of the model."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]))


def supervision_of(
    model: type[Encoder], model_settings: Settings, settings: TrainSettings
) -> Supervision:
    """What to train on: `cloze` where the model has it, `all` where it has `prefixes` with its
    settings, else `last`.

    Raises SrbenchError if what is wanted cannot be had, or if a setting has no effect on it.
    """
    able, wanted = model.can_prefixes(model_settings), settings.supervision
    if wanted == "all" and not able:
        raise SrbenchError(
            f"{model.__name__} cannot represent all prefixes in one pass"
            f"{' with these settings' if model.has_prefixes() else ''}: use "
            "train.supervision=last, or auto."
        )
    if wanted == "cloze" and not model.has_cloze():
        raise SrbenchError(
            f"{model.__name__} cannot fill in hidden events: leave train.supervision out."
        )
    best: Supervision = "cloze" if model.has_cloze() else "all" if able else "last"
    chosen = best if wanted == "auto" else wanted
    if chosen != "last" and settings.prefixes_per_user is not None:
        raise SrbenchError(
            f"train.prefixes_per_user has no effect where {model.__name__} trains on "
            f"{'all positions' if chosen == 'all' else 'hidden events'} at once: leave it out, or "
            "set train.supervision=last."
        )
    if chosen == "last" and settings.stride is not None:
        raise SrbenchError(
            f"train.stride has no effect where {model.__name__} trains on one prefix at a time: "
            "leave it out."
        )
    return chosen


class Trainer:
    """A model in training: `run` goes on until the last epoch, early stopping or an exception.

    The result depends on (settings, seed, data) alone: initialisation is the caller's, batches and
    dropout of an epoch are drawn from (seed, epoch). After every epoch the checkpoint is written; a
    resumed training is bit-equal to an uninterrupted one on the same machine.

    validate: signature -> value, and the value to raise. epoch_ends: told the row of the curve, and
    whether its validation is the best so far.
    """

    def __init__(
        self,
        recommender: Recommender,
        batches: TrainingBatches,
        settings: TrainSettings,
        *,
        seed: int,
        validate: Callable[[], tuple[Metrics, float]],
        checkpoint: Checkpoint,
        watcher: Watcher,
        epoch_ends: Callable[[Row, bool], None],
    ) -> None:
        self.recommender, self.batches, self.settings = recommender, batches, settings
        self.seed, self.validate, self.checkpoint = seed, validate, checkpoint
        self.watcher, self.epoch_ends = watcher, epoch_ends
        self.device = batches.sequences.device
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.stepper = Stepper(recommender, batches.supervision, settings)

    def resume(self) -> bool:
        """Takes up the checkpoint where there is one."""
        if not self.checkpoint.exists():
            return False
        self.progress, self.best = self.checkpoint.load(self.recommender, self.stepper.optimizer)
        self.progress.resumed_from.append(self.progress.epoch)
        return True

    def run(self) -> str:
        """Trains to the end, leaves the best model in the recommender and says why it stopped."""
        while (reason := self._finished()) is None:
            self._epoch()
        self.recommender.load_state_dict(self.best or self.recommender.state_dict())
        return reason

    def _finished(self) -> str | None:
        done, settings = self.progress, self.settings
        if done.best_epoch is not None:
            waited = (done.epoch - done.best_epoch) // settings.validate_every
            if waited >= settings.patience:
                return f"no gain on validation in {waited} validations"
        return "last epoch" if done.epoch >= settings.epochs else None

    def _epoch(self) -> None:
        epoch = self.progress.epoch + 1
        targets = self.batches.targets_per_epoch
        self.watcher.epoch_begins(epoch, self.settings.epochs, targets)
        seed_all(self.seed, epoch)
        self.recommender.train()
        steps, done, total, told = 0, 0, 0.0, epoch > 1
        pending: list[Tensor] = []
        with Stopwatch(self.device) as watch:
            for batch in self.batches.epoch(epoch):
                self._set_rate((epoch - 1 + min(1, done / targets)) / self.settings.epochs)
                pending.append(self.stepper.step(batch) * batch.count)
                steps, done = steps + 1, done + batch.count
                loss = None
                if self.device.type == "cpu" or len(pending) == LOOK_EVERY:
                    total, loss = total + _sum(pending), _sum(pending[-1:]) / batch.count
                    pending.clear()
                    self._refuse_nan(loss, epoch, steps)
                self.watcher.step(epoch, done, targets, loss)
                if not told and done >= ESTIMATE_AFTER * targets:
                    told = True
                    self._tell_estimate(watch.so_far() / done * targets)
            total += _sum(pending)
        self._refuse_nan(total, epoch, steps)
        self._close(epoch, steps, total / done, watch.seconds, done)

    def _set_rate(self, share: float) -> None:
        """The learning rate when `share` of all epochs is over."""
        factors = {"linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
        self.stepper.set_rate(self.settings.lr * factors.get(self.settings.schedule, 1.0))

    def _close(self, epoch: int, steps: int, loss: float, seconds: float, targets: int) -> None:
        done, settings = self.progress, self.settings
        done.epoch, done.steps = epoch, done.steps + steps
        row: Row = {
            "epoch": epoch,
            "steps": done.steps,
            "loss": loss,
            "seconds": seconds,
            "targets_per_second": targets / seconds,
        }
        best = False
        if epoch % settings.validate_every == 0 or epoch == settings.epochs:
            with Stopwatch(self.device) as watch:
                metrics, value = self.validate()
            row |= {"validation": metrics, "validation_seconds": watch.seconds}
            best = done.best_value is None or value > done.best_value
            if best:
                done.best_value, done.best_epoch = value, epoch
                self.best = copy_of(self.recommender)
        done.curve.append(row)
        self.checkpoint.save(done, self.recommender, self.stepper.optimizer, self.best)
        self.epoch_ends(row, best)

    def _refuse_nan(self, loss: float, epoch: int, steps: int) -> None:
        if not math.isfinite(loss):
            raise RunFailed(
                f"The loss was not finite in epoch {epoch}, step {steps}; lower train.lr "
                f"({self.settings.lr:g}) or set train.clip_norm=1."
            )

    def _tell_estimate(self, seconds: float) -> None:
        advice = None
        if seconds > 1800 and self.batches.supervision == "last":
            advice = "train.prefixes_per_user=1 asks one prefix of each user an epoch"
        elif seconds > 1800:
            advice = "a smaller data.length or model.width makes an epoch shorter"
        self.watcher.estimate(seconds, self.settings.epochs, advice)


def _sum(losses: list[Tensor]) -> float:
    return float(torch.stack(losses).double().sum()) if losses else 0.0
