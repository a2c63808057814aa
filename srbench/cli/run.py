"""`srbench run`: one model on one dataset, trained, ranked, measured and written down."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srbench.cli import complete, options
from srbench.cli.console import INTERRUPTED, err, out, put_json, put_text, say
from srbench.errors import RunFailed, SrbenchError

if TYPE_CHECKING:
    from srbench.config import Resolved

SETTINGS, OUTPUT = "Settings", "Output"

EXAMPLES = (
    "srbench run --model glintru --dataset ml-1m",
    "srbench run --model sasrec --dataset ml-100k --seed 1 --length 50 --epochs 20",
    "srbench run --model sasrec --dataset ./events.csv --columns user,item,time",
    "srbench run --model gru4rec --dataset ml-1m --set train.lr=0.002 --show-config",
    "srbench run --model pop --dataset synthetic --json > pop.json",
)


def run(
    model: Annotated[
        str,
        typer.Option(
            help="A name of `srbench models`, or FILE.py:CLASS.",
            autocompletion=complete.model_names,
            metavar="NAME",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="A name of `srbench data list`, or a file of interactions.",
            autocompletion=complete.dataset_names,
            metavar="NAME|FILE",
        ),
    ],
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of initialisation, order and dropout.", rich_help_panel=SETTINGS),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs at most; training may stop early.", rich_help_panel=SETTINGS),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            help="History length L: the latest events a model sees.", rich_help_panel=SETTINGS
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where to compute.",
            metavar="auto|cpu|cuda",
            autocompletion=lambda: ["auto", "cpu", "cuda"],
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    time_ties: Annotated[
        str | None,
        typer.Option(
            help="Order of equal timestamps.",
            metavar="row|item|shuffle:SEED",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A file of settings.", metavar="FILE.toml", rich_help_panel=SETTINGS),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One setting, as in [bold]train.lr=0.002[/bold]; may be repeated.",
            metavar="KEY=VALUE",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            help="Print every setting and where it came from, and stop.",
            metavar="",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
    results: Annotated[
        Path, typer.Option(help="Where the record is written.", metavar="DIR")
    ] = Path("results"),
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Forget an interrupted run; start again.", metavar=""),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the record as one JSON document.",
            metavar="",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print errors only.", metavar="", rich_help_panel=OUTPUT
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Print more on the way.", metavar="", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Train, rank and measure one model on one dataset, and write the record.

    A run that was interrupted goes on where it stopped when the same command
    is given again.
    """
    from srbench.config import resolve

    if quiet and verbose:
        raise SrbenchError("--quiet and --verbose contradict each other; keep one of them.")
    flags = {
        "seed": seed,
        "device": device,
        "train.epochs": epochs,
        "data.length": length,
        "data.time_ties": time_ties,
    }
    resolved = resolve(model, dataset, config, set_ or [], flags)
    if show_config:
        _show_config(resolved, json)
        return
    _run(
        resolved,
        results=results,
        data_dir=data_dir,
        columns=columns,
        fresh=fresh,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )


def _show_config(resolved: Resolved, json: bool) -> None:
    from srbench.cli.show import settings_document, settings_table

    if json:
        put_json(settings_document(resolved))
    else:
        out().print(settings_table(resolved))


def _run(
    resolved: Resolved,
    *,
    results: Path,
    data_dir: Path | None,
    columns: str | None,
    fresh: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from srbench.cli import progress
    from srbench.experiment import cell
    from srbench.record.store import Store
    from srbench.report.tables import result

    select_by = resolved.settings.evaluate.select_by
    listener = progress.listener(err(), select_by=select_by, quiet=quiet, verbose=verbose)
    try:
        with progress.shown(listener):
            record = cell.run(
                resolved,
                results=results,
                data_dir=data_dir,
                columns=columns,
                fresh=fresh,
                listener=listener,
            )
    except KeyboardInterrupt:
        say(_how_to_go_on())
        raise typer.Exit(INTERRUPTED) from None
    if json:
        put_text(record.to_json())
    elif not quiet:
        out().print(result(record, out().width))
    if not quiet:
        (err() if json else out()).print(f"record: {Store(results).path(record)}", soft_wrap=True)
    if record.status == "interrupted":
        say(_how_to_go_on())
        raise typer.Exit(INTERRUPTED)
    if record.status != "ok":
        raise RunFailed(f"The run ended with {record.status}: {record.reason}")


def _how_to_go_on() -> str:
    words = [word for word in sys.argv[1:] if word != "--fresh"]
    return (
        f"srbench: interrupted. To go on: srbench {shlex.join(words)}\n"
        "         With --fresh it starts again from the beginning."
    )
