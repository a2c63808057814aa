"""LinRec as published: every event sees the whole window, pads too.

The computation of Applied-Machine-Learning-Lab/LinRec, `layers.py` at 0a924d6, on RecBole's SASRec.
Same parameters and equations as `linrec`; what differs: the attention mask is ignored. A history is
padded to the full length L with the pad row of the item table, the memory of the attention is one
sum of k v' over the window, which every event reads, and the pad row is one of the classes of the
soft-max. Scores therefore depend on L and on the pad row, and a representation exists only for
whole windows: the model trains on prefixes, one pass each.
"""

from __future__ import annotations

from torch import Tensor

from srbench.models.base import Batch, Encoder, Info, last_BD
from srbench.models.linrec import LinRec


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
            h_BLD = block.attend(h_BLD, h_BLD)
        last_B1D = last_BD(h_BLD, batch.lengths_B)[:, None]
        return self.blocks[-1].attend(last_B1D, h_BLD)[:, 0]

    def window(self, x_BLD: Tensor) -> Tensor:
        """h_BLD at every slot of the padded window."""
        h_BLD = self.embed(x_BLD)
        for block in self.blocks:
            h_BLD = block.attend(h_BLD, h_BLD)
        return h_BLD
