"""MLP4Rec as published: pads are events like any other.

The computation of Li-Muyang/MLP4Rec, `mlp4rec.py` at 2366572. Same parameters and equations as
`mlp4rec`; what differs: a history is padded to the full length L with the pad rows of both tables,
pads enter the mixing along the positions, and the pad row is one of the classes of the soft-max.
The model trains on prefixes, one pass each.
"""

from __future__ import annotations

from torch import Tensor

from srbench.models.base import Batch, Encoder, Info
from srbench.models.mlp4rec import MLP4Rec


class MLP4RecOfficial(MLP4Rec):
    """MLP4Rec with the pads of the published code."""

    info = Info(
        family="MLP",
        year=2022,
        paper="Li et al., MLP4Rec: A Pure MLP Architecture, IJCAI 2022",
        reference="Li-Muyang/MLP4Rec, recbole/model/sequential_recommender/mlp4rec.py at 2366572",
        summary="MLP4Rec with pads as published.",
    )
    pad_invariant = False
    pad_is_class = True
    prefixes = Encoder.prefixes

    def present(self, x_LFBD: Tensor, batch: Batch) -> Tensor:
        return self.norm_positions(x_LFBD)
