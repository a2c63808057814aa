"""`srbench measure`: what models cost, in time, memory, arithmetic and energy."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srbench.cli import complete, options
from srbench.cli.console import INTERRUPTED, err, out, put_text, say

if TYPE_CHECKING:
    from srbench.config.efficiency import EfficiencySettings
    from srbench.record.efficiency import Efficiency

SIZES, CARE, OUTPUT = "Sizes", "Care", "Output"

EXAMPLES = (
    "srbench measure --model glintru,sasrec --items 3416 --length 50,200 --batch 1,256",
    "srbench measure --model glintru --dataset ml-1m --length 200 --training",
    "srbench measure --model glintru --sweep length=50..3200 --stream",
    "srbench measure --model gru4rec,mamba4rec --sweep items=1k..1M --batch 64",
)


def measure(
    model: Annotated[
        str,
        typer.Option(
            help="Names of `srbench models`, separated by commas: they take turns.",
            autocompletion=complete.model_names,
            metavar="A,B,C",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Take the size of its catalogue, and its presets.",
            autocompletion=complete.dataset_names,
            metavar="NAME|FILE",
            rich_help_panel=SIZES,
        ),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            help="Items of the catalogue. Default: 3416, as ml-1m.",
            metavar="N,...",
            rich_help_panel=SIZES,
        ),
    ] = None,
    length: Annotated[
        str | None,
        typer.Option(
            help="Events of a history. Default: 50.", metavar="N,...", rich_help_panel=SIZES
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Histories at once. Default: 1,256; with --sweep: 1.",
            metavar="N,...",
            rich_help_panel=SIZES,
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            help="Let one size grow: length, items, batch or width.",
            metavar="AXIS=FROM..TO",
            rich_help_panel=SIZES,
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="Items asked for. Default: 10.", rich_help_panel=SIZES)
    ] = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="One event more on a kept state, too.", metavar=""),
    ] = False,
    training: Annotated[
        bool, typer.Option("--training", help="A step of the training, too.", metavar="")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Peaks of memory, each in a process.")
    ] = True,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Arithmetic.",
            metavar="fp32|bf16",
            autocompletion=lambda: ["fp32", "bf16"],
            rich_help_panel=CARE,
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="With torch.compile.", metavar="", rich_help_panel=CARE),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where to compute.",
            metavar="auto|cpu|cuda",
            autocompletion=lambda: ["auto", "cpu", "cuda"],
            rich_help_panel=CARE,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads. Default: as torch chooses.", rich_help_panel=CARE),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(help="Processes that measure the same. Default: 1.", rich_help_panel=CARE),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Budget for each thing timed. Default: 1.5.", rich_help_panel=CARE),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the models, as in [bold]model.width=64[/bold]; may be repeated.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    results: Annotated[
        Path, typer.Option(help="Where the record is written.", metavar="DIR")
    ] = Path("results"),
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
) -> None:
    """Measure what models cost: time, memory, arithmetic, energy.

    Models need no training for it: weights are random, histories are full and
    of random items. All models take turns, so that a slow minute of the
    machine is the same for each.
    """
    from srbench.cli.sizes import asked_for, model_settings

    asked = asked_for(
        model,
        dataset,
        items,
        length,
        batch,
        sweep,
        data_dir=data_dir,
        given={
            "top": top,
            "stream": stream,
            "training": training,
            "memory": memory,
            "precision": precision,
            "compile": compile,
            "device": device,
            "threads": threads,
            "repeat": repeat,
            "seconds": seconds,
        },
    )
    settings_of = model_settings(asked, set_ or [])
    _measure(asked, settings_of, results, json=json, quiet=quiet)


def _measure(
    asked: EfficiencySettings,
    settings_of: Any,
    results: Path,
    *,
    json: bool,
    quiet: bool,
) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from srbench.experiment import efficiency

    console = err()
    columns = (
        BarColumn(24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    shown = console.is_terminal and not quiet
    command = f"srbench {shlex.join(sys.argv[1:])}"
    try:
        with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
            task = bar.add_task("starting", total=None)

            def told(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total or None)

            found, path = efficiency.measure(
                asked, settings_of, results=results, command=command, progress=told
            )
    except KeyboardInterrupt:
        say("srbench: interrupted; nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    if json:
        put_text(found.to_json())
    elif not quiet:
        from srbench.report.efficiency import tables

        out().print(tables(found, out().width))
    written_too = _figure(found, path)
    if not quiet:
        for written in (path, *written_too):
            (err() if json else out()).print(f"{_kind(written)}: {written}", soft_wrap=True)


def _kind(path: Path) -> str:
    return "record" if path.suffix == ".json" else "figure"


def _figure(found: Efficiency, path: Path) -> list[Path]:
    """The figure of a sweep beside its record."""
    measured = any(point.status == "ok" for point in found.points)
    if found.axis is None or not measured:
        return []
    from srbench.report.growth import growth
    from srbench.report.style import save

    return save(growth(found), path.with_suffix(""))
