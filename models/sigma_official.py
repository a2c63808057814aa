"""SIGMA as published: pads are events like any other, and the first 45 slots are flipped.

The computation of ziwliu-cityu/SIMGA, `model/gated_mamba.py` at 018d73a, without the line that
stops it unless the window is as long as the item table is wide (its result is never used). Same
parameters and equations as `sigma`; what differs: a history is padded to the full length L with the
pad row of the item table, x' is the window with its first 45 slots in reverse order, whatever the
length of window and history, pads enter the convolution, and the pad row is one of the classes of
the soft-max. Scores therefore depend on L and on the pad row.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from srbench.models.base import Batch, Info
from srbench.models.sigma import SIGMA, GatedSettings


class SIGMAOfficialSettings(GatedSettings):
    """Defaults: `model/config.yaml` and `model/gated_mamba.py` of ziwliu-cityu/SIMGA."""

    flipped: int = Field(
        45, ge=1, description="slots of the window that are flipped, from its start"
    )


class SIGMAOfficial(SIGMA):
    """SIGMA with the pads and the flip of the published code."""

    info = Info(
        family="SSM",
        year=2025,
        paper="Liu et al., SIGMA: Selective Gated Mamba for Sequential Recommendation, AAAI 2025",
        reference="ziwliu-cityu/SIMGA, model/gated_mamba.py at 018d73a",
        summary="SIGMA with pads and flip as published.",
    )
    Settings = SIGMAOfficialSettings
    pad_invariant = False
    pad_is_class = True

    def flip(self, positions_L1: Tensor, lengths_B: Tensor) -> Tensor:
        assert isinstance(self.settings, SIGMAOfficialSettings)
        end = min(self.settings.flipped, len(positions_L1))
        at_L1 = torch.where(positions_L1 < end, end - 1 - positions_L1, positions_L1)
        return at_L1.expand(-1, len(lengths_B))

    def real(self, x_LBD: Tensor, batch: Batch) -> Tensor:
        return x_LBD
