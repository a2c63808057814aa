"""Figures from records: vector PDF and PNG, labels at the lines instead of legends.

Each function returns a Figure, drawn without a display; `srbench.report.style.save` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from srbench.errors import SrbenchError
from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP, Protocol
from srbench.record.schema import Record
from srbench.report.select import Comparable, comparables, labels
from srbench.report.style import COLUMN, PAGE, house_style, looks, spread

MEANING = {FULL_DROP: "history masked", FULL_KEEP: "history kept"}
LINE_HEIGHT = 9.0  # points between two labels
GREY = "0.45"


def training_curves(
    records: Sequence[Record],
    metric: str = "ndcg@10",
    protocol: Protocol = FULL_DROP,
    against: Literal["time", "epochs"] = "time",
) -> Figure:
    """A validation number over training time (or epochs), a line a run, the best epoch marked.

    Runs that were never validated are left out. Raises SrbenchError if none is left, or if their
    numbers may not be compared.
    """
    drawn = [record for record in records if _curve(record, metric, protocol, against)[1]]
    group = _one_group(drawn, "a validation curve")
    names = labels(group.records)
    look = looks([record.model.name for record in group.records])
    with house_style():
        figure = Figure(figsize=(COLUMN, 2.2))
        axes = figure.subplots()
        curves = [_curve(record, metric, protocol, against) for record in group.records]
        scale, unit = _time_unit(max(x[-1] for x, _ in curves)) if against == "time" else (1, "")
        for record, (x, y) in zip(group.records, curves, strict=True):
            own = look[record.model.name]
            axes.plot(np.array(x) / scale, y, color=own.colour, linestyle=own.dashes)
            best = int(np.argmax(y))
            axes.plot(x[best] / scale, y[best], own.marker, color=own.colour)
        axes.set_xlabel(f"training time ({unit})" if against == "time" else "epochs of training")
        axes.set_title(f"{metric.upper()} on validation, {_words(protocol)} ({group.dataset})")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _label_ends(
            axes,
            [(x[-1] / scale, y[-1]) for x, y in curves],
            names,
            [look[record.model.name].colour for record in group.records],
        )
    return figure


def metric_bars(
    records: Sequence[Record],
    metrics: Sequence[str] = ("hr@10", "ndcg@10", "mrr@10"),
    protocol: Protocol = FULL_DROP,
) -> Figure:
    """Test numbers of several runs, a panel a metric, the value at each bar, the oracle as a line.

    Runs without a number (failed ones) are left out. Raises SrbenchError if none is left, or if
    their numbers may not be compared.
    """
    group = _one_group([record for record in records if record.test], "test numbers")
    order = sorted(
        range(len(group.records)),
        key=lambda n: group.number(group.records[n], metrics[0], protocol) or 0.0,
    )
    names = labels(group.records)
    look = looks([record.model.name for record in group.records])
    places = np.arange(len(order))
    with house_style():
        figure = Figure(figsize=(PAGE, 0.75 + 0.2 * len(order)))
        panels: list[Axes] = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0])
        for axes, metric in zip(panels, metrics, strict=True):
            values = [group.number(group.records[n], metric, protocol) or 0.0 for n in order]
            colours = [look[group.records[n].model.name].colour for n in order]
            bars = axes.barh(places, values, height=0.68, color=colours)
            axes.bar_label(bars, fmt="%.4f", padding=3, fontsize=6.5)
            limit = group.oracle(metric, protocol)
            if limit is not None:
                axes.axvline(limit, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
                axes.annotate(
                    f"oracle {limit:.4f}",
                    (limit, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 1),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=6.5,
                    color=GREY,
                )
            axes.set_xlim(0, 1.25 * max(*values, limit or 0.0))
            axes.set_xlabel(metric.upper())
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
        panels[0].set_yticks(places, [names[n] for n in order])
        figure.suptitle(f"{group.dataset}, test, {_words(protocol)}", x=0.01, ha="left", fontsize=7)
    return figure


def _one_group(records: Sequence[Record], wanted: str) -> Comparable:
    groups = comparables(records)
    if not groups:
        raise SrbenchError(f"No record has {wanted} to be drawn: run a model first.")
    if len(groups) > 1:
        found = "; ".join(f"{g.dataset} {g.fingerprint} {g.tail}" for g in groups)
        raise SrbenchError(
            f"These records may not stand in one figure, they differ in data or protocol: {found}."
            " Choose one dataset."
        )
    return groups[0]


def _curve(
    record: Record, metric: str, protocol: Protocol, against: str
) -> tuple[list[float], list[float]]:
    """Seconds (of training alone) or epochs, and the validation number at each validated epoch."""
    if record.training is None:
        return [], []
    x, y = [], []
    curve = record.training.curve
    for epoch, seconds in zip(curve, accumulate(e.seconds for e in curve), strict=True):
        for text, value in (epoch.validation or {}).items():
            if text.startswith(f"{metric}|{protocol}|"):
                x.append(seconds if against == "time" else float(epoch.epoch))
                y.append(value)
    return x, y


def _time_unit(longest: float) -> tuple[float, str]:
    """Seconds in the unit that suits the longest time, and its name."""
    for seconds, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if longest >= 2 * seconds:
            return seconds, unit
    return 1.0, "seconds"


def _words(protocol: Protocol) -> str:
    return MEANING.get(protocol, str(protocol))


def _label_ends(
    axes: Axes, ends: Sequence[tuple[float, float]], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Writes each name at the right of the axes, at the height of its line's end, none on another.

    A line that ends early is led to its name by a thin dotted one.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    points = axes.get_position().height * figure.get_figheight() * 72
    gap = LINE_HEIGHT / points * (high - low)
    heights = spread([y for _, y in ends], gap, low, high)
    for (x, y), height, name, colour in zip(ends, heights, names, colours, strict=True):
        axes.plot(
            [x, right, right * 1.02],
            [y, y, height],
            color=colour,
            linewidth=0.5,
            linestyle=":",
            clip_on=False,
        )
        axes.annotate(
            name,
            (right * 1.02, height),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )
    axes.set_xlim(right=right)
