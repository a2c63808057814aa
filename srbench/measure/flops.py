"""Floating-point operations of one request: encoding one history, scoring the whole catalogue.

Two numbers, which do not overlap:

`flops.request`: products. Counted where torch dispatches its kernels, so that what runs is what
counts: matrix products, convolutions and attention, a multiply-add as 2. Attention counts the whole
square, masked or not. It is always the CPU's path that is counted: it has no kernels that the
counter cannot see into, and the number does not depend on the machine.

`flops.request.scans`: what that counter passes over although it moves information between events:
linear and selective scans, the decays of state-space duality and depth-wise convolutions, which
count themselves (`srbench.models.tally`), running sums (1 an element) and Fourier transforms of
real signals (2.5 n log2 n). These are counts of the equation, not of the way that is taken to it.

In neither: what looks at one element at a time, such as gates, soft-max and normalisation, as is
usual; and kernels of third parties that torch knows nothing of.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from srbench.models.base import Batch
from srbench.models.tally import counting
from srbench.recommender import Recommender
from srbench.record.names import FLOPS_REQUEST, FLOPS_SCANS
from srbench.record.schema import Measurement

Shape = Sequence[int]


@dataclass(frozen=True)
class Flops:
    """FLOP of some work: `products`, and by kind what a counter of products passes over."""

    products: int
    scans: Mapping[str, int]

    @property
    def total(self) -> int:
        return self.products + sum(self.scans.values())


def flops_of(work: Callable[[], object]) -> Flops:
    """Calls `work` once, without gradients, and counts. It must run on the CPU to be seen whole."""
    # The one kernel of the CPU that torch's counter passes over.
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    with (
        torch.no_grad(),
        counting() as told,
        FlopCounterMode(display=False, custom_mapping=missing) as counter,
        _Passed() as passed,
    ):
        work()
    return Flops(counter.get_total_flops(), told + passed.counted)


def request_flops(
    recommender: Recommender, length: int | None = None, batch: int = 1
) -> Measurement:
    """Products of `batch` histories of `length` events (default: the longest) and their scores."""
    products = request(recommender, length, batch).products
    method = f"torch dispatcher counter, {_histories(batch)}, multiply-add = 2"
    return Measurement(name=FLOPS_REQUEST, value=products, unit="FLOP", method=method)


def request_scans(
    recommender: Recommender, length: int | None = None, batch: int = 1
) -> Measurement:
    """What the same request needs beside its products; the method names the kinds."""
    scans = request(recommender, length, batch).scans
    kinds = ", ".join(f"{kind} {flop}" for kind, flop in sorted(scans.items())) or "there are none"
    method = f"counted from the equations, {_histories(batch)}: {kinds}"
    return Measurement(name=FLOPS_SCANS, value=sum(scans.values()), unit="FLOP", method=method)


def request(recommender: Recommender, length: int | None = None, batch: int = 1) -> Flops:
    """Both counts of a request. The recommender is left as it was.

    Only one and two histories are encoded: each one more costs the same, and what is made of the
    weights alone is made once.
    """
    events = recommender.length if length is None else length
    counted = recommender
    if recommender.table.weight.device.type != "cpu":
        counted = copy.deepcopy(recommender).cpu()
    was_training = recommender.training
    counted.train(False)
    try:
        one = _count(counted, events, 1)
        two = one if batch == 1 else _count(counted, events, 2)
    finally:
        counted.train(was_training)
    more = batch - 1
    kinds = one.scans.keys() | two.scans.keys()
    first, second = Counter(one.scans), Counter(two.scans)
    return Flops(
        one.products + more * (two.products - one.products),
        {kind: first[kind] + more * (second[kind] - first[kind]) for kind in kinds},
    )


def _count(recommender: Recommender, events: int, batch: int) -> Flops:
    items_BL = (torch.arange(events)[None] % recommender.n_items + 1).repeat(batch, 1)
    ends_B = torch.full((batch,), events)
    histories = Batch(items_BL, ends_B, items_BL, ends_B + 1)
    return flops_of(lambda: recommender.score(recommender.represent(histories)))


def _histories(batch: int) -> str:
    return "one history" if batch == 1 else f"{batch} histories"


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


class _Passed(TorchDispatchMode):
    """Counts running sums and transforms of floating-point numbers where torch dispatches them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if func.overloadpacket in (aten.cumsum, aten.cumsum_) and result.is_floating_point():
            self.counted["running sum"] += result.numel()
        elif func.overloadpacket is aten._fft_r2c:
            self.counted["Fourier transform"] += _transform(args[0], args[1])
        elif func.overloadpacket is aten._fft_c2r:
            self.counted["Fourier transform"] += _transform(result, args[1])
        elif func.overloadpacket is aten._fft_c2c:
            self.counted["Fourier transform"] += 2 * _transform(result, args[1])
        return result


def _transform(real: Tensor, axes: Sequence[int]) -> int:
    """2.5 n log2 n for each real signal of n values: half of what a complex one takes."""
    n = math.prod(real.shape[axis] for axis in axes)
    return real.numel() // n * round(2.5 * n * math.log2(n))
