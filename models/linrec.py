"""LinRec: SASRec with linear attention over features of length 1, causal.

Liu et al., "LinRec: Linear Attention Mechanism for Long-term Sequential Recommender Systems", SIGIR
2023 (arXiv 2411.01537), on SASRec as in the published code (Applied-Machine-Learning-Lab/LinRec,
`layers.py` at 0a924d6).

    x = LN(E[item_t] + P[t])
    q = elu(Q) / |elu(Q)|        k = elu(K) / |elu(K)|         in each head; Q, K, v linear in x
    y_t = q_t' (sum over s up to t of k_s v_s') / sqrt(C)
    a = LN(W_o y + b_o + x)      h = LN(W_2 gelu(W_1 a) + a)   for each layer

The memory sum k v' does not grow with the history: `step` costs the same for any of them, and all
prefixes come from running sums in one pass.

Differs from the published code: that ignores the attention mask it is given, so every event sees
the whole window, later events and pads too, and one pass serves one target. Here sums run up to the
event itself. With one layer the representation of a history is the same number, for its last event
sees all others either way; with more it is another, causal model. `linrec-official` does what the
code does.

Differs from the paper: it may be read as normalising each channel of K over the events; the code
normalises each event. `keys = "history"` is the former, causally: k_t is divided, channel by
channel, by the root of its running sum of squares, which depends on t alone and so goes to q_t.

    B  users, L  positions, Q  positions that are asked, D  width, H  heads, C  channels of a head
"""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, HeadSettings, Info, State, last_BD
from srbench.models.layers import (
    Dropout,
    FeedForward,
    causal_linear_attention,
    initialise,
    unit_elu,
)

Sums = tuple[Tensor, Tensor]  # of k v' [B, H, C, C], and of k k [B, H, C]


class LinRecSettings(HeadSettings):
    """Defaults: `run.py` of the published code."""

    width: int = Field(128, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of attention and feed-forward")
    heads: int = Field(8, ge=1, description="attention heads; must divide the width")
    inner: int = Field(256, ge=1, description="inner width of the feed-forward layer")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    keys: Literal["event", "history"] = Field(
        "event", description="over what keys have length 1: each event's, or each channel's so far"
    )


class Block(nn.Module):
    """Linear attention and feed-forward, each with residual and normalisation behind it."""

    def __init__(self, settings: LinRecSettings) -> None:
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.over_history = settings.keys == "history"
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))
        self.norm_attention = nn.LayerNorm(width, eps=1e-12)
        self.ffn = FeedForward(width, settings.inner, settings.dropout)
        self.dropout = Dropout(settings.dropout)

    # Leading dimensions are free where names say B alone.

    def queries(self, x_BD: Tensor) -> Tensor:
        """q / sqrt(C), [B, H, C]."""
        scale = (x_BD.shape[-1] // self.heads) ** -0.5
        return unit_elu(self.query(x_BD), self.heads, scale).unflatten(-1, (self.heads, -1))

    def keys_and_values(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """k and v, each [B, H, C]; k is not yet divided where that takes the history."""
        k_BD, v_BD = self.key(x_BD), self.value(x_BD)
        k_BD = F.elu(k_BD) if self.over_history else unit_elu(k_BD, self.heads)
        return k_BD.unflatten(-1, (self.heads, -1)), v_BD.unflatten(-1, (self.heads, -1))

    def finish(self, y_BHC: Tensor, x_BD: Tensor) -> Tensor:
        """From what attention read to the block's output."""
        y_BD = self.dropout(self.dense(y_BHC.flatten(-2)))
        h_BD: Tensor = self.ffn(self.norm_attention(y_BD + x_BD))
        return h_BD

    def forward(self, x_BLD: Tensor) -> Tensor:
        k, v = (part.transpose(1, 2) for part in self.keys_and_values(x_BLD))
        q = self.queries(x_BLD).transpose(1, 2)
        if self.over_history:
            q = q * over(k.square().cumsum(2))
        y_BHLC = causal_linear_attention(q, k, v)
        return self.finish(y_BHLC.transpose(1, 2), x_BLD)

    def attend(self, x_BQD: Tensor, seen_BLD: Tensor, mask_BL: Tensor | None = None) -> Tensor:
        """The output at x_BQD, each of which sees all of seen_BLD that the mask does not hide."""
        k, v = (part.transpose(1, 2) for part in self.keys_and_values(seen_BLD))
        if mask_BL is not None:
            k = k * mask_BL[:, None, :, None]
        if self.over_history:
            k = k * over(k.square().sum(2, keepdim=True))
        q_BHQC = self.queries(x_BQD).transpose(1, 2)
        return self.finish((q_BHQC @ (k.transpose(-1, -2) @ v)).transpose(1, 2), x_BQD)

    def step(self, x_BD: Tensor, sums: Sums) -> tuple[Tensor, Sums]:
        """One event: the output, and the sums of k v' and k k with it."""
        k_BHC, v_BHC = self.keys_and_values(x_BD)
        kv_BHCC = sums[0] + k_BHC[..., None] * v_BHC[..., None, :]
        kk_BHC = sums[1] + k_BHC.square()
        q_BHC = self.queries(x_BD)
        if self.over_history:
            q_BHC = q_BHC * over(kk_BHC)
        y_BHC = (q_BHC[..., None, :] @ kv_BHCC).squeeze(-2)
        return self.finish(y_BHC, x_BD), (kv_BHCC, kk_BHC)


def over(squares: Tensor) -> Tensor:
    """1 / sqrt, with nothing infinite where there was nothing."""
    return squares.clamp_min(1e-24).rsqrt()


class LinRec(Encoder):
    """Item and position embedding, then blocks of causal linear attention."""

    info = Info(
        family="Transformer",
        year=2023,
        paper="Liu et al., LinRec: Linear Attention for Long-term Sequential RS, SIGIR 2023",
        reference="Applied-Machine-Learning-Lab/LinRec, layers.py at 0a924d6",
        summary="SASRec with causal linear attention.",
    )
    Settings = LinRecSettings

    def __init__(self, settings: LinRecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.positions = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        initialise(self)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def embed(self, x_BLD: Tensor) -> Tensor:
        return self.dropout(self.norm(x_BLD + self.positions.weight[: x_BLD.shape[1]]))

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD)
        for block in self.blocks[:-1]:
            h_BLD = block(h_BLD)
        last_B1D = last_BD(h_BLD, batch.lengths_B)[:, None]
        return self.blocks[-1].attend(last_B1D, h_BLD, batch.mask_BL())[:, 0]

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD)
        for block in self.blocks:
            h_BLD = block(h_BLD)
        return h_BLD

    def init_state(self, x_BD: Tensor) -> State:
        seen_B = torch.zeros(len(x_BD), dtype=torch.int64, device=x_BD.device)
        heads = self.blocks[0].heads
        kk_BHC = x_BD.new_zeros(len(x_BD), heads, self.width // heads)
        kv_BHCC = kk_BHC[..., None].expand(-1, -1, -1, kk_BHC.shape[-1])
        return seen_B, [(kv_BHCC, kk_BHC)] * len(self.blocks)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """A history may be as long as the window: there are no positions beyond it."""
        seen_B, sums = state
        h_BD = self.dropout(self.norm(x_BD + self.positions.weight[seen_B]))
        new = []
        for block, before in zip(self.blocks, sums, strict=True):
            h_BD, after = block.step(h_BD, before)
            new.append(after)
        return h_BD, (seen_B + 1, new)
