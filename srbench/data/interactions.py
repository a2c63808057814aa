"""Interactions as a source file holds them: coded, but not yet filtered or ordered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Interactions:
    """One row per interaction, in the order of the file.

    users, items: int32 [N], codes in order of first appearance in the file.
    times: int64 [N] in the source's own unit, float64 where they have fractions, None where the
        source has no times.
    user_ids, item_ids: the original ids as text (object arrays); user_ids[users[n]] is row n's.
    format: what the file was recognised as, in words.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: Times | None
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    format: str

    def __len__(self) -> int:
        return len(self.users)
