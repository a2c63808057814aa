"""Times one training epoch of one model, as JSON: a whole one, or evenly spread steps of it.

    python benchmarks/epoch.py sasrec ml-100k --length 200
    python benchmarks/epoch.py sigma ml-100k --length 200 --seconds 20

The steps are those that `srbench run` takes, after some of warm-up. Where an epoch takes longer
than `--seconds`, every n-th of its batches is taken, and the epoch computed from their targets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice

from srbench.config import resolve
from srbench.data import load
from srbench.data.batches import TrainingBatch, TrainingBatches
from srbench.data.split import make_split
from srbench.measure.clock import Stopwatch
from srbench.models.base import ClozeSettings
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.loop import seed_all, supervision_of
from srbench.train.step import Stepper

WARM_UP = 3  # steps


def timed(stepper: Stepper, batches: Iterator[TrainingBatch]) -> tuple[float, int, int]:
    """Seconds, targets and steps; batches are made inside the time, as in a training."""
    targets = steps = 0
    with Stopwatch("cpu") as watch:
        for batch in batches:
            stepper.step(batch)
            targets, steps = targets + batch.count, steps + 1
    return watch.seconds, targets, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="of whole epochs, at most")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    flags = {"data.length": asked.length, "data.k_core": 0}
    resolved = resolve(asked.model, asked.dataset, None, asked.set, flags)
    settings, model_class = resolved.settings, get(asked.model)
    dataset = load(asked.dataset, settings.data)
    seed_all(0, 0)
    model_settings = resolved.model_settings
    recommender = Recommender(model_class, model_settings, dataset.n_items, asked.length)
    supervision = supervision_of(model_class, model_settings, settings.train)
    batches = TrainingBatches(
        dataset,
        make_split(dataset, settings.data.split),
        supervision=supervision,
        length=asked.length,
        tokens=settings.train.batch_tokens,
        users=settings.train.batch_users,
        stride=settings.train.stride,
        prefixes_per_user=settings.train.prefixes_per_user,
        cloze=model_settings if isinstance(model_settings, ClozeSettings) else None,
        padded=not model_class.pad_invariant,
    )
    stepper = Stepper(recommender.train(), supervision, settings.train)
    for _, batch in zip(range(WARM_UP), batches.epoch(1), strict=False):
        stepper.step(batch)
    first, targets, _ = timed(stepper, islice(batches.epoch(2), WARM_UP))
    every = max(1, round(first / targets * batches.targets_per_epoch / asked.seconds))
    seconds, targets, steps = timed(stepper, islice(batches.epoch(3), 0, None, every))
    scale = batches.targets_per_epoch / targets if every > 1 else 1.0
    print(
        json.dumps(
            {
                "model": asked.model,
                "supervision": supervision,
                "epoch_seconds": seconds * scale,
                "targets_per_epoch": batches.targets_per_epoch,
                "steps": steps,
                "every": every,
            }
        )
    )


if __name__ == "__main__":
    main()
