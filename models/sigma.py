"""SIGMA: Mamba in both directions, a gate for each, and a GRU for the most recent events.

Liu et al., "SIGMA: Selective Gated Mamba for Sequential Recommendation", AAAI 2025 (2408.11451).

    x = LN(dropout(E[item_t]))        x' = x with all but the last events in reverse order
    r = GRU(conv_3(x))                f = Mamba(x)          b = Mamba(x')        one Mamba for both
    a = W_1 x + x    a' = W_2 x' + x'    S(a) = W_s silu(a) + b_s     T(a) = W_t sigma(a) + b_t
    g = S(a) + T(a)                   g' = S(a') + T(g)
    m = W_p (c_2 (f + f * g) + c_1 (b + b * g') + c_0 r)
    h = LN(dropout(m) [+ x])          x = LN(W_2 gelu(W_1 h) + h)          as in Mamba4Rec

The partial flip is of the real history: its last `kept` events stay in place, so that the end of
both directions is what happened last, and pads are absent from the flip and from the convolution.
`sigma-official` does what the code does, which flips the first 45 slots of the padded window: with
a window of 50 a history of 22 events or fewer ends, flipped, in nothing but pads.

Differs from the paper, as the code does: the three weights c are no soft-max; the gate of the
flipped direction takes sigma of the other gate, not of its own input. Differs from the code beyond
flip and pads: it convolves a second time, over positions as if they were channels, which stops with
an error unless L = D, and throws the result away; here there is none of it.

Not causal: the flip and the convolution look ahead inside a history, so it trains on prefixes.

    L  positions, B  users, D  width
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Pick, everything, last_of
from srbench.models.layers import GRU, Behind, Dropout, initialise
from srbench.models.mamba import Mamba, MambaSettings


class GatedSettings(MambaSettings):
    """Defaults: `model/config.yaml` of ziwliu-cityu/SIMGA; the gate's dropout is in its code."""

    layers: int = Field(1, ge=1, description="blocks; only stacked ones have residuals")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    gate_dropout: float = Field(0.2, ge=0, lt=1, description="dropout on the gates")


class SIGMASettings(GatedSettings):
    """Defaults: `model/config.yaml` of ziwliu-cityu/SIMGA, whose code keeps 5 of 50 in place."""

    kept: int = Field(5, ge=0, description="most recent events that the partial flip leaves alone")


class GatedMamba(nn.Module):
    """One mixing of events: from x and x' to m."""

    def __init__(self, settings: GatedSettings) -> None:
        super().__init__()
        width = settings.width
        self.conv1d = nn.Conv1d(width, width, 3, padding=1)
        self.gru = GRU(width, width)
        self.mamba = Mamba(settings)
        self.dense1, self.dense2, self.projection = (nn.Linear(width, width) for _ in range(3))
        self.gate_silu, self.gate_sigmoid = nn.Linear(width, width), nn.Linear(width, width)
        self.combining_weights = nn.Parameter(torch.tensor([0.1, 0.1, 0.8]))
        self.gate_dropout = Dropout(settings.gate_dropout)

    def recent(self, x_LBD: Tensor) -> Tensor:
        """r: the convolution as one product, then the GRU."""
        padded = F.pad(x_LBD, (0, 0, 0, 0, 1, 1))
        neighbours = torch.cat([padded[:-2], x_LBD, padded[2:]], dim=-1)
        weight = self.conv1d.weight.transpose(1, 2).flatten(1)
        return self.gru(F.linear(neighbours, weight, self.conv1d.bias))

    def gate(self, a_BD: Tensor, other_BD: Tensor) -> Tensor:
        g_BD = self.gate_silu(F.silu(a_BD)) + self.gate_sigmoid(other_BD.sigmoid())
        return self.gate_dropout(g_BD)

    def forward(self, x_LBD: Tensor, flipped_LBD: Tensor, real_LBD: Tensor, pick: Pick) -> Tensor:
        """m of the picked events. `real_LBD` is x as the convolution sees it, zero on pads."""
        r = pick(self.recent(real_LBD))
        f, b = (
            self.mamba.gated(*map(pick, self.mamba.scanned(way))) for way in (x_LBD, flipped_LBD)
        )
        x, flipped = pick(x_LBD), pick(flipped_LBD)
        a = self.dense1(x) + x
        gate = self.gate(a, a)
        other_gate = self.gate(self.dense2(flipped) + flipped, gate)
        c = self.combining_weights
        return self.projection(c[2] * (f + f * gate) + c[1] * (b + b * other_gate) + c[0] * r)


class Layer(nn.Module):
    """The gated Mamba and what follows it."""

    def __init__(self, settings: GatedSettings) -> None:
        super().__init__()
        self.gmamba = GatedMamba(settings)
        self.behind = Behind(settings.width, settings.dropout, stacked=settings.layers > 1)


class SIGMA(Encoder):
    """SIGMA on histories without pads."""

    info = Info(
        family="SSM",
        year=2025,
        paper="Liu et al., SIGMA: Selective Gated Mamba for Sequential Recommendation, AAAI 2025",
        reference="ziwliu-cityu/SIMGA, model/gated_mamba.py at 018d73a",
        summary="Mamba in both directions with gates, and a GRU.",
    )
    Settings: ClassVar[type[GatedSettings]] = SIGMASettings

    def __init__(self, settings: GatedSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.settings = settings
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.layers = cast("list[Layer]", layers)
        initialise(self)

    @property
    def kernel(self) -> str:
        return self.layers[0].gmamba.mamba.kernel

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def flip(self, positions_L1: Tensor, lengths_B: Tensor) -> Tensor:
        """The position whose event stands at each position of x', [L, B]."""
        assert isinstance(self.settings, SIGMASettings)
        ends_B = lengths_B - self.settings.kept
        return torch.where(positions_L1 < ends_B, ends_B - 1 - positions_L1, positions_L1)

    def real(self, x_LBD: Tensor, batch: Batch) -> Tensor:
        """x as the convolution sees it: nothing on the pads."""
        return x_LBD * batch.mask_BL().t()[..., None]

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, batch, last_of(batch))

    def states(self, x_BLD: Tensor, batch: Batch, pick: Pick) -> Tensor:
        """The picked outputs of the last layer, in which every event has seen the whole history."""
        h_LBD = self.norm(self.dropout(x_BLD.transpose(0, 1)))
        length, users = h_LBD.shape[:2]
        at_LB = self.flip(torch.arange(length, device=h_LBD.device)[:, None], batch.lengths_B)
        rows_LB = at_LB * users + torch.arange(users, device=h_LBD.device)
        for place, layer in enumerate(self.layers, start=1):
            picked = pick if place == len(self.layers) else everything
            flipped_LBD = F.embedding(rows_LB, h_LBD.flatten(0, 1))  # its gradient is fast
            m = layer.gmamba(h_LBD, flipped_LBD, self.real(h_LBD, batch), picked)
            h_LBD = layer.behind(m, picked(h_LBD))
        return h_LBD
