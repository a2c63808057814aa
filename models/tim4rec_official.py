"""TiM4Rec as published: the times of the whole window, pads included, reach every position.

The computation of AlwaysFHao/TiM4Rec, `tim4rec.py` and `ssd.py` at 8d4a6ce. Same parameters and
equations as `tim4rec`; what differs: the norms and matrices over positions see the whole window, so
an event knows the times of later ones, and the pads behind a history count as events of the year
1970, which is by far the largest difference in the window. Scores therefore depend on L, and the
model trains on prefixes, one pass each. The pad row is one of the classes of the soft-max.
"""

from __future__ import annotations

from torch import Tensor, nn

from srbench.models.base import Encoder, Info
from srbench.models.tim4rec import TiM4Rec, TimeBranch, TimedSettings


class WindowBranch(TimeBranch):
    """The branch of the times with matrices over the whole window."""

    def mixed(self, mix: nn.Linear, tau_BHL: Tensor) -> Tensor:
        return mix(tau_BHL)


class TiM4RecOfficial(TiM4Rec):
    """TiM4Rec with the times of the published code."""

    info = Info(
        family="SSM",
        year=2024,
        paper="Fan et al., TiM4Rec: Time-Aware Structured State Space Duality, 2024",
        reference="AlwaysFHao/TiM4Rec, tim4rec.py and ssd.py at 8d4a6ce; state-spaces/mamba",
        summary="TiM4Rec with times as published.",
    )
    Settings = TimedSettings
    pad_invariant = False
    pad_is_class = True
    prefixes = Encoder.prefixes
    init_state = Encoder.init_state
    step = Encoder.step
    step_at = Encoder.step_at

    def time_norm(self, settings: TimedSettings) -> nn.Module:
        return nn.LayerNorm(self.length, eps=settings.norm_eps)

    def time_branch(self, settings: TimedSettings) -> TimeBranch:
        return WindowBranch(settings, self.length, self.time_norm(settings))
