"""minGRU4Rec: a recurrence whose gates see only the present event, so that time is one scan.

Feng et al., "Were RNNs All We Needed?", 2024 (arXiv 2410.01201), as a recommender in the form of
chengkai-liu/minGRU4Rec: the frame of Mamba4Rec.

    x = LN(dropout(E[item_t]))                                      no positions
    [a_t, k_t] = W x_t              z_t = sigma(k_t)                no biases
    m_t = (1 - z_t) * m_{t-1} + z_t * g(a_t)                        z takes the new
    g(a) = a + 0.5 for a >= 0, else sigma(a)                        so m is positive
    h = LN(dropout(m))                                              with one layer
    h = LN(dropout(m) + x)                                          with more, for each
    x = LN(W_2 silu(W_1 h) + h)

`cell=minlstm` has a gate to forget and one to take, made to sum to one:

    [a_t, f_t, i_t] = W x_t         m_t = f' * m_{t-1} + i' * g(a_t)
    f' = sigma(f) / (sigma(f) + sigma(i))                           i' = 1 - f'

With `expansion` other than 1 the state is that much wider and W_out leads back, without bias.

Differs from the paper: nothing in the cells. Differs from the references: the recurrence runs as it
is written, not in logarithms, which needs fewer operations and no positive start; every position is
a target of the one pass, not one a prefix. The recommender knows neither minLSTM nor an expansion.

    L  positions, B  users, D  width, E  width of the state
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Pick, Settings, State, everything, last_of
from srbench.models.layers import Behind, Dropout
from srbench.models.scan import linear_scan


class MinGRU4RecSettings(Settings):
    """Defaults: `config.yaml` of chengkai-liu/minGRU4Rec."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(1, ge=1, description="blocks; only stacked ones have residuals around it")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    cell: Literal["mingru", "minlstm"] = Field("mingru", description="the recurrence")
    expansion: float = Field(1.0, gt=0, description="width of the recurrent state, in widths")

    @model_validator(mode="after")
    def _there_is_a_state(self) -> MinGRU4RecSettings:
        if int(self.width * self.expansion) < 1:
            raise ValueError(f"expansion {self.expansion:g} of width {self.width} leaves no state")
        return self


class MinRNN(nn.Module):
    """minGRU or minLSTM: m[t] = keep[t] m[t-1] + new[t], where keep and new see only x[t]."""

    def __init__(self, settings: MinGRU4RecSettings) -> None:
        super().__init__()
        width, self.state = settings.width, int(settings.width * settings.expansion)
        self.cell = settings.cell
        blocks = 2 if self.cell == "mingru" else 3
        self.gates = nn.Linear(width, blocks * self.state, bias=False)
        self.out: nn.Module = nn.Identity()
        if settings.expansion != 1:
            self.out = nn.Linear(self.state, width, bias=False)

    def events(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """keep_BE and new_BE of each event; leading dimensions are free."""
        gates_BG = self.gates(x_BD).to(self.gates.weight.dtype)  # bf16 has no gate of 0.999
        a_BE, *gates = gates_BG.chunk(2 if self.cell == "mingru" else 3, dim=-1)
        if self.cell == "mingru":
            k_BE = -gates[0]
        else:  # sigma of it is f', and never divides by zero
            k_BE = F.logsigmoid(gates[0]) - F.logsigmoid(gates[1])
        g_BE = torch.where(a_BE >= 0, a_BE + 0.5, a_BE.sigmoid())
        return k_BE.sigmoid(), (-k_BE).sigmoid() * g_BE

    def scanned(self, x_LBD: Tensor, m_BE: Tensor | None = None) -> Tensor:
        """m_LBE; `m_BE` is the state before the first event, else zero."""
        return linear_scan(*self.events(x_LBD), m_BE)

    def forward(self, x_LBD: Tensor, m_BE: Tensor | None = None) -> Tensor:
        return self.out(self.scanned(x_LBD, m_BE))

    def step(self, x_BD: Tensor, m_BE: Tensor) -> tuple[Tensor, Tensor]:
        keep_BE, new_BE = self.events(x_BD)
        m_BE = keep_BE * m_BE + new_BE
        return self.out(m_BE), m_BE


class Layer(nn.Module):
    """The recurrence and what follows it."""

    def __init__(self, settings: MinGRU4RecSettings) -> None:
        super().__init__()
        self.rnn = MinRNN(settings)
        self.behind = Behind(
            settings.width, settings.dropout, stacked=settings.layers > 1, activation=F.silu
        )

    def forward(self, x_LBD: Tensor, pick: Pick = everything) -> Tensor:
        """The output at the picked events."""
        m_BD = self.rnn.out(pick(self.rnn.scanned(x_LBD)))
        h_BD: Tensor = self.behind(m_BD, pick(x_LBD))
        return h_BD


class MinGRU4Rec(Encoder):
    """x -> normalisation -> layers of a minimal recurrence and a feed-forward."""

    info = Info(
        family="RNN",
        year=2024,
        paper="Feng et al., Were RNNs All We Needed?, 2024, arXiv 2410.01201",
        reference="chengkai-liu/minGRU4Rec at dba975d; lucidrains/minGRU-pytorch at 38b26e1",
        summary="A recurrence whose gates do not look back, run as one scan.",
    )
    Settings = MinGRU4RecSettings

    def __init__(self, settings: MinGRU4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.layers = cast("list[Layer]", layers)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, last_of(batch))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, everything).transpose(0, 1)

    def states(self, x_BLD: Tensor, pick: Pick) -> Tensor:
        """The output of the last layer at the picked events. Time is outermost in memory too, for
        the scan."""
        h_LBD = self.norm(self.dropout(x_BLD.transpose(0, 1).contiguous()))
        *lower, top = self.layers
        for layer in lower:
            h_LBD = layer(h_LBD)
        return top(h_LBD, pick)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(x_BD.new_zeros(len(x_BD), layer.rnn.state) for layer in self.layers)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        h_BD, states = self.norm(self.dropout(x_BD)), []
        for layer, before in zip(self.layers, state, strict=True):
            m_BD, after = layer.rnn.step(h_BD, before)
            h_BD = layer.behind(m_BD, h_BD)
            states.append(after)
        return h_BD, tuple(states)
