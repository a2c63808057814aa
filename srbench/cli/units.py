"""Numbers as people read them: 1,349 · 5.1 s · 12 min · 1.2 GiB · 202 GFLOP."""

from __future__ import annotations

from srbench.record.schema import Measurement

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_SCALES = ("", "k", "M", "G", "T", "P")


def count(value: float) -> str:
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """`0.4 ms`, `5.1 s`, `12 min`, `1 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def data_size(size: float) -> str:
    for unit in _BYTES[:-1]:
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} {_BYTES[-1]}"


def scaled(value: float, unit: str) -> str:
    """`scaled(2.1e9, "FLOP")` is "2.1 GFLOP"."""
    for scale in _SCALES[:-1]:
        if abs(value) < 1000:
            return f"{value:.3g} {scale}{unit}"
        value /= 1000
    return f"{value:.3g} {_SCALES[-1]}{unit}"


def measured(measurement: Measurement) -> str:
    """The value in its unit, or why there is none."""
    value, unit = measurement.value, measurement.unit
    if value is None:
        return f"unknown: {measurement.reason}"
    if unit in ("s", "seconds"):
        return duration(value)
    if unit in ("B", "bytes"):
        return data_size(value)
    if unit.upper().startswith("FLOP"):
        return scaled(value, unit)
    if value == int(value):
        return f"{count(value)} {unit}".rstrip()
    return f"{value:.4g} {unit}".rstrip()
