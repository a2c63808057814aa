"""The figure of a sweep: time and memory over one size, both on logarithmic axes.

A power law is a straight line, and its exponent stands at the line's end beside the model's name.
A size that a model does not fit is marked at the upper edge, and the title says what happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
from matplotlib.transforms import ScaledTranslation

from srbench.errors import SrbenchError
from srbench.record.efficiency import Efficiency, Point
from srbench.record.names import MEMORY_INFERENCE, TIME_REQUEST, TIME_STEP
from srbench.report.style import COLUMN, Look, house_style, looks, spread
from srbench.report.units import count, data_size, duration

LINE_HEIGHT = 9.0  # points between two labels
ASIDE = 5.0  # points between the marks of two models that fail at one size
SPAN = 10.0  # ratio that an axis shows at least, so that noise does not look like growth
MOST_TICKS = 6
CHARACTERS = 58  # of a line of the title
WORDS: dict[str, tuple[str, str]] = {  # what a size is, and the letter of the exponents
    "length": ("events of a history", "L"),
    "items": ("items of the catalogue", "V"),
    "batch": ("histories at once", "B"),
    "width": ("width of the model", "D"),
}
MEMORIES = tuple(f"{MEMORY_INFERENCE}.{which}" for which in ("peak", "nvml_process", "reserved"))


@dataclass(frozen=True)
class _Quantity:
    """A panel: what it shows, under which names, and how its axis is labelled."""

    title: str
    names: tuple[tuple[str, str], ...]  # of a measurement, and what its label adds to the model's
    words: Callable[[float], str]
    base: int  # of the numbers that are round in this unit
    within: tuple[int, ...]  # round numbers between two powers of the base


TIME = _Quantity(
    "median time",
    ((f"{TIME_REQUEST}.p50", ""), (f"{TIME_STEP}.p50", " step")),
    duration,
    10,
    (1, 2, 5),
)


@dataclass(frozen=True)
class _Line:
    label: str
    look: Look
    dashed: bool
    x: tuple[int, ...]
    y: tuple[float, ...]  # NaN where there is no number

    @property
    def end(self) -> tuple[float, float]:
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if y > 0][-1]


def growth(found: Efficiency) -> Figure:
    """Time of a request (and of `step`, dashed) and, where it was measured, peak memory.

    Where several batches were measured, and something else was swept, the smallest is drawn.
    Raises SrbenchError if nothing was swept or nothing could be measured.
    """
    axis = found.axis
    if axis is None:
        raise SrbenchError("Nothing was swept, so nothing grows: measure with --sweep.")
    smallest = min((point.batch for point in found.points), default=0)
    points = [point for point in found.points if axis == "batch" or point.batch == smallest]
    look = looks([point.model.name for point in points])
    names = next((name for name in MEMORIES if any(_number(p, name) for p in points)), None)
    quantities = [TIME]
    if names is not None:
        quantities.append(_Quantity("peak memory", ((names, ""),), data_size, 2, (1,)))
    panels = [(one, _lines(found, axis, points, one, look)) for one in quantities]
    if not any(lines for _, lines in panels):
        raise SrbenchError("No size could be measured, so there is no growth to draw.")
    panels = [(one, lines) for one, lines in panels if lines]
    with house_style():
        title = _title(found, axis, points)
        height = 0.45 + 0.11 * len(title) + 1.55 * len(panels)
        figure = Figure(figsize=(COLUMN, height))
        figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=7)
        all_axes: list[Axes] = list(
            figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        )
        for axes, (quantity, lines) in zip(all_axes, panels, strict=True):
            _draw(axes, quantity, lines)
            _mark_failures(figure, axes, axis, points, look)
        sizes = sorted({_place(point, axis) for point in points})
        _size_axis(all_axes[-1], sizes, WORDS[axis][0])
        figure.draw_without_rendering()  # lays it out: how high the panels are is known only now
        for axes, (_, lines) in zip(all_axes, panels, strict=True):
            _label_ends(figure, axes, lines)
    return figure


def _lines(
    found: Efficiency,
    axis: str,
    points: Sequence[Point],
    quantity: _Quantity,
    look: dict[str, Look],
) -> list[_Line]:
    exponents = {(fit.model, fit.measurement): fit.exponent for fit in found.growth}
    lines = []
    for name, (measurement, adds) in product(look, quantity.names):
        mine = sorted(
            (_place(point, axis), _number(point, measurement) or math.nan)
            for point in points
            if point.model.name == name
        )
        if not any(y > 0 for _, y in mine):
            continue
        exponent = exponents.get((name, measurement))
        power = (
            "" if exponent is None else f" ${WORDS[axis][1]}^{{{round(exponent, 2) + 0.0:.2f}}}$"
        )
        x, y = zip(*mine, strict=True)
        lines.append(_Line(f"{name}{adds}{power}", look[name], bool(adds), x, y))
    return lines


def _draw(axes: Axes, quantity: _Quantity, lines: Sequence[_Line]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for line in lines:
        axes.plot(
            line.x,
            line.y,
            marker=line.look.marker,
            linestyle=(0, (3, 1.5)) if line.dashed else "-",
            markerfacecolor="white" if line.dashed else line.look.colour,
            markeredgewidth=0.8,
            color=line.look.colour,
        )
    values = [y for line in lines for y in line.y if y > 0]
    low, high = 0.8 * min(values), 1.25 * max(values)
    wider = max(1.0, math.sqrt(SPAN * low / high))
    axes.set_ylim(low / wider, high * wider)
    axes.set_ylabel(quantity.title)
    ticks = _round_numbers(low / wider, high * wider, quantity)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity.words(value)))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.grid(axis="y")


def _round_numbers(low: float, high: float, quantity: _Quantity) -> list[float]:
    """Few numbers that are round in their unit: 1, 2 and 5 times powers of ten, or powers alone."""
    base = quantity.base
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    powers = [(float(base) ** n) for n in range(first, last + 1)]
    every = [power * step for power in powers for step in quantity.within]
    inside = [value for value in every if low <= value <= high]
    if len(inside) > MOST_TICKS:
        inside = [value for value in powers if low <= value <= high]
    return inside[:: -(-len(inside) // MOST_TICKS)]


def _size_axis(axes: Axes, sizes: Sequence[int], words: str) -> None:
    """The sizes themselves as ticks; from the last back, as many have numbers as there is room."""
    margin = (sizes[-1] / sizes[0]) ** 0.05 if len(sizes) > 1 else 2.0
    axes.set_xlim(sizes[0] / margin, sizes[-1] * margin)
    every = -(-len(sizes) // MOST_TICKS)
    axes.xaxis.set_major_locator(FixedLocator(sizes[::-1][::every][::-1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(words)


def _short(size: float) -> str:
    """3,200, 64k, 1M."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if size >= max(scale, 10_000):
            return f"{size / scale:.3g}{unit}"
    return count(size)


def _mark_failures(
    figure: Figure, axes: Axes, axis: str, points: Sequence[Point], look: dict[str, Look]
) -> None:
    """A cross at the upper edge; those of several models at one size stand side by side."""
    failed = [point for point in points if point.status != "ok"]
    for place in {_place(point, axis) for point in failed}:
        here = [point for point in failed if _place(point, axis) == place]
        for number, point in enumerate(here):
            aside = ASIDE * (number - (len(here) - 1) / 2) / 72
            moved = ScaledTranslation(aside, 0, figure.dpi_scale_trans)
            axes.plot(
                place,
                1.0,
                "x",
                transform=axes.get_xaxis_transform() + moved,
                color=look[point.model.name].colour,
                clip_on=False,
                markersize=4,
                markeredgewidth=1.2,
            )


def _label_ends(figure: Figure, axes: Axes, lines: Sequence[_Line]) -> None:
    """Each name at the right, at the height of its line's end, none on another; a line that ends
    early is led to its name by a thin dotted one."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform(line.end) for line in lines]
    gap = LINE_HEIGHT / (axes.get_window_extent().height * 72 / figure.dpi)
    heights = spread([float(y) for _, y in ends], gap, 0.0, 1.0 - gap / 2)
    for line, (x, y), height in zip(lines, ends, heights, strict=True):
        axes.plot(
            [x, 1.0, 1.04],
            [y, y, height],
            ":",
            transform=axes.transAxes,
            color=line.look.colour,
            linewidth=0.5,
            clip_on=False,
        )
        axes.annotate(
            line.label,
            (1.04, height),
            xycoords="axes fraction",
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            color=line.look.colour,
            annotation_clip=False,
        )


def _title(found: Efficiency, axis: str, points: Sequence[Point]) -> list[str]:
    """Lines that say what stays the same, and who ended where."""
    first = points[0]
    fixed: dict[str, str] = {
        "items": f"{count(first.items)} items",
        "length": f"length {count(first.length)}",
        "batch": f"batch {count(first.batch)}",
    }
    of = f"{found.dataset}: " if found.dataset else ""
    words = f"{of}a request, {', '.join(text for name, text in fixed.items() if name != axis)}"
    ended: dict[str, list[str]] = {}
    failed = [point for point in points if point.status != "ok"]
    for name in dict.fromkeys(point.model.name for point in failed):
        worst = min((p for p in failed if p.model.name == name), key=lambda p: _place(p, axis))
        ended.setdefault(worst.status, []).append(f"{name} at {_short(_place(worst, axis))}")
    ends = [f"\N{MULTIPLICATION SIGN} {status}: {', '.join(who)}" for status, who in ended.items()]
    return [line for text in (words, *ends) for line in wrap(text, CHARACTERS)]


def _number(point: Point, name: str) -> float | None:
    """A measured number that has a logarithm."""
    value = point.measured(name)
    return value if value is not None and value > 0 else None


def _place(point: Point, axis: str) -> int:
    """Where a point stands on the swept axis."""
    if axis != "width":
        return {"items": point.items, "length": point.length, "batch": point.batch}[axis]
    width = point.model.settings.get("width")
    assert isinstance(width, int)
    return width
