from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st

from srbench.evaluate.coverage import Coverage


def covered(scores: torch.Tensor, k: int, chunk: int) -> float:
    coverage, top = Coverage(scores.shape[1], k), None
    for start in range(0, scores.shape[1], chunk):
        top = coverage.best(scores[:, start : start + chunk], start, top)
    assert top is not None
    coverage.add(top)
    return coverage.share()


def test_shares_of_a_small_catalogue() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0]])
    assert covered(scores, 1, 4) == 1 / 4
    assert covered(scores, 2, 4) == 3 / 4
    assert covered(scores, 4, 4) == 1.0


def test_ties_for_the_last_place_recommend_all_or_none() -> None:
    assert covered(torch.tensor([[9.0, 5.0, 5.0, 1.0]]), 2, 4) == 1 / 4  # 5.0 has rank 2.5
    assert covered(torch.tensor([[9.0, 5.0, 5.0, 1.0]]), 3, 4) == 3 / 4
    assert covered(torch.zeros(5, 100), 10, 100) == 0.0  # a constant scorer recommends nothing


def test_batches_add_up() -> None:
    coverage = Coverage(4, 1)
    for best in (1, 3, 1):
        coverage.add(coverage.best(torch.eye(4)[[best - 1]], 0))
    assert coverage.share() == 2 / 4


@given(
    scores=st.integers(2, 12).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=4
        )
    ),
    k=st.integers(1, 6),
    chunk=st.integers(1, 12),
)
def test_an_item_is_covered_if_its_own_rank_is_at_most_k(
    scores: list[list[int]], k: int, chunk: int, rank_by_sorting: Callable[..., float]
) -> None:
    expected = {
        item for row in scores for item in range(1, len(row) + 1) if rank_by_sorting(row, item) <= k
    }
    share = covered(torch.tensor(scores, dtype=torch.float32), k, chunk)
    assert round(share * len(scores[0])) == len(expected)
