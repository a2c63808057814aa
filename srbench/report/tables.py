"""Tables for the terminal: what one run found, and several runs side by side.

A table holds only numbers that may be compared, and its caption says what they are: signature,
data and machine. Nothing stands here that is not in a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP, POP100, PROTOCOLS, UNI100, Protocol
from srbench.record.names import (
    FLOPS_REQUEST,
    FLOPS_SCANS,
    MEMORY_EVALUATE,
    MEMORY_PROCESS_PEAK,
    MEMORY_TRAIN,
    TIME_ENCODE,
    TIME_EPOCH,
    TIME_EVALUATE,
    TIME_REQUEST,
    TIME_SCORE,
)
from srbench.record.schema import SEES_TARGET_TIME, DataUsed, Record
from srbench.report.rows import machine
from srbench.report.select import Comparable, comparables, labels
from srbench.report.units import UNKNOWN, count, data_size, duration, scaled

WIDE = 110  # columns of a terminal from which a run's table shows more metrics
METRICS = ("hr@10", "ndcg@10", "mrr@10")
MORE_METRICS = ("hr@5", "ndcg@5", *METRICS, "hr@20", "ndcg@20")


def result(record: Record, width: int = 80) -> RenderableType:
    """What one run found: test numbers under every protocol, costs, warnings."""
    line = f"{record.model.name} on {_data(record.data)}; seed {record.seed}"
    parts: list[RenderableType] = [Text(line, style="bold")]
    if record.status != "ok":
        parts.append(Text(f"{record.status}: {record.reason}", style="bold red"))
    (group,) = comparables([record])
    if group.tail is not None:
        parts += [
            _protocols(group, record, width),
            Text(f"METRIC|PROTOCOL|{group.tail} on test; data {group.fingerprint}", style="dim"),
            Text(),
        ]
    parts.append(_costs(record))
    parts += [
        Text(f"warning: {caution.what} {caution.advice}", style="yellow")
        for caution in record.warnings
    ]
    return Group(*parts)


def comparison(records: Sequence[Record], width: int = 80) -> RenderableType:
    """Several runs, one a row; a table for each group of runs that may be compared."""
    parts: list[RenderableType] = []
    for group in comparables(records):
        parts += [Text(), *_compared(group, width)]
    return Group(*parts[1:])


# One run


def _protocols(group: Comparable, record: Record, width: int) -> Table:
    """Protocols as rows, metrics as columns; the oracle NDCG@10 where there is one."""
    metrics = MORE_METRICS if width >= WIDE else METRICS
    covered = {name.split("|", 1)[0]: name for name in record.coverage}
    oracle = [group.oracle("ndcg@10", protocol) for protocol in PROTOCOLS]
    table = _table()
    table.add_column("test", no_wrap=True)
    for name in metrics:
        table.add_column(name.upper(), justify="right", no_wrap=True)
    if any(oracle):
        table.add_column("oracle NDCG@10", justify="right", no_wrap=True)
    for name in covered:
        table.add_column(name, justify="right", no_wrap=True)
    for protocol, limit in zip(PROTOCOLS, oracle, strict=True):
        values = [group.number(record, name, protocol) for name in metrics]
        if not any(value is not None for value in values):
            continue
        cells = [_number(value) for value in values]
        if any(oracle):
            cells.append("" if limit is None else _number(limit))
        for name, text in covered.items():
            own = text == group.signature(name, protocol)
            cells.append(_number(record.coverage[text]) if own else "")
        table.add_row(str(protocol), *cells)
    return table


def _costs(record: Record) -> Table:
    """What the run cost, in words and units."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    if (training := record.training) is not None:
        best = "" if training.best_epoch is None else f", the best was {training.best_epoch}"
        table.add_row(
            "training",
            f"{training.epochs} epochs of {count(training.targets_per_epoch)} targets"
            f" ({training.supervision}, {training.loss}){best}; ended: {training.stopped_because}",
        )
    if (parameters := record.model.parameters) is not None:
        table.add_row(
            "parameters",
            f"{count(parameters.total)}: item table {count(parameters.table)}, encoder"
            f" {count(parameters.encoder)}",
        )
    for one in record.measurements:
        if one.name.endswith(DETAILS):
            continue
        value = f"unknown: {one.reason}" if one.value is None else measured(one.value, one.unit)
        table.add_row(MEANING.get(one.name, one.name), f"{value}  ({one.method})")
    table.add_row("machine", machine(record.environment))
    return table


DETAILS = (".p95", ".p99", ".iqr", ".device.p50")  # in the record; srbench measure shows them
MEANING = {
    f"{TIME_ENCODE}.p50": "encoding",
    f"{TIME_SCORE}.p50": "scoring",
    f"{TIME_REQUEST}.p50": "one request, both",
    TIME_EPOCH: "training, an epoch",
    TIME_EVALUATE: "evaluation",
    FLOPS_REQUEST: "one request",
    FLOPS_SCANS: "scans beside it",
    MEMORY_PROCESS_PEAK: "memory, process",
    f"{MEMORY_TRAIN}.peak": "memory, training",
    f"{MEMORY_TRAIN}.allocated": "GPU allocated, training",
    f"{MEMORY_TRAIN}.reserved": "GPU reserved, training",
    f"{MEMORY_EVALUATE}.peak": "memory, evaluation",
    f"{MEMORY_EVALUATE}.allocated": "GPU allocated, evaluation",
    f"{MEMORY_EVALUATE}.reserved": "GPU reserved, evaluation",
}


def measured(value: float, unit: str) -> str:
    """A measurement in its unit: seconds, bytes, FLOP or any other."""
    if unit == "s":
        return duration(value)
    if unit == "B":
        return data_size(value)
    return scaled(value, unit)


# Several runs


@dataclass(frozen=True)
class _Column:
    """A column of a comparison. Those of the lowest rank go first where the terminal is narrow."""

    heading: str
    rank: int
    cell: Callable[[Comparable, Record], str]
    number: Callable[[Comparable, Record], float | None] = lambda group, record: (
        None
    )  # to mark best
    oracle: Callable[[Comparable], float | None] = lambda group: None


def _accuracy(metric: str, protocol: Protocol, rank: int) -> _Column:
    def number(group: Comparable, record: Record) -> float | None:
        return group.number(record, metric, protocol)

    return _Column(
        f"{metric.upper()}\n{SHORT[protocol]}",
        rank,
        lambda group, record: _number(number(group, record)),
        number,
        lambda group: group.oracle(metric, protocol),
    )


def _cost(heading: str, name: str, unit: str, rank: int) -> _Column:
    def cell(group: Comparable, record: Record) -> str:
        value = record.measured(name)
        return UNKNOWN if value is None else measured(value, unit)

    return _Column(heading, rank, cell)


def _epochs(group: Comparable, record: Record) -> str:
    return UNKNOWN if record.training is None else count(record.training.epochs)


def _parameters(group: Comparable, record: Record) -> str:
    parameters = record.model.parameters
    return UNKNOWN if parameters is None else scaled(parameters.total)


SHORT = {FULL_DROP: "masked", FULL_KEEP: "kept", UNI100: "uni100", POP100: "pop100"}
COLUMNS = (
    _accuracy("hr@10", FULL_DROP, 9),
    _accuracy("ndcg@10", FULL_DROP, 10),
    _accuracy("mrr@10", FULL_DROP, 2),
    _accuracy("ndcg@10", FULL_KEEP, 8),
    _accuracy("ndcg@10", UNI100, 0),
    _accuracy("ndcg@10", POP100, 1),
    _Column("epochs", 4, _epochs),
    _cost("training\nan epoch", TIME_EPOCH, "s", 7),
    _cost("ranking\nthe test", TIME_EVALUATE, "s", 5),
    _cost("peak\nmemory", MEMORY_PROCESS_PEAK, "B", 7),
    _cost("a\nrequest", FLOPS_REQUEST, "FLOP", 3),
    _Column("params", 6, _parameters),
)
RANKED_BY = ("ndcg@10", FULL_DROP)  # the best run stands first
LONGEST_LABEL = 30
BETWEEN = 2  # blanks between columns


def _compared(group: Comparable, width: int) -> list[RenderableType]:
    records = sorted(group.records, key=lambda record: -(group.number(record, *RANKED_BY) or -1))
    names = [
        name if record.status == "ok" else f"{name} *"
        for name, record in zip(labels(records), records, strict=True)
    ]
    first = min(max(map(len, ["model", "oracle", *names])), LONGEST_LABEL)
    columns = _fitting(group, records, width - first - BETWEEN)
    table = _table()
    table.add_column("model", width=first, overflow="fold")
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    marks = [_marks([column.number(group, record) for record in records]) for column in columns]
    for place, (name, record) in enumerate(zip(names, records, strict=True)):
        table.add_row(
            name,
            *(
                Text.assemble((column.cell(group, record), styles[place]))
                for column, styles in zip(columns, marks, strict=True)
            ),
        )
    limits = [column.oracle(group) for column in columns]
    if any(limit is not None for limit in limits):
        table.add_section()
        table.add_row("oracle", *("" if v is None else _number(v) for v in limits), style="italic")
    return [
        Text(_data(group.records[0].data), style="bold"),
        table,
        *(Text(note, style="dim") for note in _notes(group, columns)),
        *(
            Text(f"* {name.removesuffix(' *')}: {record.status}, {record.reason}")
            for name, record in zip(names, records, strict=True)
            if record.status != "ok"
        ),
        *(
            Text(f"{name.removesuffix(' *')}: {caution.what} {caution.advice}", style="yellow")
            for name, record in zip(names, records, strict=True)
            for caution in record.warnings
            if caution.what == SEES_TARGET_TIME
        ),
    ]


def _fitting(group: Comparable, records: Sequence[Record], width: int) -> list[_Column]:
    """The most important columns that fit into `width`, in their order."""
    kept: list[_Column] = []
    for column in sorted(COLUMNS, key=lambda column: -column.rank):
        cells = [*column.heading.split("\n"), *(column.cell(group, one) for one in records)]
        width -= max(map(len, cells)) + BETWEEN
        if width < 0:
            break
        kept.append(column)
    return [column for column in COLUMNS if column in kept]


def _marks(numbers: Sequence[float | None]) -> list[str]:
    """Bold for the best of several, underlined for the second; equal numbers share their place."""
    order = sorted({value for value in numbers if value is not None}, reverse=True)
    if len(order) < 2:
        return [""] * len(numbers)
    marks = {order[0]: "bold", order[1]: "underline"}
    return ["" if value is None else marks.get(value, "") for value in numbers]


def _notes(group: Comparable, columns: Sequence[_Column]) -> list[str]:
    """What the headings mean, and where the numbers come from."""
    notes = []
    if group.tail is not None:
        headings = {column.heading.partition("\n")[2] for column in columns}
        shown = [f"{short}: {p}" for p, short in SHORT.items() if short in headings]
        notes = [
            f"METRIC|PROTOCOL|{group.tail} on test; {', '.join(shown)};"
            " best bold, second underlined"
        ]
    machines = sorted({machine(record.environment) for record in group.records})
    where = "; ".join(machines)
    if len(machines) > 1:
        where = f"times of {len(machines)} machines, not to be compared: {where}"
    return [*notes, f"data {group.fingerprint}; {where}"]


def _data(data: DataUsed) -> str:
    return (
        f"{data.name}: {count(data.users)} users, {count(data.items)} items,"
        f" {count(data.interactions)} interactions"
    )


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _table() -> Table:
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, BETWEEN - 1, 0, 0)
    )
