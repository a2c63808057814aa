"""A literal dataset, a model whose scores are small integers, and ranks by sorting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from srbench.data.dataset import Dataset
from srbench.models.base import Encoder, Settings
from srbench.recommender import Recommender

SEQUENCES = [
    [1, 2, 3, 4, 5],
    [2, 2, 6, 1, 2, 7, 2],  # repeats, and a target that was seen before
    [7, 8, 9],
    [9, 8, 7, 6, 5, 4, 3, 2, 1],
    [3, 1, 4, 1],
]


class IntegerSum(Encoder):
    """The sum of the item rows, all small integers: scores are exact, and ties are many."""

    Settings = Settings
    width = 4

    def __init__(self, settings: Settings, n_items: int, length: int) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def init_table(self, table_VD: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(3)
        table_VD.copy_(torch.randint(-1, 2, table_VD.shape, generator=generator))

    def forward(self, x_BLD: torch.Tensor, batch: Any) -> torch.Tensor:
        self.batches.append(batch)
        return (x_BLD * batch.mask_BL()[:, :, None]).sum(1)


def build(sequences: Sequence[Sequence[int]], n_items: int) -> Dataset:
    return Dataset(
        name="literal",
        items=np.concatenate([np.array(s, dtype=np.int32) for s in sequences]),
        offsets=np.cumsum([0, *map(len, sequences)], dtype=np.int64),
        times=None,
        user_ids=np.array([f"u{u}" for u in range(len(sequences))]),
        item_ids=np.array([f"i{i}" for i in range(1, n_items + 1)]),
        fingerprint="0" * 16,
    )


def mid_rank(scores: Sequence[float], target: int, left_out: Sequence[int] = ()) -> float:
    """The mean place of all items with the target's score in the sorted list of candidates.

    Items are 1, 2, ...; `left_out` are no candidates.
    """
    candidates = [i for i in range(1, len(scores) + 1) if i not in left_out or i == target]
    ordered = sorted((scores[i - 1] for i in candidates), reverse=True)
    places = [place for place, s in enumerate(ordered, start=1) if s == scores[target - 1]]
    return sum(places) / len(places)


@pytest.fixture
def dataset() -> Dataset:
    return build(SEQUENCES, n_items=9)


@pytest.fixture
def make_dataset() -> Callable[[Sequence[Sequence[int]], int], Dataset]:
    return build


@pytest.fixture
def make_recommender() -> Callable[..., Recommender]:
    def make(dataset: Dataset, length: int, encoder: type[Encoder] = IntegerSum) -> Recommender:
        return Recommender(encoder, Settings(), dataset.n_items, length)

    return make


@pytest.fixture
def integer_sum() -> type[Encoder]:
    return IntegerSum


@pytest.fixture(scope="session")
def rank_by_sorting() -> Callable[..., float]:
    return mid_rank
