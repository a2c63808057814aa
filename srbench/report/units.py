"""Numbers as people read them: 1,349 · 5.1 s · 12 min · 1.2 GiB · 202 GFLOP."""

from __future__ import annotations

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_SCALES = ("", "k", "M", "G", "T", "P")
UNKNOWN = "-"


def count(value: float) -> str:
    """`1,349`."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """`0.4 ms`, `5.1 s`, `12 min`, `1 h 5 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def data_size(size: float) -> str:
    """`1.2 GiB`, three digits."""
    for unit in _BYTES[:-1]:
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} {_BYTES[-1]}"


def scaled(value: float, unit: str = "") -> str:
    """`scaled(2.1e9, "FLOP")` is "2.1 GFLOP"; `scaled(523714)` is "524 k"."""
    for scale in _SCALES[:-1]:
        if abs(value) < 999.5:
            return f"{value:.3g} {scale}{unit}".rstrip()
        value /= 1000
    return f"{value:.3g} {_SCALES[-1]}{unit}"
