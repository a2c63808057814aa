"""The linear recurrence h[t] = a[t] h[t-1] + b[t], element by element, that several models share.

Time is the first dimension; the others are free. Where an event has many elements (training on a
CPU) it is one fused multiply-add an event, over contiguous slices that stay in the cache from one
event to the next: nothing does less arithmetic or reads less memory. Where it has few (one user's
request; a GPU), starting an operation costs more than doing it: all chunks of a history then run
side by side, each from 0, and what the chunk before has left, times the decays since, is added
chunk by chunk. That is 3 sqrt(2 L) operations instead of L. The only products formed are of decays,
which for |a| up to 1 may vanish but not grow: a of 0 and 1 are as good as any.

The adjoint is the same recurrence backwards, written by hand (* is the conjugate):

    db[t] = dh[t] + a[t+1]* db[t+1]      da[t] = db[t] h[t-1]*      dh0 = a[0]* db[0]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from srbench.models.tally import tally

FEW_CPU, FEW_GPU = 2**10, 2**18  # elements of an event up to which chunks are used; GPU: a guess
SHORT = 32  # events up to which they are not
FORWARDS, BACKWARDS = slice(None, None, 1), slice(None, None, -1)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor | None = None) -> Tensor:
    """All states h of h[t] = a[t] h[t-1] + b[t], in the shape of b.

    b: [L, ...], L at least 1, real or complex; fastest where time is outermost in memory.
    a: a shape that broadcasts to b's; [1, 1, D] is a decay that neither time nor user changes.
    h0: the state before the first event, a shape that broadcasts to [...]; None: zeros.
    Computes in the widest of the three types, at least float32.
    """
    dtype = reduce(torch.promote_types, (x.dtype for x in (a, b, h0) if x is not None))
    dtype = torch.promote_types(dtype, torch.float32)
    tally("linear scan", (8 if dtype.is_complex else 2) * b.numel())
    a = a.reshape((1,) * (b.dim() - a.dim()) + a.shape)
    h0 = b.new_zeros(b.shape[1:]) if h0 is None else h0.expand(b.shape[1:])
    h: Tensor = _LinearScan.apply(a.to(dtype), b.to(dtype), h0.to(dtype))  # type: ignore[no-untyped-call]
    return h


def sequential_scan(a: Tensor, b: Tensor, h0: Tensor | None = None) -> Tensor:
    """`linear_scan` as the equation says it; differentiated by torch."""
    a = a.expand_as(b)
    h = [torch.zeros_like(b[0]) if h0 is None else h0]
    for t in range(len(b)):
        h.append(a[t] * h[t] + b[t])
    return torch.stack(h[1:])


class _LinearScan(torch.autograd.Function):
    """The recurrence and its adjoint. `a` has as many dimensions as `b`, some of them perhaps 1."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = b.new_empty(len(b) + 1, *b.shape[1:])
        h[0] = h0
        _fill(h[1:], a, b, h0, FORWARDS)
        ctx.save_for_backward(a, h)
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        a, h = ctx.saved_tensors
        a_conj, dh = a.conj().resolve_conj(), dh.resolve_conj()
        db = torch.empty_like(h[1:])
        db[-1] = dh[-1]
        _fill(db[:-1], a_conj if len(a) == 1 else a_conj[1:], dh[:-1], dh[-1], BACKWARDS)
        da = (db * h[:-1].conj()).sum_to_size(a.shape) if ctx.needs_input_grad[0] else None
        return da, db, a_conj[0] * db[0]


def _fill(h: Tensor, a: Tensor, b: Tensor, start: Tensor, order: slice) -> None:
    """Writes the states of the events of b, taken in `order`, into h; before them stands `start`.

    a: as long as b, or of length 1 and the same at every event.
    """
    length = len(b)
    few = FEW_CPU if b.device.type == "cpu" else FEW_GPU
    if length <= SHORT or start.numel() > few:
        _run(a.expand(length, *a.shape[1:]).unbind(), b.unbind(), h.unbind(), start, order)
        return
    events = math.isqrt(length // 2)  # of a chunk: two operations for each, one for each chunk
    chunks = -(-length // events)
    missing = chunks * events - length
    behind = (0, missing) if order is FORWARDS else (missing, 0)  # where no state is read

    def cut(x: Tensor) -> Tensor:
        filled = F.pad(x, (0, 0) * (x.dim() - 1) + behind)
        return filled.view(chunks, events, *x.shape[1:])

    a = a.expand(1, events, *a.shape[1:]) if len(a) == 1 else cut(a)
    b = cut(b)
    states = torch.empty_like(b)
    _run(a.unbind(1), b.unbind(1), states.unbind(1), torch.zeros_like(b[:, 0]), order)
    decays = torch.empty_like(a, memory_format=torch.contiguous_format)
    through = torch.ones_like(a[:, 0])
    for decay, product in zip(a.unbind(1)[order], decays.unbind(1)[order], strict=True):
        through = torch.mul(decay, through, out=product)
    last = -1 if order is FORWARDS else 0
    for chunk, decay in zip(
        states.unbind()[order], decays.expand(chunks, *a.shape[1:]).unbind()[order], strict=True
    ):
        start = chunk.addcmul_(decay, start)[last]
    h.copy_(states.flatten(0, 1).narrow(0, behind[0], length))


def _run(
    a: Sequence[Tensor], b: Sequence[Tensor], h: Sequence[Tensor], start: Tensor, order: slice
) -> None:
    """The recurrence itself, over slices of time, into the slices of h."""
    for decay, new, state in zip(a[order], b[order], h[order], strict=True):
        start = torch.addcmul(new, decay, start, out=state)
