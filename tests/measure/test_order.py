"""Order statistics, held against binomials by hand and against draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from srbench.measure.order import interval, quantile, relative_width, samples_for


def test_quantiles_by_hand() -> None:
    values = np.array([4.0, 1.0, 3.0, 2.0])
    assert quantile(values, 0.5) == 2.5
    assert quantile(values, 0.25) == 1.75
    assert quantile(values[:1], 0.99) == 4.0


def test_no_samples_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        quantile(np.array([]), 0.5)
    assert interval(np.array([])) is None


@pytest.mark.parametrize(("q", "least"), [(0.95, 59), (0.99, 299), (0.01, 299), (0.25, 11)])
def test_the_least_samples_that_can_tell_a_quantile(q: float, least: int) -> None:
    """One on each side: 1 - q^n - (1 - q)^n is 95 %."""

    def sure(n: int) -> float:
        return 1 - q**n - (1 - q) ** n

    assert sure(least) >= 0.95 > sure(least - 1)
    assert samples_for(q) == least


def test_the_median_of_six_lies_between_the_smallest_and_the_largest() -> None:
    """P(all six on one side) = 2 / 64, 3 %; of five it is 6 %."""
    assert interval(np.arange(6.0)) == (0.0, 5.0)
    assert interval(np.arange(5.0)) is None


@pytest.mark.parametrize("count", [6, 20, 21, 100, 299])
def test_the_interval_of_the_median_is_the_narrowest_that_is_sure_on_both_sides(count: int) -> None:
    found = interval(np.random.default_rng(0).permutation(count).astype(float))
    assert found is not None
    low, high = int(found[0]), int(found[1])
    assert low + high == count - 1  # as far from either end

    def beyond(k: int) -> float:
        """P(at most k of the samples below the median)."""
        return sum(math.comb(count, i) for i in range(k + 1)) / 2**count

    assert beyond(low) < 0.025 <= beyond(low + 1)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).exponential(size=(2000, 40))
    found = [interval(row) for row in draws]
    held = [one is not None and one[0] <= math.log(2) <= one[1] for one in found]
    assert 0.94 <= sum(held) / len(held) <= 0.985  # 96.2 % by the binomial of 40


def test_the_interval_of_a_99th_percentile_needs_more_than_the_percentile() -> None:
    values = np.arange(1000.0)
    found = interval(values, 0.99)
    assert found is not None
    assert found[0] < quantile(values, 0.99) < found[1]
    assert interval(values[:300], 0.99) is None


def test_the_width_is_a_share_of_the_median() -> None:
    assert relative_width(np.array([9.0, 10.0, 10.0, 10.0, 10.0, 11.0])) == pytest.approx(0.2)
    assert relative_width(np.full(20, 3.0)) == 0.0
    assert relative_width(np.arange(1.0, 6.0)) == math.inf
    assert relative_width(np.zeros(20)) == math.inf
