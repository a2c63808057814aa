"""The tables of `srbench measure`: what each model costs at each size, and how it grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srbench.record.efficiency import Efficiency, Fitted, Point
from srbench.record.names import (
    ENERGY_REQUEST,
    FLOPS_REQUEST,
    FLOPS_SCANS,
    MEMORY_INFERENCE,
    MEMORY_STATE,
    MEMORY_TRAINING,
    PROBE_COPY,
    PROBE_GEMM,
    SPREAD_REQUEST,
    THROUGHPUT,
    TIME_ENCODE,
    TIME_REQUEST,
    TIME_SCORE,
    TIME_SHARE,
    TIME_STEP,
    TIME_TRAINING_STEP,
)
from srbench.record.schema import Caution
from srbench.report.rows import machine
from srbench.report.units import UNKNOWN, count, data_size, duration, scaled

BETWEEN = 2  # blanks between columns


@dataclass(frozen=True)
class _Column:
    """A column. Those of the lowest rank go first where the terminal is narrow; one without any
    number is not shown."""

    heading: str
    names: tuple[str, ...]  # the first of these that a point has a number for
    words: Callable[[float], str]
    rank: int

    def cell(self, point: Point) -> str:
        values = (point.measured(name) for name in self.names)
        found = next((value for value in values if value is not None), None)
        return UNKNOWN if found is None else self.words(found)


def _memory(name: str) -> tuple[str, ...]:
    """On a CPU the peak, on a GPU what its driver counts, else what torch does."""
    return tuple(f"{name}.{which}" for which in ("peak", "nvml_process", "reserved"))


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.0995 else f"{value:.1%}"


def _joules(value: float) -> str:
    return f"{value * 1000:.3g} mJ" if value < 0.9995 else f"{value:.3g} J"


COLUMNS = (
    _Column("encode\np50", (f"{TIME_ENCODE}.p50",), duration, 8),
    _Column("score\np50", (f"{TIME_SCORE}.p50",), duration, 7),
    _Column("request\np50", (f"{TIME_REQUEST}.p50",), duration, 12),
    _Column("\np95", (f"{TIME_REQUEST}.p95",), duration, 5),
    _Column("\np99", (f"{TIME_REQUEST}.p99",), duration, 6),
    _Column("\nspread", (SPREAD_REQUEST,), _share, 0),
    _Column("step\np50", (f"{TIME_STEP}.p50",), duration, 11),
    _Column("step's\nstate", (MEMORY_STATE,), data_size, 1),
    _Column("a\nsecond", (THROUGHPUT,), scaled, 3),
    _Column("of the\nmachine", (TIME_SHARE,), _share, 9),
    _Column("memory", _memory(MEMORY_INFERENCE), data_size, 10),
    _Column("FLOP", (FLOPS_REQUEST,), scaled, 4),
    _Column("FLOP of\nscans", (FLOPS_SCANS,), scaled, 0),
    _Column("energy", (ENERGY_REQUEST,), _joules, 2),
    _Column("training\nstep", (f"{TIME_TRAINING_STEP}.p50",), duration, 9),
    _Column("training\nmemory", _memory(MEMORY_TRAINING), data_size, 8),
)
MEANING = {
    "encode": "histories to representations",
    "score": "representations to the top {top} of the catalogue",
    "request": "both; p95 and p99 need 59 and 299 samples",
    "step": "one event more on the state of a history",
    "of the": "the least time that this machine's best product and copy allow, over p50",
    "memory": "peak of requests above the level before the model",
}


def tables(found: Efficiency, width: int = 80) -> RenderableType:
    """Sizes as rows, models in turn; notes say what was measured, and what to doubt."""
    parts: list[RenderableType] = [_table(found, found.points, width)]
    if found.growth:
        parts += [Text(), *_growth(found)]
    parts += [Text(note, style="dim") for note in _notes(found)]
    parts += [
        Text(f"{_place(found, point)}: {point.status}, {point.reason}", style="red")
        for point in found.points
        if point.status != "ok"
    ]
    cautions = [*found.warnings, *(one for point in found.points for one in point.warnings)]
    parts += [Text(line, style="yellow") for line in _warnings(cautions)]
    return Group(*parts)


def _table(found: Efficiency, points: Sequence[Point], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    sizes = _sizes(found, points)
    first = max(len("model"), *(len(point.model.name) for point in points))
    table.add_column("model", no_wrap=True)
    for heading, of in sizes:
        table.add_column(heading, justify="right", no_wrap=True)
        first += BETWEEN + max(len(heading), *(len(count(of(point))) for point in points))
    columns = _fitting(points, width - first - BETWEEN)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    order = list(dict.fromkeys(point.model.name for point in points))
    before = None
    for point in sorted(
        points, key=lambda p: ([of(p) for _, of in sizes], order.index(p.model.name))
    ):
        size = [count(of(point)) for _, of in sizes]
        if before not in (None, size) and len(order) > 1:
            table.add_section()
        before = size
        failed = point.status if point.status != "ok" else None
        cells = [column.cell(point) for column in columns]
        if failed and all(cell == UNKNOWN for cell in cells) and cells:
            cells[0] = failed
        table.add_row(point.model.name, *size, *cells)
    return table


def _sizes(found: Efficiency, points: Sequence[Point]) -> list[tuple[str, Callable[[Point], int]]]:
    """The sizes that differ, as columns; length and batch always."""
    sizes: list[tuple[str, Callable[[Point], int]]] = []
    if len({point.items for point in found.points}) > 1:
        sizes.append(("items", lambda point: point.items))
    if found.axis == "width":
        sizes.append(("width", _width))
    sizes.append(("length", lambda point: point.length))
    sizes.append(("batch", lambda point: point.batch))
    return sizes


def _width(point: Point) -> int:
    width = point.model.settings.get("width")
    return width if isinstance(width, int) else 0


def _fitting(points: Sequence[Point], width: int) -> list[_Column]:
    """The most important columns that hold a number and fit into `width`, in their order."""
    kept: list[_Column] = []
    for column in sorted(COLUMNS, key=lambda column: -column.rank):
        cells = [column.cell(point) for point in points]
        if all(cell in (UNKNOWN, "0") for cell in cells):
            continue
        width -= max(map(len, [*column.heading.split("\n"), *cells])) + BETWEEN
        if width < 0:
            break
        kept.append(column)
    return [column for column in COLUMNS if column in kept]


def _growth(found: Efficiency) -> list[RenderableType]:
    """How the swept numbers grow: the fitted exponent and its interval."""
    names = list(dict.fromkeys(one.measurement for one in found.growth))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for name in names:
        table.add_column(f"{name}\n~ {found.axis} ^", justify="right", no_wrap=True)
    fits = {(one.model, one.measurement): one for one in found.growth}
    for model in dict.fromkeys(one.model for one in found.growth):
        table.add_row(model, *(_exponent(fits.get((model, name))) for name in names))
    return [table]


def _exponent(fit: Fitted | None) -> str:
    if fit is None or fit.exponent is None:
        return UNKNOWN
    return f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"


def _notes(found: Efficiency) -> list[str]:
    settings, probes = found.settings, {one.name: one.value for one in found.probes}
    of = f"{found.dataset}: " if found.dataset else ""
    items = sorted({point.items for point in found.points})
    many = count(items[0]) if len(items) == 1 else f"{count(items[0])} to {count(items[-1])}"
    gemm, copy = probes.get(f"{PROBE_GEMM}.fp32"), probes.get(PROBE_COPY)
    able = "" if gemm is None else f"; products {scaled(gemm, 'FLOP/s')}"
    able += "" if copy is None else f", copy {scaled(copy, 'B/s')}"
    top = settings["top"]
    said = "; ".join(f"{name}: {words.format(top=top)}" for name, words in MEANING.items())
    return [
        f"{of}{many} items, full histories of random items, {settings['precision']}"
        f"{', compiled' if settings['compile'] else ''}; {machine(found.environment)}{able}",
        said,
    ]


def _place(found: Efficiency, point: Point) -> str:
    sizes = ", ".join(f"{name} {count(of(point))}" for name, of in _sizes(found, found.points))
    return f"{point.model.name} at {sizes}"


def _warnings(cautions: Sequence[Caution]) -> list[str]:
    """One line for each advice, with the first that it belongs to."""
    by_advice: dict[str, list[Caution]] = {}
    for one in cautions:
        by_advice.setdefault(one.advice, []).append(one)
    lines = []
    for advice, same in by_advice.items():
        more = f" (and {len(same) - 1} more, in the record)" if len(same) > 1 else ""
        lines.append(f"warning: {same[0].what}{more} {advice}".rstrip())
    return lines
