"""Item table, encoder and score: the only path from a history to scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Settings, State


class Recommender(nn.Module):
    """A model on a catalogue of `n_items`, with histories of at most `length` events.

    Item ids are 1..n_items; row 0 of the table is the pad. Scores are h_BD times the rows of the
    table, as `Encoder.rows` makes them; column j of a score matrix belongs to item j + 1, so the
    pad is never a candidate.
    """

    def __init__(self, model: type[Encoder], settings: Settings, n_items: int, length: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_items = n_items
        self.length = length
        self.encoder = model(settings, n_items, length)
        self.table = nn.Embedding(n_items + 1, self.encoder.width)
        if model.learns == "gradient":
            with torch.no_grad():
                self.encoder.init_table(self.table.weight)
        else:
            self.requires_grad_(False)

    def fit_by_counting(self, items: Tensor, offsets: Tensor) -> None:
        """Fills the table from training sequences in CSR form."""
        with torch.no_grad():
            self.encoder.fit_table(items, offsets, self.table.weight)

    def represent(self, batch: Batch) -> Tensor:
        """h_BD of each whole history. Models that pads change always see `length` positions."""
        if not self.encoder.pad_invariant:
            batch = batch.padded(self.length)
        return self.encoder(self.table(batch.items_BL), batch)

    def prefixes(self, batch: Batch) -> Tensor:
        """h_BLD of every prefix of each history."""
        return self.encoder.prefixes(self.table(batch.items_BL), batch)

    def init_state(self, batch_size: int) -> State:
        """The state of `batch_size` users without events."""
        return self.encoder.init_state(self.table.weight.new_zeros(batch_size, self.encoder.width))

    def step(self, items_B: Tensor, state: State) -> tuple[Tensor, State]:
        """h_BD after one more event, and the new state."""
        return self.encoder.step(self.table(items_B), state)

    def classes(self) -> tuple[Tensor, int]:
        """The rows of the table that the training soft-max runs over, and the id of the first."""
        first = 0 if self.encoder.pad_is_class else 1
        return self.encoder.rows(self.table.weight[first:]), first

    def score(self, h_BD: Tensor, items_BK: Tensor | None = None) -> Tensor:
        """s_BV of the whole catalogue, or s_BK of the chosen item ids of each row."""
        if items_BK is None:
            return self.score_range(h_BD, 0, self.n_items)
        rows_BKD = self.encoder.rows(self.table(items_BK))
        return torch.einsum("bd,bkd->bk", h_BD, rows_BKD)

    def score_range(self, h_BD: Tensor, start: int, stop: int) -> Tensor:
        """Columns start to stop of `score(h_BD)`: items start + 1 to stop."""
        return h_BD @ self.encoder.rows(self.table.weight[start + 1 : stop + 1]).t()
