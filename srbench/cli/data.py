"""`srbench data`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Datasets: list, show, prepare, import, export.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """x"""
