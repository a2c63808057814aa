"""Mamba4Rec: selective state spaces over the items.

Liu et al., "Mamba4Rec: Towards Efficient Sequential Recommendation with Selective State Space
Models", 2024 (arXiv 2403.03900).

    x = LN(dropout(E[item_t]))                                      no positions
    m = Mamba(x)                   h = LN(dropout(m))               with one layer
                                   h = LN(dropout(m) + x)           with more, for each
    x = LN(W_2 gelu(W_1 h) + h)

What the paper leaves open is as in the code: the places of dropout, before the first norm too, and
the step widths, which start near softplus(0) = 0.69 and not where Mamba draws them, because the
initialisation of all linear layers goes over theirs. Differs from the reference: every position is
a target of the one pass, not one a prefix.

    L  positions, B  users, D  width
"""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Pick, State, everything, last_of
from srbench.models.layers import Behind, Dropout, initialise
from srbench.models.mamba import Mamba, MambaSettings


class Mamba4RecSettings(MambaSettings):
    """Defaults: chengkai-liu/Mamba4Rec, `config.yaml`."""

    layers: int = Field(1, ge=1, description="blocks; only stacked ones have residuals")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")


class Layer(nn.Module):
    """Mamba and what follows it."""

    def __init__(self, settings: Mamba4RecSettings) -> None:
        super().__init__()
        self.mamba = Mamba(settings)
        self.behind = Behind(settings.width, settings.dropout, stacked=settings.layers > 1)

    def forward(self, x_LBD: Tensor, pick: Pick = everything) -> Tensor:
        """The output at the picked events."""
        m_BD = self.mamba.gated(*map(pick, self.mamba.scanned(x_LBD)))
        h_BD: Tensor = self.behind(m_BD, pick(x_LBD))
        return h_BD


class Mamba4Rec(Encoder):
    """x -> normalisation -> Mamba layers."""

    info = Info(
        family="SSM",
        year=2024,
        paper="Liu et al., Mamba4Rec: Sequential Recommendation with Selective State Spaces, 2024",
        reference="chengkai-liu/Mamba4Rec, mamba4rec.py at 44a0c84; state-spaces/mamba at e9594ce",
        summary="Selective state spaces over the items.",
    )
    Settings = Mamba4RecSettings

    def __init__(self, settings: Mamba4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.layers = cast("list[Layer]", layers)
        initialise(self)

    @property
    def kernel(self) -> str:
        return self.layers[0].mamba.kernel

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, last_of(batch))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, everything).transpose(0, 1)

    def states(self, x_BLD: Tensor, pick: Pick) -> Tensor:
        """The output of the last layer at the picked events."""
        h_LBD = self.norm(self.dropout(x_BLD.transpose(0, 1)))
        *lower, top = self.layers
        for layer in lower:
            h_LBD = layer(h_LBD)
        return top(h_LBD, pick)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(layer.mamba.init_state(x_BD) for layer in self.layers)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BD, states = self.norm(self.dropout(x_BD)), []
        for layer, before in zip(self.layers, state, strict=True):
            m_BD, after = layer.mamba.step(h_BD, before)
            h_BD = layer.behind(m_BD, h_BD)
            states.append(after)
        return h_BD, tuple(states)
