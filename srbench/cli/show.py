"""Settings on the screen, and where each came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srbench.cli.console import simple_table

if TYPE_CHECKING:
    from rich.table import Table

    from srbench.config import Resolved


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
