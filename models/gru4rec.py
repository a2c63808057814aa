"""GRU4Rec: a gated recurrent network over the items of a session.

Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, in the
form that sequential papers compare with (RecBole 1.2.1, `gru4rec.py`).

    z_t = sigma(W_z x_t + U_z h_{t-1})          r_t = sigma(W_r x_t + U_r h_{t-1})
    n_t = tanh(W_n x_t + r_t * (U_n h_{t-1}))   h_t = (1 - z_t) * n_t + z_t * h_{t-1}
    representation = W_o h_t + b_o

Differs from the paper: soft-max over the whole catalogue instead of session-parallel mini-batches
with TOP1 or BPR-max losses, the item table is shared between input and output, no biases in the
GRU. Differs from RecBole: nothing in the computation; every position is a target of the one pass,
not one a prefix.

    L  positions, B  users, D  width of the item table, H  hidden width
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.layers import GRU, Dropout


class GRU4RecSettings(Settings):
    """Defaults: RecBole 1.2.1, `properties/model/GRU4Rec.yaml`."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    hidden: int = Field(128, ge=1, description="width of the recurrent state")
    layers: int = Field(1, ge=1, description="stacked GRU layers")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the embedded items")


class GRU4Rec(Encoder):
    """x -> dropout -> GRU without biases -> linear."""

    info = Info(
        family="RNN",
        year=2016,
        paper="Hidasi et al., Session-based Recommendations with RNNs, ICLR 2016",
        reference="RecBole 1.2.1, recbole/model/sequential_recommender/gru4rec.py",
        summary="A gated recurrent network over the items.",
    )
    Settings = GRU4RecSettings

    def __init__(self, settings: GRU4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.dropout = Dropout(settings.dropout)
        self.gru = GRU(settings.width, settings.hidden, settings.layers)
        self.dense = nn.Linear(settings.hidden, settings.width)
        for weight in self.gru.weights(0):  # later layers keep torch's initialisation
            nn.init.xavier_uniform_(weight)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.xavier_normal_(table_VD)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_LBH = self.gru(self.dropout(x_BLD.transpose(0, 1)))
        return self.dense(last_BD(h_LBH.transpose(0, 1), batch.lengths_B))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_LBH = self.gru(self.dropout(x_BLD.transpose(0, 1)))
        return self.dense(h_LBH).transpose(0, 1)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(
            x_BD.new_zeros(len(x_BD), self.gru.hidden_size) for _ in range(self.gru.num_layers)
        )

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        x_BD, states = self.dropout(x_BD), []
        for layer, h_BH in enumerate(state):
            x_BD = self.gru.cell(x_BD, h_BH, layer)
            states.append(x_BD)
        return self.dense(x_BD), tuple(states)
