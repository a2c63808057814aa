"""Where output goes: results to standard output, everything that is said on the way to error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


INTERRUPTED = 130  # the exit code after Ctrl-C


def say(sentence: str) -> None:
    """One line to standard error, never wrapped: it may be read by a program."""
    typer.echo(sentence, err=True)


def out() -> Console:
    """The console of results."""
    return _console(stderr=False)


def err() -> Console:
    """The console of progress and warnings."""
    return _console(stderr=True)


def put_json(document: Any) -> None:
    """One JSON document to standard output."""
    put_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def put_text(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def simple_table(*, header: bool = True) -> Table:
    """The one look of tables: a rule under the header, two spaces between columns."""
    from rich import box
    from rich.table import Table

    look = box.SIMPLE_HEAD if header else None
    return Table(
        box=look, show_header=header, show_edge=False, padding=(0, 1 if header else 2, 0, 0)
    )


def examples(commands: Sequence[str]) -> str:
    """The end of a help page: commands to copy."""
    return "\n".join(("[bold]Examples[/bold]", *(f"  {command}" for command in commands)))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)
