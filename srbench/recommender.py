"""Item table, encoder and score: the only path from a history to scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Settings, State


class Recommender(nn.Module):
    """A model on a catalogue of `n_items`, with histories of at most `length` events.

    Item ids are 1..n_items; row 0 of the table is the pad. Scores are h_BD times the rows of the
    table, as `Encoder.rows` makes them, or what `Encoder.scores` says, for models that have no
    table; column j of a score matrix belongs to item j + 1, so the pad is never a candidate.
    """

    def __init__(self, model: type[Encoder], settings: Settings, n_items: int, length: int) -> None:
        super().__init__()
        self.settings = settings
        self.n_items = n_items
        self.length = length
        self.encoder = model(settings, n_items, length)
        width = 0 if model.has_scores() else self.encoder.width
        fixed = None if model.pad_invariant else 0  # a look-up of the pad row teaches it nothing
        self.table = nn.Embedding(n_items + 1, width, padding_idx=fixed)
        if model.learns == "gradient":
            with torch.no_grad():
                self.encoder.init_table(self.table.weight)
        else:
            self.requires_grad_(False)

    def fit_by_counting(self, items: Tensor, offsets: Tensor) -> None:
        """Fills the table, or what stands in its place, from training sequences in CSR form."""
        with torch.no_grad():
            self.encoder.fit_table(items, offsets, self.table.weight)

    def embedded(self, items: Tensor) -> Tensor:
        """The rows of the table for these ids, of any shape; the ids where there is no table."""
        return items[..., None] if self.encoder.has_scores() else self.table(items)

    def represent(self, batch: Batch) -> Tensor:
        """h_BD of each whole history. Models that pads change always see `length` positions."""
        if not self.encoder.pad_invariant:
            batch = batch.padded(self.length)
        return self.encoder(self.embedded(batch.items_BL), batch)

    def prefixes(self, batch: Batch) -> Tensor:
        """h_BLD of every prefix of each history."""
        return self.encoder.prefixes(self.embedded(batch.items_BL), batch)

    def cloze(self, batch: Batch) -> Tensor:
        """h_ND of the events that the batch hides."""
        return self.encoder.cloze(self.embedded(batch.items_BL), batch)

    def init_state(self, batch_size: int) -> State:
        """The state of `batch_size` users without events."""
        pads_B = torch.zeros(batch_size, dtype=torch.int64, device=self.table.weight.device)
        return self.encoder.init_state(torch.zeros_like(self.embedded(pads_B)))

    def step(
        self, items_B: Tensor, state: State, times_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """h_BD after one more event, which happened at `times_B` (None: nobody knows), and the new
        state."""
        return self.encoder.step_at(self.embedded(items_B), state, times_B)

    def classes(self) -> tuple[Tensor, int]:
        """The rows of the table that the training soft-max runs over, and the id of the first."""
        first = 0 if self.encoder.pad_is_class else 1
        return self.encoder.rows(self.table.weight[first:]), first

    def score(self, h_BD: Tensor, items_BK: Tensor | None = None) -> Tensor:
        """s_BV of the whole catalogue, or s_BK of the chosen item ids of each row."""
        if items_BK is None:
            return self.score_range(h_BD, 0, self.n_items)
        if self.encoder.has_scores():
            return self.score(h_BD).gather(1, items_BK - 1)
        rows_BKD = self.encoder.rows(self.table(items_BK))
        return torch.einsum("bd,bkd->bk", h_BD, rows_BKD)

    def score_range(self, h_BD: Tensor, start: int, stop: int) -> Tensor:
        """Columns start to stop of `score(h_BD)`: items start + 1 to stop."""
        if self.encoder.has_scores():
            return self.encoder.scores(h_BD, start, stop)
        return h_BD @ self.encoder.rows(self.table.weight[start + 1 : stop + 1]).t()
