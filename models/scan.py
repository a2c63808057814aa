"""The linear recurrence h[t] = a[t] h[t-1] + b[t], element by element, that several models share.

Time is the first dimension; the others are free. One fused multiply-add an event, over contiguous
slices that stay in the cache from one event to the next: a CPU runs it at about the speed at which
it can read `b` and write `h`. Doubling and chunks do two to eight times the arithmetic, and the
products of decays they keep go through denormal numbers, where a CPU is a thousand times slower;
here no product of decays is ever formed, so any |a| up to 1 is safe, 0 and 1 included.

Its adjoint is the same recurrence backwards, written by hand (* is the conjugate):

    db[t] = dh[t] + a[t+1]* db[t+1]      da[t] = db[t] h[t-1]*      dh0 = a[0]* db[0]
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear_scan(a: Tensor, b: Tensor, h0: Tensor | None = None) -> Tensor:
    """All states h of h[t] = a[t] h[t-1] + b[t], in the shape of b.

    b: [L, ...], L at least 1, real or complex; fastest where time is outermost in memory.
    a: a shape that broadcasts to b's; [1, 1, D] is a decay that neither time nor user changes.
    h0: the state before the first event, a shape that broadcasts to [...]; None: zeros.
    Computes in the widest of the three types, at least float32.
    """
    dtype = reduce(torch.promote_types, (x.dtype for x in (a, b, h0) if x is not None))
    dtype = torch.promote_types(dtype, torch.float32)
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
        _run(_at_every_event(a, len(b)), b.unbind(), h.unbind())
        ctx.save_for_backward(a, h)
        return h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        a, h = ctx.saved_tensors
        a_conj = _at_every_event(a.conj().resolve_conj(), len(dh))
        db = torch.empty_like(h[1:])
        db[-1] = dh[-1]
        _run(a_conj[:0:-1], dh.resolve_conj().unbind()[-2::-1], db.unbind()[::-1])
        da = (db * h[:-1].conj()).sum_to_size(a.shape) if ctx.needs_input_grad[0] else None
        return da, db, a_conj[0] * db[0]


def _at_every_event(a: Tensor, length: int) -> tuple[Tensor, ...]:
    return a.expand(length, *a.shape[1:]).unbind()


def _run(a: tuple[Tensor, ...], b: tuple[Tensor, ...], h: tuple[Tensor, ...]) -> None:
    """Fills h[1:] in place, from h[0]; all three in the order of the recurrence."""
    for decay, new, before, after in zip(a, b, h[:-1], h[1:], strict=True):
        torch.addcmul(new, decay, before, out=after)
