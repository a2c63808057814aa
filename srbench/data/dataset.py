"""A prepared dataset: every interaction of every user in time order, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """What one step of the preparation left over."""

    name: str
    users: int
    items: int
    interactions: int


@dataclass(frozen=True)
class Dataset:
    """Sequences in CSR form: user u has `items[offsets[u]:offsets[u + 1]]`, in time order.

    items: int32 [interactions], dense item ids 1..n_items (0 is the pad).
    offsets: int64 [n_users + 1].
    times: int64 seconds [interactions], or None where the source has no times.
    user_ids, item_ids: the original ids as text; item_ids[i] is the id of dense item i + 1.
    fingerprint: 16 hex digits over everything that decides a result (items, offsets, times).
    """

    name: str
    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    times: NDArray[np.int64] | None
    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    fingerprint: str
    time_ties: str = "row"
    k_core: int = 0
    steps: tuple[Step, ...] = field(default=())

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @property
    def n_interactions(self) -> int:
        return len(self.items)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Targets:
    """Events to be predicted: `items[ends[n]]` of user `users[n]`, from the history before it.

    users: int64 [N], rows of the dataset. ends: int64 [N], positions in `Dataset.items`.
    """

    users: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """Which events train, which select, which are reported.

    train_ends: int64 [n_users]; user u trains on `items[offsets[u]:train_ends[u]]`.
    name: as it stands in a signature: "loo" or "temporal:0.9".
    """

    name: str
    train_ends: NDArray[np.int64]
    valid: Targets
    test: Targets
