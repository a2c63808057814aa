"""The selective scan of Mamba: a linear recurrence whose decay and input depend on the event.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", COLM 2024, eq. 1-2
with the discretisation of their code (the decay exactly, the input by Euler's rule):

    s_t = exp(delta_t A) * s_{t-1} + (delta_t u_t) B_t'        y_t = s_t C_t        s_{-1} = 0

The states of a whole batch, [L, B, N, E], are a hundred times the size of what goes in and comes
out, so they are never there at once. The forward pass keeps one state in the cache and goes through
time, a mark at every K-th event; the backward pass, written by hand, goes back from mark to mark
and makes the K states between two marks again. K is the root of L. `scan.linear_scan` does not fit:
its decays, its inputs and their gradients would each be such a whole tensor.

    L  positions, B  users, E  inner width, N  states of a channel, K  events between two marks
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from srbench.models.tally import tally

Scan = Literal["auto", "torch", "mamba-ssm"]


def selective_scan(
    u_LBE: Tensor, delta_LBE: Tensor, A_EN: Tensor, B_LBN: Tensor, C_LBN: Tensor
) -> tuple[Tensor, Tensor]:
    """y_LBE and the last state s_BNE. Computes in the type of `A_EN`, at least float32."""
    # Of an event: delta u, and for each state the decay (2) and what it is and gets (3). To read it
    # by C is a product.
    tally("selective scan", u_LBE.numel() * (1 + 5 * A_EN.shape[1]))
    dtype = torch.promote_types(A_EN.dtype, torch.float32)
    given = (u_LBE, delta_LBE, A_EN.t(), B_LBN, C_LBN)
    inputs = [x.to(dtype).contiguous() for x in given]
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    result: tuple[Tensor, Tensor] = _SelectiveScan.apply(*inputs, keep)  # type: ignore[no-untyped-call]
    return result


def selective_step(
    s_BNE: Tensor, u_BE: Tensor, delta_BE: Tensor, A_EN: Tensor, B_BN: Tensor, C_BN: Tensor
) -> tuple[Tensor, Tensor]:
    """One event: y_BE and the new state."""
    decay_BNE = torch.exp(delta_BE[:, None] * A_EN.t())
    s_BNE = decay_BNE * s_BNE + (delta_BE * u_BE)[:, None] * B_BN[..., None]
    return (s_BNE * C_BN[..., None]).sum(1), s_BNE


def sequential_selective_scan(
    u_LBE: Tensor, delta_LBE: Tensor, A_EN: Tensor, B_LBN: Tensor, C_LBN: Tensor
) -> tuple[Tensor, Tensor]:
    """`selective_scan` step by step; differentiated by torch."""
    s_BNE = u_LBE.new_zeros(u_LBE.shape[1], A_EN.shape[1], A_EN.shape[0])
    ys = []
    for u_BE, delta_BE, B_BN, C_BN in zip(u_LBE, delta_LBE, B_LBN, C_LBN, strict=True):
        y_BE, s_BNE = selective_step(s_BNE, u_BE, delta_BE, A_EN, B_BN, C_BN)
        ys.append(y_BE)
    return torch.stack(ys), s_BNE


def fused_selective_scan(
    u_LBE: Tensor, delta_LBE: Tensor, A_EN: Tensor, B_LBN: Tensor, C_LBN: Tensor
) -> tuple[Tensor, Tensor]:
    """`selective_scan` by the kernel of the package mamba-ssm, which runs on a GPU."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u_BEL, delta_BEL, B_BNL, C_BNL = (
        x.to(A_EN.dtype).permute(1, 2, 0).contiguous() for x in (u_LBE, delta_LBE, B_LBN, C_LBN)
    )
    y_BEL, s_BEN = selective_scan_fn(
        u_BEL, delta_BEL, A_EN.contiguous(), B_BNL, C_BNL, return_last_state=True
    )
    return y_BEL.permute(2, 0, 1), s_BEN.transpose(1, 2)


def has_mamba_ssm() -> bool:
    return importlib.util.find_spec("mamba_ssm") is not None


def kernel_of(scan: Scan, device: torch.device) -> Literal["torch", "mamba-ssm"]:
    """Whose scan runs on this device."""
    fused = device.type == "cuda" and has_mamba_ssm()
    return "mamba-ssm" if scan == "mamba-ssm" or (scan == "auto" and fused) else "torch"


def _stride(length: int) -> int:
    """K: the root of the length, rounded up."""
    return math.isqrt(max(length - 1, 0)) + 1


class _SelectiveScan(torch.autograd.Function):
    """The recurrence and its adjoint. With g_t the gradient of s_t and c_t = exp(delta_t A) g_t,

    g_t = C_t dy_t' + c_{t+1}        dC_t = s_t dy_t        dB_t = g_t (delta_t u_t)
    d(delta_t u_t) = B_t' g_t        d(delta_t A) = c_t * s_{t-1}
    """

    @staticmethod
    def forward(
        ctx: Any,
        u_LBE: Tensor,
        delta_LBE: Tensor,
        A_NE: Tensor,
        B_LBN: Tensor,
        C_LBN: Tensor,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        length, batch, width = u_LBE.shape
        stride = _stride(length)
        s_BNE = u_LBE.new_zeros(batch, len(A_NE), width)
        decay_BNE = torch.empty_like(s_BNE)
        marks = u_LBE.new_empty(-(-length // stride) if keep else 0, *s_BNE.shape)
        y_LB1E = u_LBE.new_empty(length, batch, 1, width)
        events = zip(
            delta_LBE[:, :, None].unbind(),
            (delta_LBE * u_LBE)[:, :, None].unbind(),
            B_LBN[..., None].unbind(),
            C_LBN[:, :, None].unbind(),
            y_LB1E.unbind(),
            strict=True,
        )
        for t, (delta, du, b, c, y) in enumerate(events):
            if keep and t % stride == 0:
                marks[t // stride] = s_BNE
            torch.mul(delta, A_NE, out=decay_BNE).exp_()
            s_BNE.mul_(decay_BNE).addcmul_(du, b)
            torch.bmm(c, s_BNE, out=y)
        ctx.save_for_backward(u_LBE, delta_LBE, A_NE, B_LBN, C_LBN, marks)
        ctx.set_materialize_grads(False)
        return y_LB1E[:, :, 0], s_BNE

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy_LBE: Tensor | None, ds_BNE: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        u_LBE, delta_LBE, A_NE, B_LBN, C_LBN, marks = ctx.saved_tensors
        length, batch, width = u_LBE.shape
        stride = _stride(length)
        dy_LBE = torch.zeros_like(u_LBE) if dy_LBE is None else dy_LBE.contiguous()
        dB_LBN, dC_LBN = torch.empty_like(B_LBN), torch.empty_like(C_LBN)
        ddu_LBE, ddelta_LBE = torch.empty_like(u_LBE), torch.empty_like(u_LBE)
        events = list(
            zip(
                delta_LBE[:, :, None].unbind(),
                (delta_LBE * u_LBE)[:, :, None].unbind(),
                B_LBN[..., None].unbind(),
                C_LBN[..., None].unbind(),
                dy_LBE[:, :, None].unbind(),
                dB_LBN[..., None].unbind(),
                dC_LBN[..., None].unbind(),
                ddu_LBE[:, :, None].unbind(),
                ddelta_LBE.unbind(),
                strict=True,
            )
        )
        shape = (batch, len(A_NE), width)
        decays = u_LBE.new_empty(stride, *shape).unbind()
        states = u_LBE.new_empty(stride + 1, *shape).unbind()
        carried = u_LBE.new_zeros(shape) if ds_BNE is None else ds_BNE.clone()
        product, dA_BNE = torch.empty_like(carried), torch.zeros_like(carried)
        for start in reversed(range(0, length, stride)):
            chunk = events[start : start + stride]
            states[0].copy_(marks[start // stride])
            for i, (delta, du, b, *_) in enumerate(chunk):
                torch.mul(delta, A_NE, out=decays[i]).exp_()
                torch.mul(states[i], decays[i], out=states[i + 1]).addcmul_(du, b)
            for i in reversed(range(len(chunk))):
                delta, du, b, c, dy, db, dc, ddu, ddelta = chunk[i]
                carried.addcmul_(c, dy)
                torch.bmm(states[i + 1], dy.transpose(1, 2), out=dc)
                torch.bmm(carried, du.transpose(1, 2), out=db)
                torch.bmm(b.transpose(1, 2), carried, out=ddu)
                carried.mul_(decays[i])
                torch.mul(carried, states[i], out=product)
                dA_BNE.addcmul_(product, delta)
                torch.sum(product.mul_(A_NE), 1, out=ddelta)
        ddelta_LBE.addcmul_(ddu_LBE, u_LBE)
        return ddu_LBE * delta_LBE, ddelta_LBE, dA_BNE.sum(0), dB_LBN, dC_LBN, None
