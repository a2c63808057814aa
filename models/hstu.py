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
own time, and nothing later is seen. Where a dataset has no times, or `time` is off, r is left out.

Differs from the paper and the code: cross-entropy over the whole catalogue instead of a soft-max
over 128 sampled items. Differs from the code: N is the window `length`, not the width that a batch
is padded to (there the window and 11 more, so pads change nothing here); p has no entries for later
events, which the mask hides.

    B  users, L  positions, Q  positions that are asked: all, or the last event's alone, D  width,
    H  heads, U  channels of all heads, N  window
"""

from __future__ import annotations

from dataclasses import dataclass
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

    idle = (("target_time", "time", False),)
    width: int = Field(50, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of gated attention")
    heads: int = Field(1, ge=1, description="attention heads")
    dqk: int = Field(50, ge=1, description="channels of a head's queries and keys")
    dv: int = Field(50, ge=1, description="channels of a head's values and gates")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and gated values")
    concat_ua: bool = Field(False, description="the output layer sees gate and attention apart too")
    temperature: float = Field(0.05, gt=0, description="cosines are divided by it")
    time: bool = Field(True, description="use the times of the events, where the dataset has them")
    target_time: bool = Field(
        False, description="sees when the event to be predicted happens, as the authors' code does"
    )


class Block(nn.Module):
    """x -> W_o (u * LN(silu(q k' + bias) v / N)) + b_o + x."""

    def __init__(self, settings: HSTUSettings, length: int) -> None:
        super().__init__()
        width, self.heads, self.concat_ua = settings.width, settings.heads, settings.concat_ua
        self.sizes = [settings.heads * size for size in (*[settings.dv] * 2, *[settings.dqk] * 2)]
        self.uvqk = nn.Parameter(torch.empty(width, sum(self.sizes)))
        self.distance_bias = nn.Parameter(torch.empty(length))  # by i - j
        self.time_bias = nn.Parameter(torch.empty(BUCKETS + 1)) if settings.time else None
        self.out = nn.Linear(self.sizes[0] * (3 if settings.concat_ua else 1), width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, x_BLD: Tensor, view: View) -> Tensor:
        """The output at the positions that are asked, [B, Q, D]."""
        uvqk = F.silu(F.layer_norm(x_BLD, x_BLD.shape[-1:], eps=EPS) @ self.uvqk)
        u_BLU, *vqk = uvqk.split(self.sizes, dim=-1)
        v, q, k = (part.unflatten(-1, (self.heads, -1)) for part in vqk)
        x_BQD, u_BQU, q = view.asked(x_BLD), view.asked(u_BLU), view.asked(q)
        s_BHQL = q.transpose(1, 2) @ k.permute(0, 2, 3, 1)
        a_BHQL = F.silu(s_BHQL + self.bias(view)[:, None]) * view.share_BQL[:, None]
        o_BQU = (a_BHQL @ v.transpose(1, 2)).transpose(1, 2).flatten(2)
        o_BQU = F.layer_norm(o_BQU, o_BQU.shape[-1:], eps=EPS)
        y_BQU = u_BQU * o_BQU
        if self.concat_ua:
            y_BQU = torch.cat([u_BQU, o_BQU, y_BQU], dim=-1)
        return self.out(self.dropout(y_BQU)) + x_BQD

    def bias(self, view: View) -> Tensor:
        """p[i - j], and where there are times r[bucket], [B, Q, L]."""
        bias_BQL = look_up(self.distance_bias, view.distance_BQL)
        if self.time_bias is not None and view.bucket_BQL is not None:
            bias_BQL = bias_BQL + look_up(self.time_bias, view.bucket_BQL)
        return bias_BQL


@dataclass(frozen=True)
class View:
    """What the positions that are asked see of the events. B is 1 where it is the same for all.

    distance_BQL: i - j, and 0 for later events. share_BQL: 1 / N, and 0 for later events.
    bucket_BQL: of the time between, None without times. lengths_B: where the last events alone are
    asked; None: all are.
    """

    distance_BQL: Tensor
    share_BQL: Tensor
    bucket_BQL: Tensor | None
    lengths_B: Tensor | None

    def asked(self, x_BLX: Tensor) -> Tensor:
        return x_BLX if self.lengths_B is None else last_BD(x_BLX, self.lengths_B)[:, None]


def look_up(bias_K: Tensor, index_BQL: Tensor) -> Tensor:
    """bias[index]. Row by row: the gradient of indexing would add millions of terms one by one."""
    index_NL = index_BQL.flatten(0, 1)
    return bias_K.expand(len(index_NL), -1).gather(1, index_NL).view_as(index_BQL)


def buckets(later_BQ: Tensor, times_BL: Tensor) -> Tensor:
    """The bucket of the time from each event to each of `later_BQ`, int64 [B, Q, L]."""
    apart_BQL = (later_BQ[:, :, None] - times_BL[:, None, :]).to(torch.float32)  # exact as int64
    apart_BQL.abs_().clamp_(min=1)
    return apart_BQL.log_().div_(0.301).long().clamp_(max=BUCKETS)


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
        self.width, self.length = settings.width, length
        self.time, self.target_time = settings.time, settings.target_time
        self.temperature = settings.temperature
        self.positions = nn.Embedding(length, settings.width)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings, length) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        nn.init.xavier_normal_(self.positions.weight)
        for block in self.blocks:
            for weight in (block.uvqk, block.distance_bias, block.time_bias):
                if weight is not None:
                    nn.init.normal_(weight, std=0.02)
            nn.init.xavier_uniform_(block.out.weight)  # its bias stays as torch draws it

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.trunc_normal_(table_VD, std=0.02, a=-0.04, b=0.04)

    def rows(self, table_VD: Tensor) -> Tensor:
        return F.normalize(table_VD, dim=-1, eps=EPS)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.encode(x_BLD, batch, self.view(x_BLD, batch, batch.lengths_B))[:, 0]

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.encode(x_BLD, batch, self.view(x_BLD, batch))

    def encode(self, x_BLD: Tensor, batch: Batch, last: View) -> Tensor:
        """[B, Q, D]: the last block answers at the positions that `last` asks for."""
        h_BLD = x_BLD * self.width**0.5 + self.positions.weight[: x_BLD.shape[1]]
        h_BLD = self.dropout(h_BLD)
        if len(self.blocks) > 1:
            whole = last if last.lengths_B is None else self.view(x_BLD, batch)
            for block in self.blocks[:-1]:
                h_BLD = block(h_BLD, whole)
        return F.normalize(self.blocks[-1](h_BLD, last), dim=-1, eps=EPS) / self.temperature

    def view(self, x_BLD: Tensor, batch: Batch, lengths_B: Tensor | None = None) -> View:
        """Of every position, or with `lengths_B` of the last events."""
        events_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        asked_BQ = events_L[None] if lengths_B is None else lengths_B[:, None] - 1
        distance_BQL = asked_BQ[:, :, None] - events_L
        share_BQL = (distance_BQL >= 0).to(x_BLD.dtype) / self.length
        bucket_BQL = None
        if self.time and (times_BL := batch.times_BL) is not None:
            later_BQ = next_times_BL(batch) if self.target_time else times_BL
            if lengths_B is not None:
                later_BQ = later_BQ.gather(1, asked_BQ)
            bucket_BQL = buckets(later_BQ, times_BL)
        return View(distance_BQL.clamp_(min=0), share_BQL, bucket_BQL, lengths_B)


def next_times_BL(batch: Batch) -> Tensor:
    """When the event behind each one happens; behind the last one, the one to be predicted."""
    assert batch.times_BL is not None and batch.target_times_B is not None
    next_BL = F.pad(batch.times_BL[:, 1:], (0, 1))
    return next_BL.scatter(1, batch.lengths_B[:, None] - 1, batch.target_times_B[:, None])
