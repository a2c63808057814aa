from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP, POP100, UNI100
from srbench.evaluate.ranking import rank_users, ranks_of


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Scores with many ties, targets, distinct seen items, sampled items, a chunk of items."""
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(2, 12))
    score = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0])
    row = st.lists(score, min_size=n_items, max_size=n_items)
    item = st.integers(1, n_items)
    targets = draw(st.lists(item, min_size=n_users, max_size=n_users))
    seen = [sorted(draw(st.sets(item)) - {target}) for target in targets]
    sampled = [
        draw(st.lists(item.filter(lambda i, t=target: i != t), min_size=4, max_size=4))
        for target in targets
    ]
    return {
        "scores": draw(st.lists(row, min_size=n_users, max_size=n_users)),
        "targets": targets,
        "seen": seen,
        "sampled": sampled,
        "chunk": draw(st.integers(1, n_items + 1)),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])),
    }


def padded(rows: list[list[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows], dtype=torch.int64)


@given(question=questions())
def test_counting_gives_the_ranks_of_sorting(
    question: dict[str, Any], rank_by_sorting: Callable[..., float]
) -> None:
    scores = torch.tensor(question["scores"], dtype=question["dtype"])
    ranked = rank_users(
        lambda start, stop: scores[:, start:stop].clone(),
        scores.shape[1],
        torch.tensor(question["targets"]),
        seen_BK=padded(question["seen"]),
        sampled={UNI100: padded(question["sampled"])},
        chunk=question["chunk"],
    )
    for user, (row, target) in enumerate(zip(question["scores"], question["targets"], strict=True)):
        drawn = [row[target - 1], *(row[i - 1] for i in question["sampled"][user])]
        assert ranked.ranks[FULL_KEEP][user] == rank_by_sorting(row, target)
        assert ranked.ranks[FULL_DROP][user] == rank_by_sorting(row, target, question["seen"][user])
        assert ranked.ranks[UNI100][user] == rank_by_sorting(drawn, 1)
        assert ranked.tied_B[user] == (row.count(row[target - 1]) > 1)
    assert ranked.bad_B.tolist() == [0] * len(scores)


def test_one_user_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.7, 0.5, 0.5, 0.1]])
    ranked = ranks_of(scores, torch.tensor([2]), seen_BK=torch.tensor([[1, 5, 0]]))
    assert ranked.ranks[FULL_KEEP].tolist() == [1 + 2 + 2 / 2]
    assert ranked.ranks[FULL_DROP].tolist() == [1 + 1 + 1 / 2]  # without items 1 and 5


def test_a_constant_scorer_ties_with_the_whole_catalogue() -> None:
    ranked = ranks_of(torch.zeros(3, 101), torch.tensor([1, 50, 101]))
    assert ranked.ranks[FULL_KEEP].tolist() == [51.0, 51.0, 51.0]
    assert ranked.tied_B.all()


@given(question=questions(), seed=st.integers(0, 2**31))
def test_the_order_of_the_items_does_not_matter(question: dict[str, Any], seed: int) -> None:
    scores = torch.tensor(question["scores"])
    targets = torch.tensor(question["targets"])
    order = torch.from_numpy(np.random.default_rng(seed).permutation(scores.shape[1]))
    moved = order.argsort()[targets - 1] + 1
    expected = ranks_of(scores, targets).ranks[FULL_KEEP]
    assert ranks_of(scores[:, order], moved).ranks[FULL_KEEP].tolist() == expected.tolist()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("chunk", [2, 5])
def test_scores_that_are_not_finite_are_counted(value: float, chunk: int) -> None:
    scores = torch.arange(15.0).reshape(3, 5)
    scores[1, 0] = scores[1, 4] = value
    ranked = rank_users(
        lambda start, stop: scores[:, start:stop], 5, torch.tensor([1, 2, 3]), chunk=chunk
    )
    assert ranked.bad_B.tolist() == [0, 2, 0]


def test_large_finite_scores_are_no_error() -> None:
    scores = torch.full((2, 100), 3e38)  # their sum overflows
    assert ranks_of(scores, torch.tensor([1, 2])).bad_B.tolist() == [0, 0]


def test_a_chunk_scored_again_a_little_differently_counts_no_target_against_itself() -> None:
    calls = 0

    def score(start: int, stop: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return torch.arange(4.0)[None, start:stop] + (2**-10 if calls > 2 else 0)

    ranked = rank_users(score, 4, torch.tensor([4]), chunk=2)
    assert calls == 4
    assert ranked.ranks[FULL_KEEP].tolist() == [1.0]


def test_repeated_negatives_count_as_often_as_they_were_drawn() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 1.0]])
    negatives = {POP100: torch.tensor([[3, 3, 2, 4, 4]])}
    ranked = rank_users(
        lambda start, stop: scores[:, start:stop], 4, torch.tensor([1]), sampled=negatives
    )
    assert ranked.ranks[POP100].tolist() == [1 + 3 + 2 / 2]
