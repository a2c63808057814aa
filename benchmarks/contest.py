"""Several ways to the same result, timed in turn: what the small benchmarks share."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

from rich.console import Console
from rich.table import Table

Way = Callable[[], object]


def in_turn(ways: Mapping[str, Way], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round. A round runs all of them, so a slow minute hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):  # the first round warms up
        for name, way in ways.items():
            started = perf_counter()
            way()
            if number >= 0:
                seconds[name].append(perf_counter() - started)
    return seconds


def show(title: str, seconds: Mapping[str, list[float]], flop: float | None = None) -> None:
    """A line for each way: median, quartiles, and how many times the first one's it is.

    flop: floating-point operations of one call, where all ways need the same.
    """
    table = Table("", "median ms", "25 % to 75 %", "against the first", title=title)
    if flop is not None:
        table.add_column("GFLOP/s", justify="right")
    for column in table.columns[1:]:
        column.justify = "right"
    first = statistics.median(next(iter(seconds.values())))
    for name, samples in seconds.items():
        middle = statistics.median(samples)
        low, _, high = statistics.quantiles(samples, n=4)
        cells = [f"{1e3 * middle:.1f}", f"{1e3 * low:.1f} to {1e3 * high:.1f}"]
        cells.append(f"{middle / first:.2f} x")
        if flop is not None:
            cells.append(f"{flop / middle / 1e9:.0f}")
        table.add_row(name, *cells)
    Console(width=None if sys.stdout.isatty() else 100).print(table)
