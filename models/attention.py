"""Soft-max attention: what blocks of it have in common, and the causal one with dropout.

`F.scaled_dot_product_attention` has no fused kernel with dropout on a CPU: it would compute the
whole square. Here queries go in blocks, each against the keys up to its end, and the backward is
written by hand.

    B  users    H  heads    N = B H    L  positions    R  queries of a block    C  channels
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from srbench.models.base import Batch, last_BD
from srbench.models.layers import Dropout, FeedForward

ROWS = 100  # queries of a block


class AttentionBlock(nn.Module):
    """The parts of self-attention and feed-forward, each with residual and norm behind it.

    Who sees whom is for the models to say.
    """

    def __init__(
        self, width: int, *, heads: int, inner: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))
        self.norm_attention = nn.LayerNorm(width, eps=1e-12)
        self.ffn = FeedForward(width, inner, dropout)
        self.dropout = Dropout(dropout)
        self.attention_dropout = Dropout(attention_dropout)

    def split(self, x_BLD: Tensor) -> Tensor:
        """[B, H, L, C]."""
        return x_BLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attended(self, y_BHLC: Tensor, x_BLD: Tensor) -> Tensor:
        """From what attention read, and the block's input, to the input of the feed-forward."""
        y_BLD = self.dense(y_BHLC.transpose(1, 2).flatten(2))
        a_BLD: Tensor = self.norm_attention(self.dropout(y_BLD) + x_BLD)
        return a_BLD


class CausalBlock(AttentionBlock):
    """Each event sees those up to itself. A pad behind the end is never seen."""

    def forward(self, x_BLD: Tensor) -> Tensor:
        q, k, v = (self.split(part(x_BLD)) for part in (self.query, self.key, self.value))
        y_BHLC = causal_attention(q, k, v, self.attention_dropout)
        h_BLD: Tensor = self.ffn(self.attended(y_BHLC, x_BLD))
        return h_BLD

    def last(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """`forward` at the last event of each history alone, [B, D]."""
        x_B1D = last_BD(x_BLD, batch.lengths_B)[:, None]
        y_BH1C = F.scaled_dot_product_attention(
            self.split(self.query(x_B1D)),
            self.split(self.key(x_BLD)),
            self.split(self.value(x_BLD)),
            attn_mask=batch.mask_BL()[:, None, None],
            dropout_p=self.attention_dropout.rate if self.training else 0.0,
        )
        h_B1D: Tensor = self.ffn(self.attended(y_BH1C, x_B1D))
        return h_B1D[:, 0]


def causal_attention(q_BHLC: Tensor, k_BHLC: Tensor, v_BHLC: Tensor, dropout: Dropout) -> Tensor:
    """y_t = sum over s up to t of dropout(softmax(q_t k_s / sqrt(C))) v_s, [B, H, L, C]."""
    rate = dropout.rate if dropout.training else 0.0
    if rate == 0 or q_BHLC.is_cuda:
        return F.scaled_dot_product_attention(
            q_BHLC, k_BHLC, v_BHLC, is_causal=True, dropout_p=rate
        )
    q_NLC, k_NLC, v_NLC = (x.flatten(0, 1) for x in (q_BHLC, k_BHLC, v_BHLC))
    y_NLC: Tensor = _CausalAttention.apply(  # type: ignore[no-untyped-call]
        q_NLC * q_NLC.shape[-1] ** -0.5, k_NLC, v_NLC, dropout
    )
    return y_NLC.view_as(q_BHLC)


def _blocks(length: int) -> Iterator[tuple[slice, slice]]:
    """The queries of each block, and the keys up to its end."""
    for start in range(0, length, ROWS):
        stop = min(start + ROWS, length)
        yield slice(start, stop), slice(0, stop)


class _CausalAttention(torch.autograd.Function):
    """q is scaled already. Keeps the weights and what dropout multiplied them with."""

    @staticmethod
    def forward(ctx: Any, q_NLC: Tensor, k_NLC: Tensor, v_NLC: Tensor, dropout: Dropout) -> Tensor:
        y_NLC = torch.empty_like(v_NLC)
        future_RR = q_NLC.new_full((ROWS, ROWS), float("-inf")).triu(1)
        kept = []
        for rows, keys in _blocks(q_NLC.shape[1]):
            s_NRL = torch.bmm(q_NLC[:, rows], k_NLC[:, keys].transpose(1, 2))
            count = rows.stop - rows.start
            s_NRL[:, :, rows] += future_RR[:count, :count]
            w_NRL = torch.softmax(s_NRL, dim=-1)
            factor_NRL = dropout.factor(w_NRL)
            torch.bmm(w_NRL * factor_NRL, v_NLC[:, keys], out=y_NLC[:, rows])
            kept += [w_NRL, factor_NRL]
        ctx.save_for_backward(q_NLC, k_NLC, v_NLC, *kept)
        return y_NLC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_NLC: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q_NLC, k_NLC, v_NLC, *kept = ctx.saved_tensors
        dq_NLC = torch.empty_like(q_NLC)
        dk_NLC, dv_NLC = torch.zeros_like(k_NLC), torch.zeros_like(v_NLC)
        blocks = zip(_blocks(q_NLC.shape[1]), kept[::2], kept[1::2], strict=True)
        for (rows, keys), w_NRL, factor_NRL in blocks:
            dy_NRC = dy_NLC[:, rows]
            dv_NLC[:, keys].baddbmm_((w_NRL * factor_NRL).transpose(1, 2), dy_NRC)
            dw_NRL = torch.bmm(dy_NRC, v_NLC[:, keys].transpose(1, 2)).mul_(factor_NRL).mul_(w_NRL)
            ds_NRL = dw_NRL.addcmul_(w_NRL, dw_NRL.sum(-1, keepdim=True), value=-1)
            torch.bmm(ds_NRL, k_NLC[:, keys], out=dq_NLC[:, rows])
            dk_NLC[:, keys].baddbmm_(ds_NRL.transpose(1, 2), q_NLC[:, rows])
        return dq_NLC, dk_NLC, dv_NLC, None
