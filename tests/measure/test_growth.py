"""The sizes of a sweep, and the exponent of a growth that is known."""

from __future__ import annotations

import math

import pytest

from srbench.errors import SrbenchError
from srbench.measure.growth import Growth, Sweep, fit, parse_sweep

SIZES = (50, 100, 200, 400, 800, 1600, 3200)


@pytest.mark.parametrize(
    ("text", "axis", "values"),
    [
        ("length=50..3200", "length", SIZES),
        ("length=50..3000", "length", (50, 100, 200, 400, 800, 1600, 3000)),
        ("length=50..3300", "length", (50, 100, 200, 400, 800, 1600, 3300)),  # 3200 is too near
        ("length=50..60", "length", (50, 60)),
        ("items=1k..1Mx10", "items", (1_000, 10_000, 100_000, 1_000_000)),
        ("items=1k..10K", "items", (1_000, 2_000, 4_000, 10_000)),
        ("items=1.5k,3k", "items", (1_500, 3_000)),
        ("batch=1024,1,64,64", "batch", (1, 64, 1024)),
        ("Width = 32 .. 128", "width", (32, 64, 128)),
        ("items=1_000,2_000", "items", (1_000, 2_000)),
    ],
)
def test_sizes(text: str, axis: str, values: tuple[int, ...]) -> None:
    assert parse_sweep(text) == Sweep(axis, values)  # type: ignore[arg-type]


def test_thousands_to_millions() -> None:
    values = parse_sweep("items=1k..1M").values
    assert values == (*(1000 * 2**n for n in range(9)), 512_000, 1_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("length", "names no sizes: write length=50..3200"),
        ("length=", "names no sizes"),
        ("", "names no sizes"),
        ("lenght=50..3200", "Did you mean length?"),
        ("users=1,2", "Known: batch, items, length, width."),
        ("length=3200..50", "ends where it begins or below"),
        ("length=50..50", "ends where it begins or below"),
        ("length=50", "one size only"),
        ("length=50,50", "one size only"),
        ("length=a..b", "'a' in the sweep 'length=a..b' is no whole number above 0"),
        ("length=0..8", "'0' in the sweep"),
        ("length=-5,8", "'-5' in the sweep"),
        ("length=0.5,8", "'0.5' in the sweep"),
        ("length=1,,2", "'' in the sweep"),
        ("length=1..", "'' in the sweep"),
        ("length=1..2..3", "'2..3' in the sweep"),
        ("items=1g..2g", "'1g' in the sweep"),
        ("items=1k..1Mx1", "goes nowhere by steps of x1"),
        ("items=1k..1Mx", "'' in the sweep"),
        ("items=1.." + "9" * 40, "more than 64: take larger steps"),
    ],
)
def test_what_is_no_sweep_is_told_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(SrbenchError) as error:
        parse_sweep(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_is_found(exponent: float) -> None:
    growth = fit(SIZES, [3e-4 * x**exponent for x in SIZES])
    assert growth.exponent == pytest.approx(exponent, abs=1e-9)
    assert growth.factor == pytest.approx(3e-4)
    assert growth.last == pytest.approx(exponent, abs=1e-9)
    assert growth.low == pytest.approx(exponent, abs=1e-6)
    assert growth.high == pytest.approx(exponent, abs=1e-6)
    assert growth.at(1000) == pytest.approx(3e-4 * 1000**exponent)
    assert (growth.points, growth.reason) == (7, None)


def test_the_interval_is_that_of_the_t_distribution() -> None:
    """Logs 0, 1, 2 and 0, 1.1, 2: the slope is 1; the squares left over sum to 2/3 of 0.01, with
    one degree of freedom, over a spread of 2: a standard error of 0.0577; t is 12.706."""
    growth = fit([1, math.e, math.e**2], [1, math.exp(1.1), math.e**2])
    error = math.sqrt(0.01 * 2 / 3 / 2)
    assert growth.exponent == pytest.approx(1)
    assert growth.high == pytest.approx(1 + 12.7062 * error, abs=1e-4)
    assert growth.low == pytest.approx(1 - 12.7062 * error, abs=1e-4)
    assert growth.last == pytest.approx(0.9)


def test_sizes_that_do_not_fit_are_left_out_and_order_does_not_matter() -> None:
    growth = fit([400, 100, 200, 800], [16.0, 1.0, 4.0, None])
    assert growth.exponent == pytest.approx(2)
    assert growth.points == 3
    assert growth.last == pytest.approx(2)


def test_a_cost_that_is_there_at_any_size_shows_in_the_last_points() -> None:
    growth = fit(SIZES, [1e-3 + 1e-6 * x for x in SIZES])
    assert growth.exponent is not None and growth.last is not None
    assert growth.exponent < 0.4
    assert growth.last == pytest.approx(math.log2(4.2 / 2.6))


@pytest.mark.parametrize(
    ("x", "y", "points", "says"),
    [
        ([], [], 0, "no sizes were measured, and a fit takes 3"),
        ([50], [1.0], 1, "one size was measured"),
        ([50, 100], [1.0, 2.0], 2, "2 sizes were measured"),
        ([50, 100, 200], [1.0, None, 2.0], 2, "2 sizes were measured"),
        ([50, 50, 50, 100], [1.0, 1.0, 1.1, 2.0], 4, "2 sizes were measured"),
        ([50, 100, 200], [0.0, 1.0, 2.0], 3, "not above zero"),
        ([50, 100, 200], [math.nan, 1.0, 2.0], 3, "not above zero"),
        ([50, 100, 200], [math.inf, 1.0, 2.0], 3, "not above zero"),
    ],
)
def test_no_fit_has_a_reason(x: list[float], y: list[float | None], points: int, says: str) -> None:
    growth = fit(x, y)
    assert growth == Growth(None, None, None, points, reason=growth.reason)
    assert growth.reason is not None and says in growth.reason
    assert growth.at(100) is None
