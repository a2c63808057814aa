"""LightSANs as published: pads are events like any other.

The computation of RecBole 1.2.1, `lightsans.py`, and of the authors' BELIEVEfxy/LightSANs at
94ce7e5. Same parameters and equations as `lightsans`; what differs: there is no mask at all. A
history is padded to the full length L with the pad row of the item table, pads take part in the
interests, in both soft-maxes and in the values, and the pad row is one of the classes of the
soft-max over items. Scores therefore depend on L and on the pad row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.models.base import Batch, Info
from srbench.models.lightsans import LightSANs


class LightSANsOfficial(LightSANs):
    """LightSANs with the pads of the published code."""

    info = Info(
        family="Transformer",
        year=2021,
        paper="Fan et al., Lighter and Better: Low-Rank Decomposed Self-Attention, SIGIR 2021",
        reference="RecBole 1.2.1, recbole/model/sequential_recommender/lightsans.py",
        summary="LightSANs with pads as published.",
    )
    pad_invariant = False
    pad_is_class = True

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.encode(x_BLD, whole(x_BLD), batch.lengths_B)

    def window(self, x_BLD: Tensor) -> Tensor:
        """h_BLD at every slot of the padded window."""
        return self.encode(x_BLD, whole(x_BLD), None)


def whole(x_BLD: Tensor) -> Tensor:
    """Every position of every row takes part."""
    return torch.full((len(x_BLD),), x_BLD.shape[1], device=x_BLD.device)
