"""Floating-point operations of one request: encoding one history, scoring the whole catalogue.

Counted where torch dispatches its kernels, so that what runs is what counts: matrix products,
convolutions and attention, a multiply-add as 2. Element-wise work, soft-max and normalisation are
not counted, as is usual. Attention counts the whole square, masked or not. It is always the CPU's
path that is counted: it has no kernels that the counter cannot see into, and the number does not
depend on the machine.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.record.names import FLOPS_REQUEST
from srbench.record.schema import Measurement

METHOD = "torch dispatcher counter, one history, multiply-add = 2"

Shape = Sequence[int]


def request_flops(recommender: Recommender, length: int | None = None) -> Measurement:
    """FLOP of one history of `length` events (default: the longest) and all its scores."""
    events = recommender.length if length is None else length
    counted = recommender
    if recommender.table.weight.device.type != "cpu":
        counted = copy.deepcopy(recommender).cpu()
    items_BL = torch.arange(events)[None] % recommender.n_items + 1
    batch = Batch(items_BL, torch.tensor([events]), items_BL, torch.tensor([events + 1]))
    # The one kernel of the CPU that torch's counter passes over.
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    was_training = recommender.training
    counted.train(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=missing) as counter:
            counted.score(counted.represent(batch))
    finally:
        counted.train(was_training)
    return Measurement(
        name=FLOPS_REQUEST, value=counter.get_total_flops(), unit="FLOP", method=METHOD
    )


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))
