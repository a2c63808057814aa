"""GLINT-RU as published: pads are events like any other.

The computation of szhang-cityu/GLINT-RU, `GLINT-RU.py` at 4f7b0a5. Same parameters and equations
as `glintru`; what differs: a history is padded to the full length L with the pad row of the item
table, pads enter both convolutions and the sums of the linear attention, keys and queries are
normalised without a floor, and the pad row is one of the classes of the soft-max. Scores therefore
depend on L and on the pad row, and a representation exists only for whole windows: the model trains
on prefixes, one pass each.
"""

from __future__ import annotations

from torch import Tensor

from srbench.models.base import Batch, Encoder, Info, last_BD
from srbench.models.glintru import GlintRU, GlintRUSettings
from srbench.models.layers import split_heads


class GlintRUOfficial(GlintRU):
    """GLINT-RU with the pads of the published code."""

    info = Info(
        family="RNN",
        year=2025,
        paper="Zhang et al., GLINT-RU: Gated Lightweight Intelligent Recurrent Units, KDD 2025",
        reference="szhang-cityu/GLINT-RU, GLINT-RU.py at 4f7b0a5",
        summary="GLINT-RU with pads as published.",
    )
    pad_invariant = False
    pad_is_class = True
    prefixes = Encoder.prefixes
    init_state = Encoder.init_state
    step = Encoder.step

    def __init__(self, settings: GlintRUSettings, n_items: int, length: int) -> None:
        super().__init__(settings, n_items, length)
        if self.attention is not None:
            self.attention.eps = 0.0

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(self.window(x_BLD), batch.lengths_B)

    def window(self, x_BLD: Tensor) -> Tensor:
        """h_BLD at every slot of the padded window, each of which sees the whole window."""
        x_LBD = self.dropout(x_BLD.transpose(0, 1))
        c_LBD = self.conv1d(self.dense1(x_LBD).permute(1, 2, 0)).permute(2, 0, 1)
        y_LBD = self.gated(c_LBD, self.gru(c_LBD))
        r_LBD = self.conv1dforgru(y_LBD.permute(1, 2, 0)).permute(2, 0, 1)
        a_LBD = None
        if (attention := self.attention) is not None:
            q_LBD = attention.features(attention.query(x_LBD)) * attention.scale
            y_BHLC = split_heads(q_LBD, attention.heads) @ attention.memory(x_LBD)
            a_LBD = attention.out(y_BHLC.permute(2, 0, 1, 3).flatten(2), x_LBD)
        return self.output(x_LBD, r_LBD, a_LBD).transpose(0, 1)
