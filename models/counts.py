"""A sparse matrix over pairs of items, for models that count: only what was counted is stored.

V  items of the catalogue, ids 1..V     N  stored numbers     B  users     K  sources of a user
C  items of a range of the catalogue
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ItemPairs(nn.Module):
    """Numbers m[i, j] for pairs of items i, j of a catalogue; what is not stored is 0.

    Kept as the sorted keys i * (V + 1) + j and a number for each, so that a range of a row is found
    by two searches. Empty until `store`.
    """

    keys: Tensor

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.stride = n_items + 1
        self.register_buffer("keys", torch.empty(0, dtype=torch.int64))
        self.values = nn.Parameter(torch.empty(0), requires_grad=False)

    def store(self, keys_N: Tensor, values_N: Tensor) -> None:
        """Sets the matrix. keys_N: int64, distinct, in ascending order."""
        self.keys = keys_N
        self.values = nn.Parameter(values_N, requires_grad=False)

    def row_range(self, sources_B: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is stored in the row of each source for the items start + 1 to stop.

        Returns for each number its place in `sources_B`, its column (0 for item start + 1) and
        itself. Source 0, the pad, has none.
        """
        first_B = torch.searchsorted(self.keys, sources_B * self.stride + start + 1)
        counts_B = torch.searchsorted(self.keys, sources_B * self.stride + stop + 1) - first_B
        users_N = torch.arange(len(sources_B), device=sources_B.device).repeat_interleave(counts_B)
        skip_B = first_B - (counts_B.cumsum(0) - counts_B)
        places_N = torch.arange(len(users_N), device=sources_B.device) + skip_B[users_N]
        columns_N = self.keys[places_N] - sources_B[users_N] * self.stride - (start + 1)
        return users_N, columns_N, self.values[places_N]

    def weighted_rows(self, sources_BK: Tensor, weights_K: Tensor, start: int, stop: int) -> Tensor:
        """The sum over k of weights[k] m[source k, item], s_BC for the items start + 1 to stop.

        Sources are added one after the other, so that equal users have equal scores everywhere.
        """
        s_BC = self.values.new_zeros(len(sources_BK), stop - start)
        flat = s_BC.view(-1)
        for sources_B, weight in zip(sources_BK.unbind(1), weights_K, strict=True):
            users_N, columns_N, values_N = self.row_range(sources_B, start, stop)
            places_N = users_N * (stop - start) + columns_N
            flat[places_N] += weight * values_N  # a place occurs once in the row of one source
        return s_BC


def count_pairs(keys_N: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct keys in ascending order, and how often each occurs."""
    if len(keys_N) == 0:
        return keys_N, keys_N
    lowest, highest = keys_N.aminmax()
    if highest - lowest < 4 * len(keys_N):  # so many that an array for all is faster than sorting
        counts_N = torch.bincount(keys_N - lowest)
        found_N = counts_N.nonzero().squeeze(1)
        return found_N + lowest, counts_N[found_N]
    distinct_N, counts_N = torch.unique(keys_N, return_counts=True)
    return distinct_N, counts_N


def owners(offsets: Tensor) -> Tensor:
    """The number of the sequence that each event of a CSR array belongs to."""
    users = torch.arange(len(offsets) - 1, device=offsets.device)
    return users.repeat_interleave(offsets.diff())
