"""Popularity: every user is recommended what most interactions were about.

The reference point below which no sequential model may fall. The score of an item is the number of
its training interactions. Written as a model of width 1: the representation of any history is the
number 1, and an item's row of the table is its count, so the one scoring path serves it too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.models.base import Batch, Encoder, Info, Settings, State


class PopSettings(Settings):
    """Popularity has no settings."""


class Pop(Encoder):
    """score(v) = count of v in the training sequences."""

    info = Info(
        family="reference",
        year=0,
        paper="none: a reference point",
        reference="counting; nothing to compare with",
        summary="Every user gets the most popular items.",
    )
    Settings = PopSettings
    learns = "counts"

    def __init__(self, settings: PopSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = 1

    def fit_table(self, items: Tensor, offsets: Tensor, table_VD: Tensor) -> None:
        """`table_VD[v]` becomes the number of times that v stands in `items`."""
        table_VD[:, 0] = torch.bincount(items, minlength=len(table_VD)).to(table_VD.dtype)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return x_BLD.new_ones(len(batch), 1)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return torch.ones_like(x_BLD)

    def init_state(self, x_BD: Tensor) -> State:
        return None

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.ones_like(x_BD), None
