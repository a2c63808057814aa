"""Causal soft-max attention with dropout on its weights.

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
from torch import Tensor
from torch.autograd.function import once_differentiable

from srbench.models.layers import Dropout

ROWS = 100  # queries of a block


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
