"""Arithmetic that a counter of matrix products passes over, told by the functions that do it.

with counting() as counted:
    model(x, batch)
counted["linear scan"]

A count is that of the equation, whatever way is taken to its result: a multiply-add is 2, complex
8, an exponential 1. Nothing is counted while nobody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_asking: list[Counter[str]] = []


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """FLOP of the block by the kind of function, filled while the block runs."""
    counted: Counter[str] = Counter()
    _asking.append(counted)
    try:
        yield counted
    finally:
        _asking[:] = [other for other in _asking if other is not counted]


def tally(kind: str, flop: int) -> None:
    """Called once a function, not once an event."""
    for counted in _asking:
        counted[kind] += flop
