"""SLi-GRU4Rec: the stabilised light gated recurrent unit over the items of a history.

Moumen and Parcollet, "Stabilising and Accelerating Light Gated Recurrent Units for Automatic Speech
Recognition", ICASSP 2023, arXiv 2302.10144, a GRU with one gate and without a reset. The speech
model's cell, in the frame of GRU4Rec.

    [a_t, k_t] = LN(W x_t) + LN(U h_{t-1})      one norm each over both blocks together
    z_t = sigma(k_t)                            n_t = relu(a_t)
    h_t = z_t * h_{t-1} + (1 - z_t) * n_t       z keeps the old state
    representation = W_o h_t + b_o

`cell=ligru` leaves the norm of U h away: the Li-GRU of Ravanelli et al., "Light Gated Recurrent
Units for Speech Recognition", 2018, whose gradients explode more easily, which is the point of the
later paper.

Differs from the papers: W x_t passes a layer norm, not a batch norm. In training a batch norm mixes
the statistics of all events of a batch, those after t and those of other users among them, so
all-position training would see what no history shows. SpeechBrain offers both; the tests hold the
cell against both. Frame, dropout and initialisation of the item table are those of GRU4Rec.
Differs from SpeechBrain: no dropout inside the recurrence (its default is 0).

    L  positions, B  users, D  width of the item table, H  hidden width, G = 2H  candidate and gate
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.layers import Dropout


class SLiGRU4RecSettings(Settings):
    """Defaults: SpeechBrain's for the cell, those of our gru4rec (RecBole 1.2.1) for the rest."""

    idle = (("affine", "cell", "ligru"),)  # the norm that it belongs to is not there
    width: int = Field(64, ge=1, description="width of the item table and the representation")
    hidden: int = Field(128, ge=1, description="width of the recurrent state")
    layers: int = Field(1, ge=1, description="stacked recurrent layers")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the embedded items")
    cell: Literal["sligru", "ligru"] = Field(
        "sligru", description="sligru normalises the recurrent product, ligru does not"
    )
    activation: Literal["relu", "tanh"] = Field("relu", description="of the candidate state")
    affine: bool = Field(False, description="learned scale and shift in the recurrent norm")


class LightGRU(nn.Module):
    """One layer, time first. The candidate comes first in W and U, the gate second."""

    def __init__(self, width_in: int, settings: SLiGRU4RecSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.w = nn.Linear(width_in, 2 * hidden, bias=False)
        self.u = nn.Linear(hidden, 2 * hidden, bias=False)
        self.norm = nn.LayerNorm(2 * hidden)
        self.recurrent_norm: nn.Module = nn.Identity()
        if settings.cell == "sligru":
            self.recurrent_norm = nn.LayerNorm(2 * hidden, elementwise_affine=settings.affine)
        self.activation = torch.relu if settings.activation == "relu" else torch.tanh
        nn.init.orthogonal_(self.u.weight)

    def inputs(self, x_LBD: Tensor) -> Tensor:
        """LN(W x) of every event at once, [..., G], in the type of the weights."""
        return self.norm(self.w(x_LBD)).to(self.u.weight.dtype)

    def cell(self, w_BG: Tensor, h_BH: Tensor) -> Tensor:
        """One event: the next state from LN(W x) and the state before it."""
        a_BH, k_BH = (w_BG + self.recurrent_norm(self.u(h_BH)).to(w_BG.dtype)).chunk(2, dim=-1)
        return torch.lerp(self.activation(a_BH), h_BH, k_BH.sigmoid())

    def step(self, x_BD: Tensor, h_BH: Tensor) -> Tensor:
        return self.cell(self.inputs(x_BD), h_BH)

    def forward(self, x_LBD: Tensor, h_BH: Tensor | None = None) -> Tensor:
        """States h_LBH after each event; `h_BH` is the state before the first, else zero."""
        h_BH = x_LBD.new_zeros(x_LBD.shape[1], self.u.in_features) if h_BH is None else h_BH
        states = []
        for w_BG in self.inputs(x_LBD).unbind():
            h_BH = self.cell(w_BG, h_BH)
            states.append(h_BH)
        return torch.stack(states)


class SLiGRU4Rec(Encoder):
    """x -> dropout -> light gated recurrence -> linear."""

    info = Info(
        family="RNN",
        year=2023,
        paper="Moumen and Parcollet, Stabilising and Accelerating Light GRUs, ICASSP 2023",
        reference="speechbrain/speechbrain at 9c826ef, speechbrain/nnet/RNN.py (SLiGRU, LiGRU)",
        summary="A recurrent network with one gate and a normalised recurrence.",
    )
    Settings = SLiGRU4RecSettings

    def __init__(self, settings: SLiGRU4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width, self.hidden = settings.width, settings.hidden
        self.dropout = Dropout(settings.dropout)
        widths = [settings.width, *[settings.hidden] * (settings.layers - 1)]
        layers = nn.ModuleList(LightGRU(width, settings) for width in widths)
        self.rnn = cast("list[LightGRU]", layers)
        self.dense = nn.Linear(settings.hidden, settings.width)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.xavier_normal_(table_VD)

    def states(self, x_BLD: Tensor) -> Tensor:
        """The states of the top layer, h_LBH."""
        h_LBH = self.dropout(x_BLD.transpose(0, 1))
        for layer in self.rnn:
            h_LBH = layer(h_LBH)
        return h_LBH

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.dense(last_BD(self.states(x_BLD).transpose(0, 1), batch.lengths_B))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.dense(self.states(x_BLD)).transpose(0, 1)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(x_BD.new_zeros(len(x_BD), self.hidden) for _ in self.rnn)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        x_BD, states = self.dropout(x_BD), []
        for layer, h_BH in zip(self.rnn, state, strict=True):
            x_BD = layer.step(x_BD, h_BH)
            states.append(x_BD)
        return self.dense(x_BD), tuple(states)
