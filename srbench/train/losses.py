"""Cross-entropy over the whole catalogue, without the logits of a whole batch.

N  targets    V  classes    D  width of a representation
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 256  # targets at a time: their logits stay in the cache of a CPU
LOGITS = 1 << 26  # at a time on a GPU


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradients are computed in the forward pass, while the logits of a chunk are at hand.

    So nothing of size N x V is ever stored, and the logits are computed once, not twice.
    """

    @staticmethod
    def forward(ctx: Any, h_ND: Tensor, table_VD: Tensor, targets_N: Tensor, chunk: int) -> Tensor:
        total = h_ND.new_zeros(())
        dh_ND = torch.empty_like(h_ND)
        dtable_VD = torch.zeros_like(table_VD)
        count, classes = len(h_ND), len(table_VD)
        logits = h_ND.new_empty(min(chunk, count), classes)
        shares = torch.empty_like(logits)
        for start in range(0, count, chunk):
            h, targets = h_ND[start : start + chunk], targets_N[start : start + chunk, None]
            logits_CV, shares_CV = logits[: len(h)], shares[: len(h)]
            torch.mm(h, table_VD.t(), out=logits_CV)
            torch.softmax(logits_CV, dim=-1, out=shares_CV)
            share_C1 = shares_CV.gather(1, targets)
            if h.is_cuda or bool((share_C1 <= 1e-30).any()):  # to look would wait for a GPU
                total -= _log_shares(logits_CV, targets)
            else:
                total -= share_C1.log().sum()
            shares_CV.scatter_(1, targets, share_C1 - 1)
            torch.mm(shares_CV, table_VD, out=dh_ND[start : start + chunk])
            dtable_VD.addmm_(shares_CV.t(), h)
        ctx.save_for_backward(dh_ND, dtable_VD)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        dh_ND, dtable_VD = ctx.saved_tensors
        scale = dloss / len(dh_ND)
        return dh_ND * scale, dtable_VD * scale, None, None


def _log_shares(logits_CV: Tensor, targets_C1: Tensor) -> Tensor:
    """The same sum where a share is too small for its logarithm: slower, exact."""
    return F.log_softmax(logits_CV, dim=-1).gather(1, targets_C1).sum()


def cross_entropy(
    h_ND: Tensor, table_VD: Tensor, targets_N: Tensor, chunk: int | None = None
) -> Tensor:
    """Mean over N of -log softmax(h table')[target]. Equal to `F.cross_entropy` of the logits.

    targets_N: int64 rows of the table. chunk: targets at a time; None: what suits the device.
    Gradients for h and the table.
    """
    if chunk is None:
        chunk = max(CHUNK, LOGITS // len(table_VD)) if h_ND.is_cuda else CHUNK
    loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        h_ND, table_VD, targets_N, chunk
    )
    return loss
