"""A run in the words of its record: its key, its data, its command."""

from __future__ import annotations

import hashlib
import inspect
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import srbench
from srbench.config.settings import RunSettings
from srbench.data.dataset import Dataset, Split
from srbench.data.split import leak, tied_share
from srbench.evaluate.protocol import PROTOCOL_VERSION
from srbench.experiment.oracle import oracle_metrics
from srbench.models.base import Encoder
from srbench.record.key import key_of
from srbench.record.schema import DataUsed, PreparationStep
from srbench.registry import is_ours

if TYPE_CHECKING:
    from srbench.config import Resolved


def run_key(
    settings: RunSettings,
    model: type[Encoder],
    dataset: Dataset,
    split: Split,
    device: torch.device,
) -> str:
    """The key of the record: what decides its result on one machine with equal threads.

    Our own models are covered by the version; those of others by their source file.
    """
    source = None if is_ours(model) else Path(inspect.getfile(model)).read_bytes()
    return key_of(
        {
            "model": settings.model,
            "settings": settings.settings,
            "data": [dataset.fingerprint, split.name, settings.data.length],
            "train": settings.train.model_dump() if model.learns == "gradient" else None,
            "evaluate": settings.evaluate.model_dump(),
            "seed": settings.seed,
            "device": device.type,
            "protocol": PROTOCOL_VERSION,
            "srbench": srbench.__version__,
        }
        | ({} if source is None else {"source": hashlib.sha256(source).hexdigest()})
    )


def command(resolved: Resolved, columns: str | None = None) -> str:
    """The command that makes the record again, without what is default or preset."""
    settings = resolved.settings
    words = ["srbench", "run", "--model", settings.model, "--dataset", settings.dataset]
    words += ["--seed", str(settings.seed)]
    words += [] if columns is None else ["--columns", columns]
    for row in resolved.rows():
        if row.key != "seed" and row.origin != "default" and not row.origin.startswith("preset"):
            value = row.value if row.value is not None else "none"
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words += ["--set", f"{row.key}={text}"]
    return shlex.join(words)


def data_used(dataset: Dataset, split: Split, settings: RunSettings) -> DataUsed:
    """The data as it stands in the record."""
    inputs = split.train_ends - dataset.offsets[:-1]
    return DataUsed(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        users=dataset.n_users,
        items=dataset.n_items,
        interactions=dataset.n_interactions,
        k_core=settings.data.k_core,
        duplicates=settings.data.duplicates,
        time_ties=settings.data.time_ties,
        split=split.name,
        length=settings.data.length,
        steps=[
            PreparationStep(name=s.name, users=s.users, items=s.items, interactions=s.interactions)
            for s in dataset.steps
        ],
        leak=leak(dataset, split),
        tied_share=tied_share(dataset),
        train_targets=int((inputs - 1).clip(min=0).sum()),
        valid_targets=len(split.valid),
        test_targets=len(split.test),
        oracle=oracle_metrics(dataset, split),
    )
