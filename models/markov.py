"""Markov: the items that most often followed the last one, backed by popularity.

The first-order Markov chain over items, whose transition probabilities are relative frequencies
(Shani, Heckerman and Brafman, "An MDP-Based Recommender System", JMLR 6, 2005, section 4). It knows
nothing of a history but its last event: what a sequential model must beat to show that it uses
more than that.

    n(i, j)   times that j came directly after i in a training sequence
    p(j)      times that j stands in the training sequences
    score(j | history ending in i) = n(i, j) + p(j) / (1 + max p)

The second term is below 1: it orders items with equal counts, and all that never followed i, by
popularity. An item that nothing ever followed leaves popularity alone. Scores are float64, in which
both terms keep their digits.

Differs from the paper: no smoothing by skipping, clustering or mixtures of orders; the counts of a
row are not divided by their sum, which changes no rank.

    B  users, C  items of a range of the catalogue
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.counts import ItemPairs, count_pairs, owners


class MarkovSettings(Settings):
    """The chain has no settings."""


class Markov(Encoder):
    """score(j) = how often j followed the last item; among equals the more popular first."""

    info = Info(
        family="reference",
        year=2005,
        paper="Shani et al., An MDP-Based Recommender System, JMLR 2005",
        reference="counting; nothing to compare with",
        summary="What most often followed the last item.",
    )
    Settings = MarkovSettings
    learns = "counts"

    def __init__(self, settings: MarkovSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = 1  # the representation is the last item's id
        self.followed = ItemPairs(n_items)
        self.popularity = nn.Parameter(
            torch.zeros(n_items + 1, dtype=torch.float64), requires_grad=False
        )

    def fit_table(self, items: Tensor, offsets: Tensor, table_VD: Tensor) -> None:
        """Counts pairs of successive events; none reaches from one sequence into the next."""
        users = owners(offsets)
        inside = users[1:] == users[:-1]
        keys = items[:-1] * self.followed.stride + items[1:]
        keys_N, counts_N = count_pairs(keys[inside])
        self.followed.store(keys_N, counts_N.double())
        counts_V = torch.bincount(items, minlength=self.followed.stride).double()
        self.popularity.copy_(counts_V / (1 + counts_V.max()))

    def scores(self, h_BD: Tensor, start: int, stop: int) -> Tensor:
        once = self.popularity.new_ones(1)
        s_BC = self.followed.weighted_rows(h_BD, once, start, stop)
        return s_BC.add_(self.popularity[start + 1 : stop + 1])

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(x_BLD, batch.lengths_B)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return x_BLD

    def init_state(self, x_BD: Tensor) -> State:
        return None

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        return x_BD, None
