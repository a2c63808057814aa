"""What samples in order say about a quantile, and what they are too few to say.

No distribution is assumed, only that samples are independent: how many of n samples lie below the
true quantile q is then binomial.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Values = NDArray[np.float64]


def quantile(values: Values, q: float) -> float:
    """The q-quantile, linear between two samples. Raises ValueError if there is none."""
    if not len(values):
        raise ValueError("no samples, no quantile")
    return float(np.quantile(values, q))


def samples_for(q: float) -> int:
    """Samples from which on one lies on each side of the q-quantile with 95 % probability.

    With fewer, the q-quantile of the samples is little else than the smallest or the largest:
    59 for 0.95, 299 for 0.99.
    """
    outer = max(q, 1 - q)
    count = math.ceil(math.log(1 - CONFIDENCE) / math.log(outer))
    while 1 - q**count - (1 - q) ** count < CONFIDENCE:
        count += 1
    return count


def interval(values: Values, q: float = 0.5) -> tuple[float, float] | None:
    """The 95 % interval of the q-quantile, from one sample to another.

    None where the samples are too few to have one (fewer than 6 for the median).
    """
    from scipy.special import bdtr

    count = len(values)
    if not count:
        return None
    below = bdtr(np.arange(count + 1), count, q)  # P(at most so many samples below the quantile)
    tail = (1 - CONFIDENCE) / 2
    low = int(np.searchsorted(below, tail))
    high = int(np.searchsorted(below, 1 - tail)) + 1
    if low < 1 or high > count:
        return None
    ordered = np.sort(values)
    return float(ordered[low - 1]), float(ordered[high - 1])


def relative_width(values: Values) -> float:
    """The width of the median's 95 % interval as a share of it; infinite where there is none."""
    found, middle = interval(values), quantile(values, 0.5)
    return (found[1] - found[0]) / middle if found and middle > 0 else math.inf
