"""ItemKNN, counted by hand, and its two ways to count against each other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from srbench.models import itemknn
from srbench.models.base import Batch
from srbench.models.itemknn import ItemKNN, ItemKNNSettings
from srbench.recommender import Recommender

# Four users: 1 2 2 | 1 2 3 | 2 3 | 4. Item 5 is in nobody's training part.
ITEMS = torch.tensor([1, 2, 2, 1, 2, 3, 2, 3, 4])
OFFSETS = torch.tensor([0, 3, 6, 8, 9])
# Users of each item: 2, 3, 2, 1, 0. Together: 1 and 2 twice, 1 and 3 once, 2 and 3 twice.
FAR, NEAR = 1 / math.sqrt(2 * 2), 2 / math.sqrt(2 * 3)


def fitted(items: torch.Tensor, offsets: torch.Tensor, n_items: int, **settings: Any) -> ItemKNN:
    recommender = Recommender(ItemKNN, ItemKNNSettings(**settings), n_items, 10).double()
    recommender.fit_by_counting(items, offsets)
    assert isinstance(recommender.encoder, ItemKNN)
    return recommender.encoder


def scores(*history: int, **settings: Any) -> list[float]:
    recommender = Recommender(ItemKNN, ItemKNNSettings(**settings), 5, 10).double()
    recommender.fit_by_counting(ITEMS, OFFSETS)
    batch = Batch(torch.tensor([history]), torch.tensor([len(history)]))
    (row,) = recommender.score(recommender.represent(batch)).tolist()
    return row


def test_one_item_scores_its_neighbours_and_not_itself() -> None:
    assert scores(1) == pytest.approx([0, NEAR, FAR, 0, 0])
    assert scores(2) == pytest.approx([NEAR, 0, NEAR, 0, 0])
    assert scores(4) == scores(5) == [0, 0, 0, 0, 0]


def test_later_events_count_more() -> None:
    expected = [0, (0.5 + 1) * NEAR, 0.5 * FAR, 0, 0]  # 1 a step before 3
    expected[0] += FAR
    assert scores(1, 3, decay=0.5) == pytest.approx(expected)


def test_only_recent_events_count() -> None:
    assert scores(4, 4, 2, 1, recent=2, decay=0.5) == scores(2, 1, recent=2, decay=0.5)
    assert scores(3, 1, recent=1) == scores(1)


def test_shrink_damps() -> None:
    assert scores(1, shrink=3.0) == pytest.approx([0, 2 / (math.sqrt(6) + 3), 1 / (2 + 3), 0, 0])


def test_the_most_similar_are_kept_and_ties_with_the_last_of_them() -> None:
    assert scores(1, neighbours=1) == pytest.approx([0, NEAR, 0, 0, 0])
    assert scores(2, neighbours=1) == pytest.approx([NEAR, 0, NEAR, 0, 0])


@pytest.mark.parametrize("shrink", [0.0, 2.0])
@pytest.mark.parametrize(
    ("users", "n_items", "neighbours"), [(30, 12, 3), (200, 60, 10), (3, 50, 99)]
)
def test_both_ways_to_count_find_the_same(
    users: int, n_items: int, neighbours: int, shrink: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(users)
    lengths = torch.randint(0, 9, (users,), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    items = torch.randint(1, n_items + 1, (int(offsets[-1]),), generator=generator)
    monkeypatch.setattr(itemknn, "PAIRS", 50)  # many parts
    monkeypatch.setattr(itemknn, "BLOCK", 7)  # many tiles
    found = []
    for gain in (0, 10**9):
        monkeypatch.setattr(itemknn, "DENSE_GAIN", gain)
        found.append(fitted(items, offsets, n_items, neighbours=neighbours, shrink=shrink).similar)
    assert torch.equal(found[0].keys, found[1].keys)
    assert torch.equal(found[0].values, found[1].values)
    # and the same as the definition
    x_UV = torch.zeros(users, n_items + 1, dtype=torch.float64)
    for user in range(users):
        x_UV[user, items[offsets[user] : offsets[user + 1]]] = 1
    used_V = x_UV.sum(0)
    c_VV = (x_UV.t() @ x_UV / ((used_V * used_V[:, None]).sqrt() + shrink)).nan_to_num(0)
    c_VV.fill_diagonal_(0)
    border_V1 = c_VV.topk(min(neighbours, n_items)).values[:, -1:]
    expected_VV = c_VV * (c_VV >= border_V1)
    every = torch.arange(n_items + 1)[:, None]
    dense_VV = found[0].weighted_rows(every, torch.ones(1), 0, n_items)
    torch.testing.assert_close(dense_VV, expected_VV[:, 1:], rtol=0, atol=1e-12)


def test_nobody_has_two_items() -> None:
    similar = fitted(torch.tensor([1, 2, 2]), torch.tensor([0, 1, 3]), 3).similar
    assert len(similar.keys) == len(similar.values) == 0
