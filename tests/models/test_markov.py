"""Markov, counted by hand."""

from __future__ import annotations

import pytest
import torch

from srbench.models.base import Batch
from srbench.models.markov import Markov, MarkovSettings
from srbench.recommender import Recommender

# Three users: 1 2 3 2 | 2 3 | 1 2 4 4. Item 5 is in nobody's training part.
ITEMS = torch.tensor([1, 2, 3, 2, 2, 3, 1, 2, 4, 4])
OFFSETS = torch.tensor([0, 4, 6, 10])
# 1 -> 2 twice; 2 -> 3 twice, 2 -> 4 once; 3 -> 2 once; 4 -> 4 once.
# Popularity: 2, 4, 2, 2, 0; the largest is 4, so popularity adds a fifth of these.


def fitted(items: torch.Tensor = ITEMS, offsets: torch.Tensor = OFFSETS) -> Recommender:
    recommender = Recommender(Markov, MarkovSettings(), 5, 10)
    recommender.fit_by_counting(items, offsets)
    return recommender


def scores(*history: int) -> list[float]:
    recommender = fitted()
    batch = Batch(torch.tensor([history]), torch.tensor([len(history)]))
    (row,) = recommender.score(recommender.represent(batch)).tolist()
    return [round(score, 12) for score in row]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (1, [0.4, 2.8, 0.4, 0.4, 0.0]),
        (2, [0.4, 0.8, 2.4, 1.4, 0.0]),
        (3, [0.4, 1.8, 0.4, 0.4, 0.0]),
        (4, [0.4, 0.8, 0.4, 1.4, 0.0]),
        (5, [0.4, 0.8, 0.4, 0.4, 0.0]),  # nothing ever followed it: popularity alone
    ],
)
def test_scores_are_transitions_then_popularity(last: int, expected: list[float]) -> None:
    assert scores(last) == expected
    assert scores(3, 1, last) == expected  # the last event alone matters


def test_no_transition_reaches_from_one_user_into_the_next() -> None:
    encoder = fitted().encoder
    assert isinstance(encoder, Markov)
    pairs = [(key // 6, key % 6) for key in encoder.followed.keys.tolist()]
    assert pairs == [(1, 2), (2, 3), (2, 4), (3, 2), (4, 4)]
    assert encoder.followed.values.tolist() == [2, 2, 1, 1, 1]


def test_an_item_that_followed_beats_every_popular_one() -> None:
    # 1 is in 1000 of the events, yet 2 -> 3 happened once
    items = torch.tensor([2, 3, *[1] * 1000])
    recommender = fitted(items, torch.tensor([0, 2, 1002]))
    s_BV = recommender.score(torch.tensor([[2]]))
    assert s_BV.argsort(descending=True).tolist()[0][:2] == [2, 0]


def test_large_counts_do_not_drown_popularity() -> None:
    # after 1 both 2 and 3 came 5000 times; 3 was seen once more, of 20 000 events
    pairs = torch.tensor([[1, 2], [1, 3]]).repeat(5000, 1).flatten()
    items = torch.cat([pairs, torch.tensor([3])])
    offsets = torch.cat([torch.arange(0, 20001, 2), torch.tensor([20001])])
    s_BV = fitted(items, offsets).score(torch.tensor([[1]]))
    assert s_BV[0, 2] > s_BV[0, 1] > 5000


def test_users_without_events_and_a_range_of_items() -> None:
    recommender = fitted(ITEMS, torch.tensor([0, 0, 4, 4, 6, 10, 10]))
    expected = fitted().score(torch.tensor([[2], [4]]))
    assert torch.equal(recommender.score(torch.tensor([[2], [4]])), expected)
    assert torch.equal(recommender.score_range(torch.tensor([[2], [4]]), 1, 4), expected[:, 1:4])
