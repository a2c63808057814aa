"""GLINT-RU: a dense selective GRU beside linear attention, then a gated MLP.

Zhang et al., "GLINT-RU: Gated Lightweight Intelligent Recurrent Units for Sequential Recommender
Systems", KDD 2025 (arXiv 2406.10244). Equations in the order of the computation; gelu is exact.

    u = W_1 x             c = conv(u)               a centred temporal convolution, kernel 2p + 1
    s = GRU(c)            y = gate(c) * (W_p s)     gate(c) = W silu(W c), the selective gate
    r = conv'(y)          a = LN(W_o q'(K'V)/sqrt(C) + x)   q = elu(Q)/|elu(Q)|, k likewise
    m = alpha_1 r + alpha_2 a                       alpha = softmax of two learned numbers
    z = LN(W (m * gelu(W_2 x)) + x)                 the data-aware gate
    h = LN(W (W_3 z * gelu(W_4 z)) + z)             the gated MLP; the same LN as above

`glintru` treats pads as absent: a history is computed as if it stood alone. The published code
(szhang-cityu/GLINT-RU, `GLINT-RU.py` at 4f7b0a5) lets pads enter both convolutions and the
attention, so its scores depend on how far a batch is padded; `glintru-official` does the same.
Both follow the code where it differs from the paper: keys are normalised an event, not over events;
the attention is divided by sqrt(C) and has an output projection, a residual and a norm of its own;
one more linear layer follows the data-aware gate.

**All prefixes in one pass.** The model is not causal: both convolutions look p events ahead and the
attention sees the whole history, so the published code runs once a prefix. But the prefix that ends
at t shares all but its edge with the longer ones. Its keys and values are a running sum. Its states
up to t - p are those of the one interior recurrence; the last p events, which lack right
neighbours, are p more cells, computed for all t in parallel from *edge* convolutions without the
missing taps.

    L  positions, B  users, D  width, H  heads, C  channels of a head, p  reach of the kernel
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, HeadSettings, Info, State
from srbench.models.layers import (
    GRU,
    Dropout,
    causal_linear_attention,
    shift,
    split_heads,
    unit_elu,
)

# Events whose keys and values are had at a time where only their sum is wanted: at least so many,
# and more where with all users they are not so many rows.
EVENTS, ROWS = 16, 512


class GlintRUSettings(HeadSettings):
    """Defaults: `run.py` of the published code where it says, else the paper's text."""

    idle = (("heads", "attention", False),)
    width: int = Field(128, ge=2, description="width of the item table and of every layer")
    heads: int = Field(8, ge=1, description="heads of the linear attention; must divide the width")
    layers: int = Field(1, ge=1, description="stacked GRU layers")
    kernel: int = Field(3, ge=1, description="kernel size of both convolutions; odd")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on the embedded items")
    block_dropout: float = Field(0.3, ge=0, lt=1, description="dropout behind the three blocks")
    selective_gate: bool = Field(True, description="the gate on the GRU's states")
    attention: bool = Field(True, description="the linear-attention expert")
    gated_mlp: bool = Field(True, description="the gated MLP; without it: Light GLINT-RU")

    @model_validator(mode="after")
    def _kernel_is_centred(self) -> GlintRUSettings:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd")
        return self


class LinearAttention(nn.Module):
    """The attention expert: q_t' (sum of k_s v_s') / sqrt(C), projected, with residual and norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.eps = 1e-12  # the published code has none: a zero pad row gives NaN there
        self.scale = (width // heads) ** -0.5
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def features(self, x_BD: Tensor, factor: float = 1.0) -> Tensor:
        """elu, then unit length in each head; leading dimensions are free."""
        return unit_elu(x_BD, self.heads, factor, self.eps)

    def out(self, y_BD: Tensor, x_BD: Tensor) -> Tensor:
        return self.norm(self.dense(y_BD) + x_BD)

    def prefixes(self, x_LBD: Tensor) -> Tensor:
        q = self.features(self.query(x_LBD), self.scale)
        k, v = self.features(self.key(x_LBD)), self.value(x_LBD)
        q_BHLC, k_BHLC, v_BHLC = (split_heads(part, self.heads) for part in (q, k, v))
        y_BHLC = causal_linear_attention(q_BHLC, k_BHLC, v_BHLC)
        return self.out(y_BHLC.permute(2, 0, 1, 3).flatten(2), x_LBD)

    def memory(self, x_LBD: Tensor, mask_LB: Tensor | None = None) -> Tensor:
        """The sum of k v' over the events, [B, H, C, C]; a few events at a time fit the cache."""
        batch, width = x_LBD.shape[1:]
        rows, channels = batch * self.heads, width // self.heads
        sum_NCC = x_LBD.new_zeros(rows, channels, channels)
        events = max(EVENTS, ROWS // batch)
        masks: Iterable[Tensor | None] = repeat(None) if mask_LB is None else mask_LB.split(events)
        for x_EBD, mask_EB in zip(x_LBD.split(events), masks, strict=False):
            k, v = self.features(self.key(x_EBD)), self.value(x_EBD)
            k = k if mask_EB is None else k * mask_EB[..., None]
            k_NCE, v_NEC = k.view(-1, rows, channels).permute(1, 2, 0), v.view(-1, rows, channels)
            sum_NCC = torch.baddbmm(sum_NCC.to(v.dtype), k_NCE, v_NEC.transpose(0, 1))
        return sum_NCC.view(batch, self.heads, channels, channels)

    def event(self, x_BD: Tensor) -> Tensor:
        """k v' of one event."""
        k_BD, v_BD = self.features(self.key(x_BD)), self.value(x_BD)
        k_BHC, v_BHC = (part.unflatten(-1, (self.heads, -1)) for part in (k_BD, v_BD))
        return k_BHC[..., None] * v_BHC[..., None, :]

    def read(self, x_BD: Tensor, memory_BHCC: Tensor) -> Tensor:
        q_BHC = self.features(self.query(x_BD), self.scale).unflatten(-1, (self.heads, -1))
        return self.out((q_BHC[..., None, :] @ memory_BHCC).flatten(1), x_BD)


class GlintRU(Encoder):
    """GLINT-RU on histories without pads."""

    info = Info(
        family="RNN",
        year=2025,
        paper="Zhang et al., GLINT-RU: Gated Lightweight Intelligent Recurrent Units, KDD 2025",
        reference="szhang-cityu/GLINT-RU, GLINT-RU.py at 4f7b0a5",
        summary="Dense selective GRU, linear attention and gated MLP.",
    )
    Settings = GlintRUSettings

    def __init__(self, settings: GlintRUSettings, n_items: int, length: int) -> None:
        super().__init__()
        width = self.width = settings.width
        self.reach = settings.kernel // 2
        self.dropout = Dropout(settings.dropout)
        self.block_dropout = Dropout(settings.block_dropout)
        self.dense1 = nn.Linear(width, width)
        self.conv1d = nn.Conv1d(width, width, settings.kernel, padding=self.reach)
        self.gru = GRU(width, width, settings.layers)
        self.projection = nn.Linear(width, width)
        self.selective_gate = None
        if settings.selective_gate:
            narrow = nn.Linear(width, width // 2)
            wide = nn.Linear(width // 2, width)
            self.selective_gate = nn.Sequential(narrow, nn.SiLU(), wide, self.block_dropout)
        self.conv1dforgru = nn.Conv1d(width, width, settings.kernel, padding=self.reach)
        self.attention = None
        if settings.attention:
            self.attention = LinearAttention(width, settings.heads)
            self.weights = nn.Parameter(torch.tensor([0.5, 0.5]))
        self.dense2 = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.mlp = nn.ModuleList(nn.Linear(width, width) for _ in range(3 * settings.gated_mlp))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for weight in self.gru.weights(0):
            nn.init.xavier_uniform_(weight)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.xavier_normal_(table_VD)

    @property
    def bias_out(self) -> Tensor:
        assert self.conv1dforgru.bias is not None
        return self.conv1dforgru.bias

    # One event at the end of a history; leading dimensions are free.

    def gated(self, c_BD: Tensor, s_BD: Tensor) -> Tensor:
        """y = gate(c) * (W_p s)."""
        y_BD = self.projection(s_BD)
        return y_BD if self.selective_gate is None else self.selective_gate(c_BD) * y_BD

    def output(self, x_BD: Tensor, r_BD: Tensor, a_BD: Tensor | None) -> Tensor:
        """Mixes the experts and runs the gates: from r, a and x to the representation."""
        if a_BD is not None:
            alpha = self.weights.softmax(0)
            r_BD = alpha[0] * r_BD + alpha[1] * a_BD
        z_BD = self.dense(r_BD * F.gelu(self.dense2(x_BD)))
        h_BD = self.norm(self.block_dropout(z_BD) + x_BD)
        if self.mlp:
            dense3, dense4, out = self.mlp
            h_BD = self.norm(self.block_dropout(out(dense3(h_BD) * F.gelu(dense4(h_BD)))) + h_BD)
        return h_BD

    def convolved(self, conv: nn.Conv1d, window_BDK: Tensor) -> Tensor:
        """One event from its window. As one product: no copy of the weights is made."""
        return F.linear(window_BDK.flatten(-2), conv.weight.flatten(1), conv.bias)

    def at_the_end(self, y_EBD: Tensor) -> Tensor:
        """r of the event t from y of the events t - p to t, which has no right neighbours."""
        return self.convolved(self.conv1dforgru, F.pad(y_EBD.permute(1, 2, 0), (0, self.reach)))

    # The definition: one whole history.

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD, mask_LB = self.dropout(x_BLD.transpose(0, 1)), batch.mask_BL().t()
        u_LBD = self.dense1(x_LBD) * mask_LB[..., None]
        c_LBD = self.edges(u_LBD)[-1]
        s_LBD = self.gru(c_LBD)
        # Only the last p + 1 events reach the end through the second convolution.
        last_B = batch.lengths_B - 1
        rows_KB = last_B + torch.arange(-self.reach, 1, device=last_B.device)[:, None]
        columns_B = torch.arange(len(last_B), device=last_B.device)
        y_KBD = self.gated(
            c_LBD[rows_KB.clamp(min=0), columns_B], s_LBD[rows_KB.clamp(min=0), columns_B]
        )
        r_BD = self.at_the_end(y_KBD * (rows_KB >= 0)[..., None])
        x_BD = x_LBD[last_B, columns_B]
        a_BD = None
        if self.attention is not None:
            a_BD = self.attention.read(x_BD, self.attention.memory(x_LBD, mask_LB))
        return self.output(x_BD, r_BD, a_BD)

    # The same for every prefix at once.

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD = self.dropout(x_BLD.transpose(0, 1))
        c = self.edges(self.dense1(x_LBD))
        s = self.edge_states(c)
        taps = self.conv1dforgru.weight.unbind(-1)
        r_LBD = F.linear(self.gated(c[0], s[0]), taps[self.reach], self.bias_out)
        for lag in range(1, self.reach + 1):  # the event `lag` before the end has `lag` neighbours
            y_LBD = shift(self.gated(c[lag], s[lag]), lag)
            r_LBD = r_LBD + F.linear(y_LBD, taps[self.reach - lag])
        a_LBD = None if self.attention is None else self.attention.prefixes(x_LBD)
        return self.output(x_LBD, r_LBD, a_LBD).transpose(0, 1)

    def edges(self, u_LBD: Tensor) -> list[Tensor]:
        """c[m]: the first convolution at every position, with only m of its p right neighbours."""
        taps = self.conv1d.weight.unbind(-1)
        padded = F.pad(u_LBD, (0, 0, 0, 0, self.reach, self.reach))
        seen = [padded[i : i + len(u_LBD)].flatten(0, 1) for i in range(len(taps))]
        c_ND = F.linear(seen[0], taps[0], self.conv1d.bias)
        c = [c_ND] if self.reach == 0 else []
        for i in range(1, len(taps)):
            c_ND = torch.addmm(c_ND, seen[i], taps[i].t())
            c += [c_ND] if i >= self.reach else []
        return [c_ND.view_as(u_LBD) for c_ND in c]

    def edge_states(self, x: list[Tensor]) -> list[Tensor]:
        """s[m]: the GRU's state at every position in the prefix that ends m events later.

        s[p] is the interior recurrence. The event before one with m neighbours has m + 1.
        """
        for layer in range(self.gru.num_layers):
            state_LBD, recurrent_LBG = self.gru.layer(x[-1], layer)
            states = [state_LBD]
            for m in range(self.reach - 1, -1, -1):
                known_LBG = recurrent_LBG if m == self.reach - 1 else None
                states.insert(0, self.gru.cell(x[m], shift(states[0], 1), layer, known_LBG))
            x = states
        return x

    # The same one event at a time. The state holds what the edge of the next prefix will need.

    def init_state(self, x_BD: Tensor) -> State:
        zeros_BD = torch.zeros_like(x_BD)
        channels = self.width // (self.attention.heads if self.attention else 1)
        return (
            torch.zeros(len(x_BD), dtype=torch.int64, device=x_BD.device),  # events so far
            zeros_BD[..., None].expand(-1, -1, 2 * self.reach),  # u of the last 2p events
            zeros_BD.expand(self.gru.num_layers, -1, -1),  # interior states, p events back
            x_BD.new_zeros(len(x_BD), self.width // channels, channels, channels),
        )

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        seen_B, u_BDK, interior_NBD, memory_BHCC = state
        x_BD = self.dropout(x_BD)
        u_BDK = torch.cat([u_BDK, self.dense1(x_BD)[..., None]], -1)  # positions t - 2p to t
        # What follows is of the events t - p to t, oldest first, none before the first event.
        back_E = torch.arange(self.reach, -1, -1, device=seen_B.device)
        there_EB1 = (seen_B >= back_E[:, None])[..., None]
        windows = F.pad(u_BDK, (0, self.reach)).unfold(-1, 2 * self.reach + 1, 1)
        c_EBD = self.convolved(self.conv1d, windows.permute(2, 0, 1, 3)) * there_EB1
        s_EBD, kept = c_EBD, []
        for layer, interior_BD in enumerate(interior_NBD):
            states = [interior_BD]
            for input_BD in s_EBD:  # the GRU has no biases: no event makes no state
                states.append(self.gru.cell(input_BD, states[-1], layer))
            kept.append(states[1])
            s_EBD = torch.stack(states[1:])
        r_BD = self.at_the_end(self.gated(c_EBD, s_EBD) * there_EB1)
        a_BD = None
        if self.attention is not None:
            memory_BHCC = memory_BHCC + self.attention.event(x_BD)
            a_BD = self.attention.read(x_BD, memory_BHCC)
        new = (seen_B + 1, u_BDK[..., 1:], torch.stack(kept), memory_BHCC)
        return self.output(x_BD, r_BD, a_BD), new
