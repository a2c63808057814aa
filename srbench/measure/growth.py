"""How a number grows with a size: the sizes of a sweep, and the exponent fitted to what was found.

The exponent is that of a power law over the sizes that were measured: 1 means twice the events,
twice the time; 0 means that size does not matter. It is not the order of the algorithm. At small
sizes what costs the same at any size hides the growth, so the exponent of the last two points
stands beside it: where that is larger, growth has not shown itself yet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from srbench.config.efficiency import AXES, Axis
from srbench.errors import SrbenchError, did_you_mean

CONFIDENCE = 0.95
LEAST = 3  # points of a fit with an interval
MOST = 64  # sizes of a sweep
_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000}
_EXAMPLES = "length=50..3200, items=1k..1M, items=1k..1Mx10 or batch=1,64,1024"


@dataclass(frozen=True)
class Sweep:
    """One size that takes several values, in ascending order, while the others stay."""

    axis: Axis
    values: tuple[int, ...]


def parse_sweep(text: str) -> Sweep:
    """`length=50..3200` doubles: 50, 100, ..., 3200. `items=1k..1Mx10` takes ten times as many at
    each step; `batch=1,64,1024` lists them. k is a thousand, M a million.

    The last value is always the end of the range; one that would lie close below it is left out.
    Raises SrbenchError with what is wrong and an example.
    """
    name, equals, sizes = text.partition("=")
    axis = name.strip().lower()
    if not equals or not sizes.strip():
        raise SrbenchError(f"The sweep {text!r} names no sizes: write {_EXAMPLES}.")
    if axis not in AXES:
        raise SrbenchError(f"Nothing to sweep is called {axis!r}.{did_you_mean(axis, AXES)}")
    if ".." in sizes:
        values = _range(text, sizes)
    else:
        values = sorted({_size(text, part) for part in sizes.split(",")})
    if len(values) < 2:
        raise SrbenchError(
            f"The sweep {text!r} has one size only: write at least two, {_EXAMPLES}."
        )
    if len(values) > MOST:
        raise SrbenchError(
            f"The sweep {text!r} has {len(values)} sizes, more than {MOST}: take larger steps."
        )
    return Sweep(axis, tuple(values))


@dataclass(frozen=True)
class Growth:
    """y = factor x ** exponent, with the 95 % interval low to high of the exponent.

    points: how many were fitted. last: the exponent of the last two points alone. All numbers but
    `points` are None where there is no fit, and `reason` says why.
    """

    exponent: float | None
    low: float | None
    high: float | None
    points: int
    factor: float | None = None
    last: float | None = None
    reason: str | None = None

    def at(self, x: float) -> float | None:
        """What the fitted law says for a size."""
        if self.exponent is None or self.factor is None:
            return None
        return self.factor * math.pow(x, self.exponent)


def fit(x: Sequence[float], y: Sequence[float | None]) -> Growth:
    """Least squares on the logarithms, a t interval. Sizes without a number (None) are left out.

    The interval holds what points scatter about a straight line, whether they are noise or the
    line is none: a bend widens it.
    """
    pairs = sorted((a, b) for a, b in zip(x, y, strict=True) if b is not None)
    if any(not (a > 0 and b > 0 and math.isfinite(b)) for a, b in pairs):
        return _unfitted(pairs, "a size or a number is not above zero, so it has no logarithm")
    sizes = len({a for a, _ in pairs})
    if sizes < LEAST:
        count = "one size was" if sizes == 1 else f"{sizes or 'no'} sizes were"
        return _unfitted(pairs, f"{count} measured, and a fit takes {LEAST}")
    from scipy import stats

    logs_x, logs_y = ([math.log(pair[n]) for pair in pairs] for n in (0, 1))
    line = stats.linregress(logs_x, logs_y)
    error = 0.0 if len(set(logs_y)) == 1 else float(line.stderr)  # of equal numbers it is NaN
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 2)) * error
    exponent = float(line.slope)
    (x_0, y_0), (x_1, y_1) = ((logs_x[n], logs_y[n]) for n in (-2, -1))
    return Growth(
        exponent=exponent,
        low=exponent - half,
        high=exponent + half,
        points=len(pairs),
        factor=math.exp(float(line.intercept)),
        last=(y_1 - y_0) / (x_1 - x_0) if x_1 > x_0 else None,
    )


def _unfitted(pairs: Sequence[tuple[float, float]], reason: str) -> Growth:
    return Growth(None, None, None, len(pairs), reason=reason)


def _range(text: str, sizes: str) -> list[int]:
    bounds, by, steps = sizes.lower().partition("x")
    start, _, stop = bounds.partition("..")
    value, end = _size(text, start), _size(text, stop)
    factor = _size(text, steps) if by else 2
    if value >= end:
        raise SrbenchError(f"The sweep {text!r} ends where it begins or below: write {_EXAMPLES}.")
    if factor < 2:
        raise SrbenchError(f"The sweep {text!r} goes nowhere by steps of x{factor}: write x2.")
    values = [value]
    while (value := value * factor) < end:
        values.append(value)
    if len(values) > 1 and values[-1] ** 2 * factor > end**2:  # nearer than half a step
        values.pop()
    return [*values, end]


def _size(text: str, part: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([km]?)\s*", part.replace("_", "").lower())
    size = 0.0 if found is None else float(found[1]) * _SUFFIXES[found[2]]
    if size < 1 or size != int(size):
        raise SrbenchError(
            f"{part.strip()!r} in the sweep {text!r} is no whole number above 0: write {_EXAMPLES}."
        )
    return int(size)
