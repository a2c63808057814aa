"""What a prepared dataset is like, in numbers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from srbench.data.dataset import Dataset, Split
from srbench.data.split import last_pair_tied, leak, tied_share


def summary(dataset: Dataset, split: Split) -> dict[str, Any]:
    """Sizes, lengths, ties, leak, preparation steps and fingerprint, as plain values.

    What needs times is None for a dataset without them.
    """
    lengths = dataset.lengths
    times = dataset.times
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": dataset.n_interactions,
        "density": dataset.n_interactions / (dataset.n_users * dataset.n_items),
        "length": {
            "shortest": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": float(lengths.mean()),
            "longest": int(lengths.max()),
        },
        "first": None if times is None else _date(int(times.min())),
        "last": None if times is None else _date(int(times.max())),
        "k_core": dataset.k_core,
        "time_ties": dataset.time_ties,
        "tied_share": tied_share(dataset),
        "last_pair_tied": last_pair_tied(dataset),
        "split": split.name,
        "training": int((split.train_ends - dataset.offsets[:-1]).sum()),
        "valid": len(split.valid),
        "test": len(split.test),
        "leak": leak(dataset, split),
        "steps": [asdict(step) for step in dataset.steps],
    }


def _date(seconds: int) -> str | None:
    """The UTC day, or None for a number that is no moment of the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return None
