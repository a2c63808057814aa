"""What is timed: pieces of one request, as functions that take nothing and can be called for ever.

Histories and weights lie on the device already, and the result stays there: neither a network nor
the way between host and device is in these numbers. Who makes such a function puts the recommender
into evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor

from srbench.errors import SrbenchError
from srbench.models.base import Batch, State
from srbench.recommender import Recommender

Precision = Literal["fp32", "bf16"]
Top = tuple[Tensor, Tensor]  # scores, descending, and items (1..V), [B, k] each

SCORES_AT_ONCE = 2**24  # of all users together; more are never in memory, 64 MiB of float32
DAY = 86_400


def histories(recommender: Recommender, batch: int, length: int, seed: int = 0) -> Batch:
    """`batch` histories of `length` random items each, no pads, at random times of some years.

    Raises SrbenchError if the recommender was made for shorter ones.
    """
    if length > recommender.length:
        raise SrbenchError(
            f"Histories of {length} events do not fit a model made for {recommender.length}; "
            f"make it with length {length}."
        )
    generator = torch.Generator().manual_seed(seed)
    items_BL = torch.randint(1, recommender.n_items + 1, (batch, length), generator=generator)
    times_BL = torch.randint(1, DAY, (batch, length + 1), generator=generator).cumsum(1)
    lengths_B = torch.full((batch,), length)
    device = recommender.table.weight.device
    return Batch(
        items_BL.to(device),
        lengths_B.to(device),
        times_BL[:, :-1].contiguous().to(device),
        times_BL[:, -1].contiguous().to(device),
    )


def encode(
    recommender: Recommender,
    batch: Batch,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
) -> Callable[[], Tensor]:
    """From the histories to h_BD. Compiled code is made here, before anything is timed."""
    represent = _encoder(recommender, compile)

    def work() -> Tensor:
        with torch.inference_mode(), _precision(recommender, precision):
            return represent(batch)

    if compile:
        work()
    return work


def score(
    recommender: Recommender, h_BD: Tensor, k: int = 10, *, precision: Precision = "fp32"
) -> Callable[[], Top]:
    """From h_BD to the k items of the whole catalogue with the highest scores."""
    recommender.eval()

    def work() -> Top:
        with torch.inference_mode(), _precision(recommender, precision):
            return top(recommender, h_BD, k)

    return work


def request(
    recommender: Recommender,
    batch: Batch,
    k: int = 10,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
) -> Callable[[], Top]:
    """From the histories to the k best items of each: `encode` and `score` in one."""
    represent = _encoder(recommender, compile)

    def work() -> Top:
        with torch.inference_mode(), _precision(recommender, precision):
            return top(recommender, represent(batch), k)

    if compile:
        work()
    return work


def step(
    recommender: Recommender,
    length: int,
    batch_size: int = 1,
    *,
    precision: Precision = "fp32",
    seed: int = 0,
) -> Callable[[], Tensor]:
    """The last event of histories of `length`: from the state before it to the h_BD behind it.

    The same numbers as `encode` of the whole histories. Each call starts from the same state, so
    the history does not grow from one to the next. Raises NotImplementedError where the model has
    no `step`.
    """
    batch = histories(recommender, batch_size, length, seed)
    state = _state(recommender, batch, precision)
    last_B = batch.items_BL[:, -1].contiguous()
    times_B = None if batch.times_BL is None else batch.times_BL[:, -1].contiguous()

    def work() -> Tensor:
        with torch.inference_mode(), _precision(recommender, precision):
            h_BD, _ = recommender.step(last_B, state, times_B)
        return h_BD

    return work


def state_bytes(recommender: Recommender, batch_size: int = 1, length: int = 2) -> int | None:
    """What `step` must keep of a user before event `length`; None where there is no `step`."""
    if not recommender.encoder.has_step():
        return None
    state = _state(recommender, histories(recommender, batch_size, length), "fp32")
    return sum(part.numel() * part.element_size() for part in _tensors(state)) // batch_size


@torch.inference_mode()
def top(recommender: Recommender, h_BD: Tensor, k: int = 10) -> Top:
    """The k best items of each row, best first, without all scores at once where those are many.

    Of equal scores any may come first.
    """
    n_items = recommender.n_items
    chunk = max(k, SCORES_AT_ONCE // max(1, len(h_BD)))
    best: Top | None = None
    for start in range(0, n_items, chunk):
        scores_BC = recommender.score_range(h_BD, start, min(start + chunk, n_items))
        scores_BK, columns_BK = scores_BC.topk(min(k, scores_BC.shape[1]), dim=1)
        items_BK = columns_BK + (start + 1)
        if best is not None:
            scores_BK, chosen_BK = torch.cat([best[0], scores_BK], 1).topk(k, dim=1)
            items_BK = torch.cat([best[1], items_BK], 1).gather(1, chosen_BK)
        best = scores_BK, items_BK
    assert best is not None
    return best


def _encoder(recommender: Recommender, compile: bool) -> Callable[[Batch], Tensor]:
    recommender.eval()
    represent = recommender.represent
    return torch.compile(represent) if compile else represent


def _precision(recommender: Recommender, precision: Precision) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(recommender.table.weight.device.type, torch.bfloat16)


def _state(recommender: Recommender, batch: Batch, precision: Precision) -> State:
    """After all events of the histories but the last."""
    recommender.eval()
    with torch.inference_mode(), _precision(recommender, precision):
        state = recommender.init_state(len(batch))
        for t in range(batch.items_BL.shape[1] - 1):
            times_B = None if batch.times_BL is None else batch.times_BL[:, t]
            _, state = recommender.step(batch.items_BL[:, t], state, times_B)
    return state


def _tensors(state: State) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for part in state:
            yield from _tensors(part)
