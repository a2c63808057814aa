"""LinRec as published: every event sees the whole window, pads too.

The computation of Applied-Machine-Learning-Lab/LinRec, `layers.py` at 0a924d6, on RecBole's SASRec.
Same parameters and equations as `linrec`; what differs: the attention mask is ignored. A history is
padded to the full length L with the pad row of the item table, the memory of the attention is one
sum of k v' over the window, which every event reads, and the pad row is one of the classes of the
soft-max. Scores therefore depend on L and on the pad row, and a representation exists only for
whole windows: the model trains on prefixes, one pass each.

    B  users, L  positions, Q  positions that are asked, D  width
"""

from __future__ import annotations

from torch import Tensor

from srbench.models.base import Batch, Encoder, Info, last_BD
from srbench.models.linrec import Block, LinRec, over


class LinRecOfficial(LinRec):
    """LinRec with the window-wide attention of the published code."""

    info = Info(
        family="Transformer",
        year=2023,
        paper="Liu et al., LinRec: Linear Attention for Long-term Sequential RS, SIGIR 2023",
        reference="Applied-Machine-Learning-Lab/LinRec, layers.py at 0a924d6",
        summary="LinRec, not causal and with pads as published.",
    )
    pad_invariant = False
    pad_is_class = True
    prefixes = Encoder.prefixes
    init_state = Encoder.init_state
    step = Encoder.step

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD)
        for block in self.blocks[:-1]:
            h_BLD = attend(block, h_BLD, h_BLD)
        asked_B1D = last_BD(h_BLD, batch.lengths_B)[:, None]
        return attend(self.blocks[-1], asked_B1D, h_BLD).squeeze(1)

    def window(self, x_BLD: Tensor) -> Tensor:
        """h_BLD at every slot of the padded window."""
        h_BLD = self.embed(x_BLD)
        for block in self.blocks:
            h_BLD = attend(block, h_BLD, h_BLD)
        return h_BLD


def attend(block: Block, x_BQD: Tensor, window_BLD: Tensor) -> Tensor:
    """The block's output at x_BQD, which see all of the window."""
    k, v = (part.transpose(1, 2) for part in block.keys_and_values(window_BLD))
    if block.over_history:
        k = k * over(k.square().sum(2, keepdim=True))
    q_BHQC = block.queries(x_BQD).transpose(1, 2)
    return block.finish((q_BHQC @ (k.transpose(-1, -2) @ v)).transpose(1, 2), x_BQD)
