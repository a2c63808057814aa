"""ItemKNN: what is similar to the recent items, by the cosine over users.

Sarwar, Karypis, Konstan and Riedl, "Item-Based Collaborative Filtering Recommendation Algorithms",
WWW 2001, with the similarity of implicit feedback and the neighbourhood of Deshpande and Karypis,
"Item-Based Top-N Recommendation Algorithms", TOIS 22, 2004.

    n(i)       users whose training sequence has i        n(i, j)  users whose sequence has both
    c(i, j)    n(i, j) / (sqrt(n(i) n(j)) + shrink)       for the neighbours j of i, else 0
    score(j)   the sum over a = 0, 1, ..., recent - 1 of decay^a c(i_a, j)

where i_0 is the last item of the history, i_1 the one before it, and so on. The neighbours of i are
the `neighbours` most similar items other than itself; who is as similar as the last of them is one
too, so that nothing depends on the numbers of the items.

Differs from the papers: the last items count, the later the more, instead of the whole profile
(`recent`, `decay`); rows are not normalised. Differs from RecBole 1.2.1 (`itemknn.py`): in the same
two, in the ties, and in that an item is a neighbour in the row of the source, not of the candidate.

    B  users, L  positions, K  recent items, V  items of the catalogue; of the training part:
    U  users, E  distinct (user, item), P  pairs of items of one user, N  distinct pairs of items
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.counts import ItemPairs, count_pairs, owners

Found = Iterator[tuple[Tensor, Tensor]]  # keys and similarities of some sources' neighbours

PAIRS = 1 << 22  # pairs of events that are sorted at once
BLOCK = 512  # items and users of a tile of the dense product
DENSE_ITEMS = 8192  # a dense matrix over more items would take more than 256 MiB
DENSE_GAIN = 5000  # multiplications in the time that it takes to sort one pair


class ItemKNNSettings(Settings):
    """Neighbours and shrink: RecBole 1.2.1, `properties/model/ItemKNN.yaml`. What is recent was
    chosen on the validation part of ml-100k."""

    idle = (("decay", "recent", 1),)
    neighbours: int = Field(100, ge=1, description="most similar items kept for each item")
    shrink: float = Field(0.0, ge=0, description="added below the fraction: damps rare items")
    recent: int = Field(10, ge=1, description="last events of a history that are looked at")
    decay: float = Field(0.5, gt=0, le=1, description="weight of an event to that of the next one")


class ItemKNN(Encoder):
    """score(j) = the similarity of j to the recent items, the last one first."""

    info = Info(
        family="reference",
        year=2001,
        paper="Sarwar et al., Item-Based Collaborative Filtering, WWW 2001",
        reference="RecBole 1.2.1, recbole/model/general_recommender/itemknn.py",
        summary="What the users of the recent items also had.",
    )
    Settings = ItemKNNSettings
    learns = "counts"

    def __init__(self, settings: ItemKNNSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.recent  # the representation is the last ids, the latest first
        self.neighbours, self.shrink = settings.neighbours, settings.shrink
        self.decay = settings.decay
        self.similar = ItemPairs(n_items)

    def fit_table(self, items: Tensor, offsets: Tensor, table_VD: Tensor) -> None:
        """Counts in how many sequences two items stand together; an item counts once in each."""
        stride, users = self.similar.stride, len(offsets) - 1
        distinct_E = torch.unique(owners(offsets) * stride + items)
        users_E, items_E = distinct_E // stride, distinct_E % stride
        sizes_U = torch.bincount(users_E, minlength=users)
        work = sizes_U.double().square().sum().item()  # pairs of items of one user
        dense = stride <= DENSE_ITEMS and users * stride**2 < DENSE_GAIN * work
        find = self.neighbours_dense if dense else self.neighbours_sparse
        keys_N, values_N = (
            torch.cat(p) for p in zip(*find(users_E, items_E, sizes_U), strict=True)
        )
        self.similar.store(keys_N, values_N.to(self.similar.values.dtype))

    def neighbours_dense(self, users_E: Tensor, items_E: Tensor, sizes_U: Tensor) -> Found:
        """By the product X'X of the users' 0/1 rows, of which one triangle is computed."""
        stride, starts_U = self.similar.stride, sizes_U.cumsum(0) - sizes_U
        together_VV = torch.zeros(stride, stride, device=items_E.device)
        for part_U in torch.arange(len(sizes_U), device=items_E.device).split(2 * BLOCK):
            first, last = starts_U[part_U[0]], starts_U[part_U[-1]] + sizes_U[part_U[-1]]
            x_UV = together_VV.new_zeros(len(part_U), stride)
            x_UV[users_E[first:last] - part_U[0], items_E[first:last]] = 1
            for top in range(0, stride, BLOCK):
                rows = slice(top, top + BLOCK)
                together_VV[rows, top:].addmm_(x_UV[:, rows].t(), x_UV[:, top:])
        used_V = together_VV.diagonal().double()
        for top in range(0, stride, BLOCK):
            end = min(top + BLOCK, stride)
            together_VV[end:, top:end] = together_VV[top:end, end:].t()
            c_BV = self.cosine(together_VV[top:end].double(), used_V[top:end, None], used_V)
            c_BV.diagonal(top).zero_()
            border_B1 = c_BV.topk(min(self.neighbours, stride)).values[:, -1:]
            kept_N2 = ((c_BV >= border_B1) & (c_BV > 0)).nonzero()
            keys_N = (kept_N2[:, 0] + top) * stride + kept_N2[:, 1]
            yield keys_N, c_BV[kept_N2[:, 0], kept_N2[:, 1]]

    def neighbours_sparse(self, users_E: Tensor, items_E: Tensor, sizes_U: Tensor) -> Found:
        """By writing down and sorting all pairs, so many sources at once that memory is bounded."""
        stride, starts_U = self.similar.stride, sizes_U.cumsum(0) - sizes_U
        used_V = torch.bincount(items_E, minlength=stride).double()
        by_item_E = items_E.argsort(stable=True)
        sources_E, their_E = items_E[by_item_E], users_E[by_item_E]
        work_E = sizes_U[their_E].cumsum(0)
        ends_V = torch.searchsorted(sources_E, sources_E.unique(), right=True)
        parts_V = (work_E[ends_V - 1] - 1) // PAIRS  # which part each source belongs to
        cuts = ends_V[torch.cat([parts_V.diff() > 0, parts_V.new_ones(1) > 0])].tolist()
        for first, last in itertools.pairwise([0, *cuts]):
            counts_E = sizes_U[their_E[first:last]]
            pairs_P = torch.arange(last - first, device=items_E.device).repeat_interleave(counts_E)
            skip_E = starts_U[their_E[first:last]] - (counts_E.cumsum(0) - counts_E)
            others_P = items_E[torch.arange(len(pairs_P), device=items_E.device) + skip_E[pairs_P]]
            sources_P = sources_E[first:last][pairs_P]
            different_P = sources_P != others_P
            keys_N, together_N = count_pairs((sources_P * stride + others_P)[different_P])
            rows_N, others_N = keys_N // stride, keys_N % stride
            c_N = self.cosine(together_N.double(), used_V[rows_N], used_V[others_N])
            order_N = c_N.argsort(descending=True, stable=True)
            order_N = order_N[rows_N[order_N].argsort(stable=True)]  # by source, then similarity
            rank_N = torch.arange(len(order_N), device=keys_N.device) - torch.searchsorted(
                rows_N, rows_N
            )
            border_V = torch.zeros_like(used_V)
            last_N = rank_N == self.neighbours - 1
            border_V[rows_N[last_N]] = c_N[order_N][last_N]
            kept_N = c_N >= border_V[rows_N]
            yield keys_N[kept_N], c_N[kept_N]

    def cosine(self, together: Tensor, used: Tensor, others: Tensor) -> Tensor:
        """c(i, j) from n(i, j), n(i) and n(j); 0 for an item that nobody used."""
        return together / ((used * others).sqrt() + self.shrink).clamp(min=1)

    def scores(self, h_BK: Tensor, start: int, stop: int) -> Tensor:
        weights_K = self.decay ** torch.arange(self.width, device=h_BK.device)
        return self.similar.weighted_rows(h_BK, weights_K, start, stop)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(self.prefixes(x_BLD, batch), batch.lengths_B)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        early_BL = F.pad(x_BLD.squeeze(2), (self.width - 1, 0))
        return early_BL.unfold(1, self.width, 1).flip(2)

    def init_state(self, x_BD: Tensor) -> State:
        return x_BD.expand(-1, self.width)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BD = torch.cat([x_BD, state[:, :-1]], dim=1)
        return h_BD, h_BD
