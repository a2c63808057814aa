"""A record and settings on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.cli.console import simple_table
from srbench.cli.units import count, measured
from srbench.errors import SrbenchError
from srbench.evaluate.protocol import Signature, parse_signature

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from srbench.config import Resolved
    from srbench.record.schema import Metrics, Record

METRICS = ("hr@5", "ndcg@5", "hr@10", "ndcg@10", "mrr@10", "hr@20", "ndcg@20")
NARROW = ("hr@10", "ndcg@10", "mrr@10", "hr@20", "ndcg@20")
WIDE = 100


def show_record(record: Record, path: Path, console: Console) -> None:
    """What a run found: test metrics under each protocol, measurements, warnings, and its file."""
    console.print(_headline(record), style="bold")
    if record.test:
        console.print(_metrics(record, console.width))
        console.print(f"every number is METRIC|PROTOCOL|{_rest(record.test)}", style="dim")
    if record.measurements or record.model.parameters:
        console.print(_measurements(record))
    for caution in record.warnings:
        console.print(f"warning: {caution.what} {caution.advice}".rstrip(), style="yellow")
    console.print(f"record: {path}", soft_wrap=True)


def settings_table(resolved: Resolved) -> Table:
    """Every setting, its value and where the value came from."""
    table = simple_table()
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    table.add_column("what it is", overflow="fold", style="dim")
    for row in resolved.rows():
        style = None if row.origin == "default" else "bold"
        table.add_row(row.key, plain(row.value), row.origin, row.description, style=style)
    return table


def settings_document(resolved: Resolved) -> dict[str, Any]:
    """The same for programs."""
    rows = {row.key: {"value": row.value, "origin": row.origin} for row in resolved.rows()}
    named = {"model": resolved.settings.model, "dataset": resolved.settings.dataset}
    return named | {"settings": rows}


def plain(value: Any) -> str:
    """A setting as it is typed: none, true, false, 0.001."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _headline(record: Record) -> str:
    line = f"{record.model.name} on {record.data.name}, seed {record.seed}"
    training = record.training
    if training is not None:
        best = "" if training.best_epoch is None else f"best epoch {training.best_epoch} of "
        line += f": {best}{training.epochs} epochs, {training.stopped_because}"
    return line


def _metrics(record: Record, width: int) -> Table:
    columns = METRICS if width >= WIDE else NARROW
    by_protocol: dict[str, dict[str, float]] = {}
    for text, value in (record.test | record.coverage).items():
        signature = parse_signature(text)
        row = by_protocol.setdefault(str(signature.protocol), {})
        row[f"{signature.metric}@{signature.k}"] = value
    coverage = sorted({name for row in by_protocol.values() for name in row if "coverage" in name})
    table = simple_table()
    table.add_column("test", no_wrap=True)
    for name in (*columns, *coverage):
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for protocol, row in by_protocol.items():
        cells = [f"{row[name]:.4f}" if name in row else "" for name in (*columns, *coverage)]
        table.add_row(protocol, *cells)
    return table


def _heading(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{'covered' if name == 'coverage' else name.upper()}@{k}"


def _rest(metrics: Metrics) -> str:
    """What the signatures of one record share behind the protocol: `ties:half|loo|v1`."""
    signatures: set[Signature] = {parse_signature(text) for text in metrics}
    tails = {str(s).removeprefix(f"{s.metric}@{s.k}|{s.protocol}|") for s in signatures}
    if len(tails) != 1:
        raise SrbenchError("A record holds numbers of different splits or versions; run it again.")
    return tails.pop()


def _measurements(record: Record) -> Table:
    table = simple_table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    parameters = record.model.parameters
    if parameters is not None:
        table.add_row(
            "parameters",
            f"{count(parameters.total)} ({count(parameters.table)} of them the item table)",
        )
    for measurement in record.measurements:
        table.add_row(measurement.name.replace("_", " "), measured(measurement))
    return table
