"""Figures from records: vector PDF and PNG, labels at the lines instead of legends.

Each function returns a Figure, drawn without a display; `srbench.report.style.save` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from srbench.errors import SrbenchError
from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP, Protocol
from srbench.record.schema import Record
from srbench.report.select import Comparable, comparables, labels
from srbench.report.style import COLUMN, PAGE, house_style, looks, spread

MEANING = {FULL_DROP: "history masked", FULL_KEEP: "history kept"}
LINE_HEIGHT = 9.0  # points between two labels
SMALL = 6.5  # points, as the numbers at the axes


def training_curves(
    records: Sequence[Record],
    metric: str = "ndcg@10",
    protocol: Protocol = FULL_DROP,
    against: Literal["time", "epochs"] = "time",
) -> Figure:
    """A validation number over training time (or epochs), a line a run, its best epoch marked.

    Runs of different seeds share a colour and a label. Runs that were never validated are left out.
    Raises SrbenchError if none is left, or if their numbers may not be compared.
    """
    group = _one_group([r for r in records if _curve(r, metric, protocol)], "a validation curve")
    names = labels(group.records, seeds=False)
    look = looks(names)
    curves = [_curve(record, metric, protocol) for record in group.records]
    scale, unit = _time_unit(max(points[-1].seconds for points in curves))
    with house_style():
        figure = Figure(figsize=(COLUMN, 2.1))
        axes = figure.subplots()
        ends: dict[str, tuple[float, float]] = {}
        for name, points in zip(names, curves, strict=True):
            x = [p.seconds / scale if against == "time" else p.epoch for p in points]
            y = [p.value for p in points]
            best = y.index(max(y))
            axes.plot(x, y, color=look[name].colour)
            axes.plot(x[best], y[best], look[name].marker, color=look[name].colour)
            ends[name] = max(ends.get(name, (0.0, 0.0)), (x[-1], y[-1]))
        if against == "time":
            axes.set_xlabel(f"training time ({unit})")
        else:
            axes.set_xlabel("epochs of training")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="y", nbins=5)
        axes.grid(axis="y")
        _title(figure, f"{group.dataset}: {metric.upper()} on validation, {_words(protocol)}")
        _label_ends(figure, axes, ends, {name: look[name].colour for name in ends})
    return figure


def metric_bars(
    records: Sequence[Record],
    metrics: Sequence[str] = ("hr@10", "ndcg@10", "mrr@10"),
    protocol: Protocol = FULL_DROP,
) -> Figure:
    """Test numbers of several runs, a panel a metric, values beside the bars, the oracle a line.

    Runs without a number (failed ones) are left out. Raises SrbenchError if none is left, or if
    their numbers may not be compared.
    """
    wanted = [record for record in records if _has(record, metrics, protocol)]
    group = _one_group(wanted, "these test numbers")
    names, models = labels(group.records), labels(group.records, seeds=False)
    look = looks(models)
    numbers = {
        metric: [record.test[group.signature(metric, protocol)] for record in group.records]
        for metric in metrics
    }
    order = sorted(range(len(names)), key=lambda n: numbers[metrics[0]][n])
    with house_style():
        figure = Figure(figsize=(PAGE, 0.75 + 0.2 * len(order)))
        panels: list[Axes] = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0])
        for axes, metric in zip(panels, metrics, strict=True):
            values = [numbers[metric][n] for n in order]
            oracle = group.oracle(metric, protocol)
            axes.barh(range(len(order)), values, color=[look[models[n]].colour for n in order])
            axes.set_xlim(0, 1.4 * max(*values, oracle or 0.0, 1e-9))
            for place, value in enumerate(values):
                _beside(axes, f"{value:.4f}", (1.0, place), ("axes fraction", "data"), "right")
            if oracle is not None:
                axes.axvline(oracle, color="0.45", linewidth=0.8, linestyle=(0, (4, 2)))
                text = f"oracle {oracle:.4f}"
                _beside(axes, text, (oracle, 1.06), ("data", "axes fraction"), "center")
            axes.set_xlabel(metric.upper())
            axes.locator_params(axis="x", nbins=4)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(order)), [names[n] for n in order])
        _title(figure, f"{group.dataset}: test, {_words(protocol)}")
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


@dataclass(frozen=True)
class _Point:
    epoch: int
    seconds: float  # of training alone, since its start
    value: float


def _curve(record: Record, metric: str, protocol: Protocol) -> list[_Point]:
    """The validation number at each epoch that was validated."""
    epochs = [] if record.training is None else record.training.curve
    total = accumulate(epoch.seconds for epoch in epochs)
    return [
        _Point(epoch.epoch, seconds, value)
        for epoch, seconds in zip(epochs, total, strict=True)
        for text, value in (epoch.validation or {}).items()
        if text.startswith(f"{metric}|{protocol}|")
    ]


def _has(record: Record, metrics: Sequence[str], protocol: Protocol) -> bool:
    return all(
        any(text.startswith(f"{metric}|{protocol}|") for text in record.test) for metric in metrics
    )


def _time_unit(longest: float) -> tuple[float, str]:
    """Seconds in the unit that suits the longest time, and its name."""
    for seconds, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if longest >= 2 * seconds:
            return seconds, unit
    return 1.0, "seconds"


def _words(protocol: Protocol) -> str:
    return MEANING.get(protocol, str(protocol))


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=7)


def _beside(
    axes: Axes, text: str, place: tuple[float, float], coordinates: tuple[str, str], align: str
) -> None:
    axes.annotate(
        text, place, xycoords=coordinates, ha=align, va="center", fontsize=SMALL, color="0.25"
    )


def _label_ends(
    figure: Figure,
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    colours: Mapping[str, str],
) -> None:
    """Writes each name at the right of the axes, at the height of its line's end, none on another.

    A line that ends early is led to its name by a thin dotted one.
    """
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    figure.draw_without_rendering()  # lays it out: how high the axes are is known only now
    gap = LINE_HEIGHT * (high - low) / (axes.get_window_extent().height * 72 / figure.dpi)
    heights = spread([y for _, y in ends.values()], gap, low, high - gap / 2)
    for (name, (x, y)), height in zip(ends.items(), heights, strict=True):
        (leader,) = axes.plot([x, right, 1.03 * right], [y, y, height], ":", color=colours[name])
        leader.set(linewidth=0.5, clip_on=False)
        axes.annotate(
            name,
            (1.03 * right, height),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            color=colours[name],
            annotation_clip=False,
        )
    axes.set_xlim(right=right)
