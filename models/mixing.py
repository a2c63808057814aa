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
from torch.utils.checkpoint import checkpoint

from srbench.models.layers import Dropout

CHUNK = 8  # prefixes that are represented together
ELEMENTS = {"cpu": 2**20, "cuda": 2**26}  # of the inner layer, held at a time


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
        W_2. These L K N numbers never exist at once: they are made chunk by chunk, and once more
        for the gradient. Dropout draws the inner units of a history once for all its prefixes: to
        each of them that is a draw like any other.
        """
        y_LN, bias = y_LFBD.flatten(1), self.second.bias
        columns = max(
            1, ELEMENTS.get(y_LN.device.type, ELEMENTS["cuda"]) // (CHUNK * self.first.out_features)
        )
        s_LN = torch.cat([self._running(part) for part in y_LN.split(columns, dim=1)], dim=1)
        s_LN = self.out(s_LN, None if bias is None else bias[: len(y_LN), None])
        return s_LN.view_as(y_LFBD)

    def _running(self, y_LN: Tensor) -> Tensor:
        """s_LN without the last bias and dropout."""
        kept_KN = self.dropout(y_LN.new_ones(self.first.out_features, y_LN.shape[1]))
        rows: list[Any] = [
            checkpoint(
                _rows,
                *(self.first.weight, self.first.bias, self.second.weight),
                *(y_LN[: start + CHUNK], start, kept_KN),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for start in range(0, len(y_LN), CHUNK)
        ]
        return torch.cat(rows)


def _rows(
    first_KL: Tensor,
    bias_K: Tensor | None,
    second_LK: Tensor,
    y_SN: Tensor,
    start: int,
    kept_KN: Tensor,
) -> Tensor:
    """s_TN of the prefixes that end at `start` and behind it in y."""
    stop, inner = len(y_SN), len(first_KL)
    count = stop - start
    before_KN = first_KL[:, :start] @ y_SN[:start]
    if bias_K is not None:
        before_KN = before_KN + bias_K[:, None]
    upto_TT = first_KL.new_ones(count, count).tril()
    first_TKT = first_KL[:, start:stop] * upto_TT[:, None]
    z_TKN = (first_TKT.view(count * inner, count) @ y_SN[start:]).view(count, inner, -1) + before_KN
    return torch.bmm(second_LK[start:stop, None], F.gelu(z_TKN) * kept_KN).squeeze(1)


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
