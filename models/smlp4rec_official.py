"""SMLP4Rec as published: pads are events like any other.

The computation of Applied-Machine-Learning-Lab/SMLP4Rec, `smlprec.py` at 72287e5. Same parameters
and equations as `smlp4rec`; what differs: a history is padded to the full length L with the pad
rows of both tables, pads enter the mixing along the positions, and the pad row is one of the
classes of the soft-max. The model trains on prefixes, one pass each.
"""

from __future__ import annotations

from torch import Tensor

from srbench.models.base import Batch, Encoder, Info
from srbench.models.smlp4rec import SMLP4Rec


class SMLP4RecOfficial(SMLP4Rec):
    """SMLP4Rec with the pads of the published code."""

    info = Info(
        family="MLP",
        year=2024,
        paper="Gao et al., SMLP4Rec: An Efficient all-MLP Architecture, ACM TOIS 2024",
        reference="Applied-Machine-Learning-Lab/SMLP4Rec, smlprec.py at 72287e5",
        summary="SMLP4Rec with pads as published.",
    )
    pad_invariant = False
    pad_is_class = True
    prefixes = Encoder.prefixes

    def present(self, y_LFBD: Tensor, batch: Batch) -> Tensor:
        return y_LFBD
