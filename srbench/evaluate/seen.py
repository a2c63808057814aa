"""The items that users have seen: their complete history, however little of it the model is shown.

`Seen` is made for one batch of targets at a time, so its memory does not grow with the dataset.
    B  targets of a batch        K  items of the longest row
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Targets

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """For each target the distinct items of the events before it, without the target itself.

    rows: int64, which target. items: int64, ascending within a row. offsets: int64 [B + 1].
    """

    rows: Int64
    items: Int64
    offsets: Int64

    def padded_BK(self) -> Int64:
        """One row a target, 0 behind its end."""
        counts_B = np.diff(self.offsets)
        padded_BK = np.zeros((len(counts_B), int(counts_B.max(initial=0))), dtype=np.int64)
        padded_BK[self.rows, np.arange(len(self.items)) - self.offsets[self.rows]] = self.items
        return padded_BK


def seen_before(dataset: Dataset, targets: Targets) -> Seen:
    """What the users of these targets have seen when each target comes."""
    rows, events = _events_before(dataset, targets)
    items = dataset.items[events].astype(np.int64)
    others = items != dataset.items[targets.ends][rows]
    keys = np.sort(rows[others] * (dataset.n_items + 1) + items[others])
    keys = keys[np.diff(keys, prepend=-1) > 0]
    rows, items = np.divmod(keys, dataset.n_items + 1)
    offsets = np.searchsorted(rows, np.arange(len(targets) + 1))
    return Seen(rows, items, offsets.astype(np.int64))


def history_lengths(dataset: Dataset, targets: Targets) -> Int64:
    """Events before each target, repeats included."""
    return targets.ends - dataset.offsets[targets.users]


def _events_before(dataset: Dataset, targets: Targets) -> tuple[Int64, Int64]:
    """Target and position in the dataset of every event that comes before a target."""
    lengths_B = history_lengths(dataset, targets)
    rows = np.repeat(np.arange(len(targets)), lengths_B)
    firsts_B = dataset.offsets[targets.users] - (np.cumsum(lengths_B) - lengths_B)
    return rows, np.arange(len(rows)) + firsts_B[rows]
