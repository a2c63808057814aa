"""HSTU: pointwise attention that is gated, with biases for distance and time.

Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for
Generative Recommendations", ICML 2024 (arXiv 2402.17152), in the form of the authors' research code
(meta-recsys/generative-recommenders at db1bf8f, `research/modeling/sequential/hstu.py`).

    x_i = sqrt(D) E[item_i] + P[i]
    u, v, q, k = silu(LN(x) W)                          LN without weights, here and below
    a_ij = silu(q_i k_j' + p[i - j] + r[bucket(t_i - t_j)]) / N         for j up to i, else 0
    x = W_o (u * LN(a v)) + b_o + x                     for each layer; `concat_ua`: W_o [u, o, u o]
    bucket(t) = floor(ln(max(|t|, 1)) / 0.301), at most 128
    representation = x / |x| / temperature          scores: times the items' rows, each of length 1

No soft-max and no 1/sqrt(D): each event adds its own share, and LN brings the sum to one scale.

Whose time: the authors' code gives position i the time of the *next* event, so the last position
sees when the target happens. Here that is `target_time`, off by default: then t_i is the event's
own time, and nothing later is seen. Where a dataset has no times, r is left out.

Differs from the paper and the code: cross-entropy over the whole catalogue instead of a soft-max
over 128 sampled items. Differs from the code: N is the window `length`, not the width that a batch
is padded to (there the window and 11 more, so pads change nothing here); p has no entries for later
events, which the mask hides.

    B  users, L  positions, D  width, H  heads, N  window
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, last_BD
from srbench.models.layers import Dropout

BUCKETS = 128  # the last bucket of time; there is one more for the first
EPS = 1e-6


class HSTUSettings(Settings):
    """Defaults: the authors' `configs/ml-1m/hstu-sampled-softmax-n128-final.gin`."""

    width: int = Field(50, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of gated attention")
    heads: int = Field(1, ge=1, description="attention heads")
    dqk: int = Field(50, ge=1, description="channels of a head's queries and keys")
    dv: int = Field(50, ge=1, description="channels of a head's values and gates")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and gated values")
    concat_ua: bool = Field(False, description="the output layer sees gate and attention apart too")
    temperature: float = Field(0.05, gt=0, description="cosines are divided by it")
    target_time: bool = Field(
        False, description="sees when the event to be predicted happens, as the authors' code does"
    )


class Block(nn.Module):
    """x -> W_o (u * LN(silu(q k' + bias) v / N)) + b_o + x."""

    def __init__(self, settings: HSTUSettings, length: int) -> None:
        super().__init__()
        width, self.heads, self.length = settings.width, settings.heads, length
        self.concat_ua = settings.concat_ua
        self.sizes = [settings.heads * size for size in (*[settings.dv] * 2, *[settings.dqk] * 2)]
        self.uvqk = nn.Parameter(torch.empty(width, sum(self.sizes)))
        self.distance_bias = nn.Parameter(torch.empty(length))  # by i - j
        self.time_bias = nn.Parameter(torch.empty(BUCKETS + 1))
        self.out = nn.Linear(self.sizes[0] * (3 if settings.concat_ua else 1), width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, x_BLD: Tensor, bucket_BLL: Tensor | None) -> Tensor:
        uvqk = F.silu(F.layer_norm(x_BLD, x_BLD.shape[-1:], eps=EPS) @ self.uvqk)
        u_BLU, *vqk = uvqk.split(self.sizes, dim=-1)
        v, q, k = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in vqk)
        bias = self.bias(x_BLD.shape[1], bucket_BLL)
        a_BHLL = F.silu((q @ k.transpose(-1, -2)) + bias)
        lower_LL = torch.ones_like(a_BHLL[0, 0]).tril_() / self.length
        o_BLU = ((a_BHLL * lower_LL) @ v).transpose(1, 2).flatten(2)
        o_BLU = F.layer_norm(o_BLU, o_BLU.shape[-1:], eps=EPS)
        y_BLU = u_BLU * o_BLU
        if self.concat_ua:
            y_BLU = torch.cat([u_BLU, o_BLU, y_BLU], dim=-1)
        return self.out(self.dropout(y_BLU)) + x_BLD

    def bias(self, length: int, bucket_BLL: Tensor | None) -> Tensor:
        """p[i - j], [1, 1, L, L], and where there are times r[bucket], [B, 1, L, L]."""
        positions_L = torch.arange(length, device=self.distance_bias.device)
        distance_LL = (positions_L[:, None] - positions_L).clamp_(min=0)  # later events are masked
        bias = self.distance_bias.expand(length, -1).gather(1, distance_LL)[None, None]
        if bucket_BLL is None:
            return bias
        # By rows: the gradient of a plain look-up would add its millions of terms one by one.
        bucket_NL = bucket_BLL.flatten(0, 1)
        time_NL = self.time_bias.expand(len(bucket_NL), -1).gather(1, bucket_NL)
        return bias + time_NL.view_as(bucket_BLL)[:, None]


def buckets(later_BL: Tensor, times_BL: Tensor) -> Tensor:
    """The bucket of the time from each event (last axis) to each of `later_BL`, int64 [B, L, L]."""
    apart_BLL = (later_BL[:, :, None] - times_BL[:, None, :]).to(torch.float32)  # exact as int64
    apart_BLL.abs_().clamp_(min=1)
    return apart_BLL.log_().div_(0.301).long().clamp_(max=BUCKETS)


class HSTU(Encoder):
    """Item and position embedding, then blocks of gated pointwise attention."""

    info = Info(
        family="Transformer",
        year=2024,
        paper="Zhai et al., Actions Speak Louder than Words (HSTU), ICML 2024",
        reference="meta-recsys/generative-recommenders, research/.../hstu.py at db1bf8f",
        summary="Gated pointwise attention with biases for distance and time.",
    )
    Settings = HSTUSettings

    def __init__(self, settings: HSTUSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.temperature, self.target_time = settings.temperature, settings.target_time
        self.positions = nn.Embedding(length, settings.width)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings, length) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        nn.init.xavier_normal_(self.positions.weight)
        for block in self.blocks:
            for weight in (block.uvqk, block.distance_bias, block.time_bias):
                nn.init.normal_(weight, std=0.02)
            nn.init.xavier_uniform_(block.out.weight)  # its bias stays as torch draws it

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.trunc_normal_(table_VD, std=0.02, a=-0.04, b=0.04)

    def rows(self, table_VD: Tensor) -> Tensor:
        return F.normalize(table_VD, dim=-1, eps=EPS)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(self.prefixes(x_BLD, batch), batch.lengths_B)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        times_BL, bucket_BLL = batch.times_BL, None
        if times_BL is not None:
            bucket_BLL = buckets(next_times_BL(batch) if self.target_time else times_BL, times_BL)
        h_BLD = x_BLD * self.width**0.5 + self.positions.weight[: x_BLD.shape[1]]
        h_BLD = self.dropout(h_BLD)
        for block in self.blocks:
            h_BLD = block(h_BLD, bucket_BLL)
        return F.normalize(h_BLD, dim=-1, eps=EPS) / self.temperature


def next_times_BL(batch: Batch) -> Tensor:
    """When the event behind each one happens; behind the last one, the one to be predicted."""
    assert batch.times_BL is not None and batch.target_times_B is not None
    next_BL = F.pad(batch.times_BL[:, 1:], (0, 1))
    return next_BL.scatter(1, batch.lengths_B[:, None] - 1, batch.target_times_B[:, None])
