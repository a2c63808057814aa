"""Numbers as people read them."""

from __future__ import annotations

import pytest

from srbench.report.units import count, data_size, duration, scaled


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.00042, "0.42 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (5.123, "5.12 s"),
        (99.94, "99.9 s"),
        (99.96, "2 min"),
        (3599, "1 h 0 min"),
        (3900, "1 h 5 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1536, "1.5 KiB"), (744 * 2**20, "744 MiB"), (2**41, "2 TiB")],
)
def test_data_size(size: float, text: str) -> None:
    assert data_size(size) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.05e7, "FLOP", "20.5 MFLOP"),
        (999.6, "", "1 k"),
        (523714, "", "524 k"),
        (7, "", "7"),
        (1e18, "FLOP", "1e+03 PFLOP"),
    ],
)
def test_scaled(value: float, unit: str, text: str) -> None:
    assert scaled(value, unit) == text


def test_count() -> None:
    assert count(97171) == "97,171"
