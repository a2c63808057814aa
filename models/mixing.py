"""Mixing along an axis by a perceptron with one row a place, and what it gives for every prefix.

    s = W_2 gelu(W_1 y + b_1) + b_2              y [.., A, N]: A places, N columns mixed alike

Along the positions of a window a place is a slot, counted from the first event. A slot where no
event stands adds nothing to W_1 y, so pads are absent where y is zero on them.

L  positions, K  inner width, N  columns (fields, users and channels), T  positions of a chunk
F  fields of an item (its own vector first), B  users, D  width
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from srbench.models.layers import Dropout

CHUNK = 8  # prefixes that are represented together
ELEMENTS = {"cpu": 2**19, "cuda": 2**26}  # of the inner layer, held at a time


class Mixer(nn.Module):
    """The perceptron over the last axis but one: expand, gelu, back, with dropout after both."""

    def __init__(self, places: int, expansion: int, dropout: float, *, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(places, expansion * places, bias)
        self.second = nn.Linear(expansion * places, places, bias)
        self.dropout = Dropout(dropout)

    def inner(self, y_AN: Tensor) -> Tensor:
        """g_KN, where y_AN may have fewer places than the mixer: the others are absent."""
        z_KN = self.first.weight[:, : y_AN.shape[-2]] @ y_AN
        return self.dropout(
            F.gelu(z_KN if self.first.bias is None else z_KN + self.first.bias[:, None])
        )

    def out(self, s: Tensor, bias: Tensor | None) -> Tensor:
        return self.dropout(s if bias is None else s + bias)

    def forward(self, y_AN: Tensor) -> Tensor:
        """s_AN: all places see all."""
        places, bias = y_AN.shape[-2], self.second.bias
        s_AN = self.second.weight[:places] @ self.inner(y_AN)
        return self.out(s_AN, None if bias is None else bias[:places, None])


class _RunningMix(torch.autograd.Function):
    """s_LN with s[t] = W_2[t] (kept * gelu(z_t)), z_t = b_1 + sum over u up to t of W_1[:, u] y[u].

    CHUNK prefixes at a time, in two buffers that stay in the cache. The backward pass makes them
    again, from the end: what reaches W_1[:, u] and y[u] is the sum over t from u on of the gradient
    in z_t, which runs too.
    """

    @staticmethod
    def forward(
        ctx: Any,
        first_KL: Tensor,
        bias_K: Tensor | None,
        second_LK: Tensor,
        y_LN: Tensor,
        kept_KN: Tensor,
    ) -> Tensor:
        length, columns = y_LN.shape
        s_LN = y_LN.new_empty(length, columns)
        z_TKN = y_LN.new_empty(min(CHUNK, length), len(first_KL), columns)
        with torch.autocast(y_LN.device.type, enabled=False):
            for start in range(0, length, CHUNK):
                z = z_TKN[: length - start]
                _fill(z, first_KL, bias_K, y_LN, start)
                g = F.gelu(z).mul_(kept_KN)
                rows = slice(start, start + CHUNK)
                torch.bmm(second_LK[rows, None], g, out=s_LN[rows, None])
        ctx.save_for_backward(first_KL, bias_K, second_LK, y_LN, kept_KN)
        return s_LN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ds_LN: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        first_KL, bias_K, second_LK, y_LN, kept_KN = ctx.saved_tensors
        length, columns = y_LN.shape
        dfirst_KL, dsecond_LK = torch.empty_like(first_KL), torch.empty_like(second_LK)
        dy_LN = torch.empty_like(y_LN)
        z_TKN = y_LN.new_empty(min(CHUNK, length), len(first_KL), columns)
        g_TKN = torch.empty_like(z_TKN)
        later_KN = torch.zeros_like(kept_KN)  # the gradient in z, summed over all later prefixes
        for start in reversed(range(0, length, CHUNK)):
            z, g = z_TKN[: length - start], g_TKN[: length - start]
            rows = slice(start, start + CHUNK)
            _fill(z, first_KL, bias_K, y_LN, start)
            torch.ops.aten.gelu.out(z, out=g).mul_(kept_KN)
            ds_T1N = ds_LN[rows, None]
            torch.bmm(g, ds_T1N.transpose(1, 2), out=dsecond_LK[rows, :, None])
            torch.mul(second_LK[rows, :, None], ds_T1N, out=g).mul_(kept_KN)
            torch.ops.aten.gelu_backward.grad_input(g, z, grad_input=g)
            for one in g.unbind()[::-1]:
                later_KN = one.add_(later_KN)
            later_KN = later_KN.clone()
            dy_LN[rows] = torch.bmm(first_KL[:, rows].t()[:, None], g).squeeze(1)
            dfirst_KL[:, rows] = torch.bmm(g, y_LN[rows, :, None]).squeeze(2).t()
        dbias_K = None if bias_K is None else later_KN.sum(1)
        return dfirst_KL, dbias_K, dsecond_LK, dy_LN, None


def _fill(z_TKN: Tensor, first_KL: Tensor, bias_K: Tensor | None, y_LN: Tensor, start: int) -> None:
    """z of the prefixes that end at `start` and behind it, as many as there is room for."""
    count = len(z_TKN)
    before_KN = first_KL[:, :start] @ y_LN[:start]
    if bias_K is not None:
        before_KN += bias_K[:, None]
    upto_TT = first_KL.new_ones(count, count).tril()
    first_TKT = first_KL[:, start : start + count] * upto_TT[:, None]
    torch.mm(first_TKT.reshape(-1, count), y_LN[start : start + count], out=z_TKN.flatten(0, 1))
    z_TKN += before_KN


class PositionMixer(Mixer):
    """The mixer over positions, time first, and cheaper ways to a part of its results."""

    def forward(self, y_LFBD: Tensor) -> Tensor:
        return super().forward(y_LFBD.flatten(1)).view_as(y_LFBD)

    def last(self, y_LFBD: Tensor, lengths_B: Tensor) -> Tensor:
        """s_FBD at the last event of each history alone."""
        g_KFBD = self.inner(y_LFBD.flatten(1)).unflatten(1, y_LFBD.shape[1:])
        rows_BK, bias = self.second.weight[lengths_B - 1], self.second.bias
        s_FBD = torch.einsum("bk,kfbd->fbd", rows_BK, g_KFBD)
        return self.out(s_FBD, None if bias is None else bias[lengths_B - 1, None])

    def prefixes(self, y_LFBD: Tensor) -> Tensor:
        """s_LFBD, where s[t] is what `last` gives for the first t + 1 positions.

        The first product of a prefix is that of the prefix before it and one column of W_1 more, so
        it is a running sum. Each of its L values goes through the nonlinearity and meets one row of
        W_2. These L K N numbers never exist at once: they are made a few prefixes at a time, and
        once more for the gradient. Dropout draws the inner units of a history once for all its
        prefixes: to each of them that is a draw like any other.
        """
        y_LN, bias = y_LFBD.flatten(1).to(self.first.weight.dtype), self.second.bias
        inner, length = self.first.out_features, len(y_LN)
        first_KL, second_LK = self.first.weight[:, :length], self.second.weight[:length]
        elements = ELEMENTS.get(y_LN.device.type, ELEMENTS["cuda"])
        parts: list[Tensor] = []
        for part_LN in y_LN.split(max(1, elements // (CHUNK * inner)), dim=1):
            kept_KN = self.dropout(part_LN.new_ones(inner, part_LN.shape[1]))
            made: Tensor = _RunningMix.apply(  # type: ignore[no-untyped-call]
                first_KL, self.first.bias, second_LK, part_LN.contiguous(), kept_KN
            )
            parts.append(made)
        s_LN = self.out(torch.cat(parts, dim=1), None if bias is None else bias[:length, None])
        return s_LN.view_as(y_LFBD)


class ChannelMixer(nn.Module):
    """The same perceptron over the channels, which are the last axis."""

    def __init__(self, width: int, expansion: int, dropout: float, *, bias: bool) -> None:
        super().__init__()
        self.first = nn.Linear(width, expansion * width, bias)
        self.second = nn.Linear(expansion * width, width, bias)
        self.dropout = Dropout(dropout)

    def forward(self, y_BD: Tensor) -> Tensor:
        g_BK = self.dropout(F.gelu(self.first(y_BD)))
        return self.dropout(self.second(g_BK))


def fields_LFBD(x_BLD: Tensor, features: nn.Embedding | None, items_BL: Tensor) -> Tensor:
    """The fields of every item, time first: its vector, and its features where there are any."""
    fields = [x_BLD.transpose(0, 1)]
    if features is not None:
        fields.append(features(items_BL.t()))
    return torch.stack(fields, dim=1)


def last_FBD(y_LFBD: Tensor, lengths_B: Tensor) -> Tensor:
    """What stands at the last event of each history."""
    rows_B = torch.arange(len(lengths_B), device=y_LFBD.device)
    return y_LFBD[lengths_B - 1, :, rows_B].transpose(0, 1)
