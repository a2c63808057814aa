"""The sparse matrix of counting models against the dense one that it stands for."""

from __future__ import annotations

import pytest
import torch

from srbench.models.counts import ItemPairs, count_pairs, owners

N_ITEMS = 13


def filled() -> tuple[ItemPairs, torch.Tensor]:
    """A matrix with empty rows and columns, and all of it: [V + 1, V + 1]."""
    generator = torch.Generator().manual_seed(0)
    dense_VV = torch.rand(N_ITEMS + 1, N_ITEMS + 1, generator=generator, dtype=torch.float64)
    dense_VV *= torch.rand(dense_VV.shape, generator=generator) < 0.3
    dense_VV[[0, 4]] = 0
    dense_VV[:, [0, 7]] = 0
    pairs = ItemPairs(N_ITEMS)
    keys_N = dense_VV.flatten().nonzero().squeeze(1)
    pairs.store(keys_N, dense_VV.flatten()[keys_N])
    return pairs, dense_VV


def test_weighted_rows_are_those_of_the_dense_matrix() -> None:
    pairs, dense_VV = filled()
    sources_BK = torch.tensor([[1, 2, 2], [13, 0, 0], [4, 4, 0], [5, 12, 13]])
    weights_K = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    expected = torch.einsum("k,bkv->bv", weights_K, dense_VV[sources_BK])[:, 1:]
    for start, stop in [(0, N_ITEMS), (0, 1), (3, 9), (N_ITEMS - 1, N_ITEMS), (5, 5)]:
        found = pairs.weighted_rows(sources_BK, weights_K, start, stop)
        torch.testing.assert_close(found, expected[:, start:stop], rtol=0, atol=1e-15)


def test_an_empty_matrix_is_zero() -> None:
    found = ItemPairs(3).weighted_rows(torch.tensor([[1], [3]]), torch.ones(1), 0, 3)
    assert found.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("far", [0, 10**12])  # counted in an array, or by sorting
def test_pairs_are_counted_in_order(far: int) -> None:
    keys_N, counts_N = count_pairs(torch.tensor([9, 2, 9 + far, 5, 2, 9]))
    expected = {2: 2, 5: 1, 9: 3} if far == 0 else {2: 2, 5: 1, 9: 2, 9 + far: 1}
    assert dict(zip(keys_N.tolist(), counts_N.tolist(), strict=True)) == expected
    assert keys_N.tolist() == sorted(expected)


def test_no_pairs_are_counted_as_none() -> None:
    keys_N, counts_N = count_pairs(torch.empty(0, dtype=torch.int64))
    assert len(keys_N) == len(counts_N) == 0


def test_events_know_their_sequence() -> None:
    assert owners(torch.tensor([0, 2, 2, 5])).tolist() == [0, 0, 2, 2, 2]
