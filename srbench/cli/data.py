"""`srbench data`: what there is, what it is like, and files in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srbench.cli import options
from srbench.cli.console import err, examples, out, put_json, say, simple_table

if TYPE_CHECKING:
    from rich.console import Console

    from srbench.config import DataSettings
    from srbench.data.catalogue import Entry
    from srbench.data.dataset import Dataset
    from srbench.data.progress import Progress
    from srbench.data.readers import Preview

WIDE = 100
SUFFIXES = {"sasrec": ".txt", "inter": ".inter", "csv": ".csv"}

EXAMPLES = (
    "srbench data show ml-1m --time-ties shuffle:1",
    "srbench data prepare ml-100k",
    "srbench data import events.csv shop --columns user,item,time",
    "srbench data export ml-1m --format sasrec --ids dense --out ml-1m.txt",
)

app = typer.Typer(
    help="Datasets: list, show, prepare, import, export.",
    no_args_is_help=True,
    epilog=examples(EXAMPLES),
)


@app.command("list")
def list_(data_dir: options.DataDir = None, json: options.Json = False) -> None:
    """List the datasets: what is known by name, what was imported, what is here."""
    from srbench.data.catalogue import CATALOGUE
    from srbench.data.locate import find_local, imported

    here = {name: find_local(name, data_dir) for name in (*CATALOGUE, *imported())}
    if json:
        put_json([_entry(CATALOGUE.get(name), name, path) for name, path in here.items()])
        return
    console = out()
    wide = console.width >= WIDE
    table = simple_table()
    table.add_column("dataset", no_wrap=True, style="bold")
    for column in ("users", "items", "interactions"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("where", no_wrap=True)
    if wide:
        table.add_column("what it is", overflow="fold")
    for name, path in here.items():
        entry = CATALOGUE.get(name)
        sizes = entry.published if entry and entry.published else ("", "", "")
        cells = [f"{size:,}" if isinstance(size, int) else "" for size in sizes]
        title = [entry.title if entry else "imported"] if wide else []
        table.add_row(name, *cells, _where(entry, path), *title)
    table.add_row("synthetic", "2,000", "500", "", "built in", *(["of any size"] if wide else []))
    console.print(table)
    console.print(
        "\nSizes are the publisher's, before any filter. srbench data show NAME tells more.",
        style="dim",
    )


@app.command("show")
def show(
    name: options.DatasetArgument,
    k_core: options.KCore = None,
    duplicates: options.Duplicates = None,
    time_ties: options.TimeTies = None,
    split: options.SplitRule = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
    json: options.Json = False,
) -> None:
    """Show one dataset: terms, every step of its preparation, lengths, ties, leak."""
    settings = _settings(k_core, duplicates, time_ties, split)
    _show(name, settings, data_dir, columns, json)


@app.command("prepare")
def prepare(
    name: options.DatasetArgument,
    k_core: options.KCore = None,
    duplicates: options.Duplicates = None,
    time_ties: options.TimeTies = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
) -> None:
    """Find or download a dataset, prepare it and keep the result for later runs."""
    dataset = _load(name, _settings(k_core, duplicates, time_ties), data_dir, columns)
    console = out()
    console.print(f"{dataset.name} is ready, fingerprint {dataset.fingerprint}", style="bold")
    _print_steps([vars(step) for step in dataset.steps], console)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file of interactions.", metavar="FILE")],
    name: Annotated[str, typer.Argument(help="What to call it.", metavar="NAME")],
    columns: options.Columns = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what is there.", metavar="")
    ] = False,
) -> None:
    """Keep a copy of a file under a name, and show how it was understood."""
    first = _keep(file, name, columns, replace)
    console = out()
    console.print(f"{name} is imported, read as {first.format}. Its first rows:", style="bold")
    table = simple_table()
    for column in ("user", "item", "time"):
        table.add_column(column, overflow="fold")
    for user, item, time in first.rows:
        table.add_row(user, item, "none" if time is None else str(time))
    console.print(table)
    console.print("\nIf that is wrong, import it again with --replace and --columns.", style="dim")


@app.command("export")
def export(
    name: options.DatasetArgument,
    format: Annotated[
        str,
        typer.Option(
            help="What to write.",
            metavar="sasrec|inter|csv",
            autocompletion=lambda: list(SUFFIXES),
        ),
    ] = "sasrec",
    ids: Annotated[
        str,
        typer.Option(
            help="Ids as in the source, or numbered from 1.",
            metavar="original|dense",
            autocompletion=lambda: ["original", "dense"],
        ),
    ] = "original",
    to: Annotated[
        Path | None,
        typer.Option("--out", help="The file. Default: NAME.txt, .inter or .csv.", metavar="FILE"),
    ] = None,
    k_core: options.KCore = None,
    duplicates: options.Duplicates = None,
    time_ties: options.TimeTies = None,
    data_dir: options.DataDir = None,
    columns: options.Columns = None,
) -> None:
    """Write the prepared sequences for other tools: users ascending, each in time order."""
    dataset = _load(name, _settings(k_core, duplicates, time_ties), data_dir, columns)
    path = to or Path(dataset.name + SUFFIXES.get(format, ""))
    _write(dataset, path, format, ids)
    say(f"{dataset.n_interactions:,} interactions of {dataset.n_users:,} users in {path}")


def _settings(
    k_core: int | None,
    duplicates: str | None,
    time_ties: str | None,
    split: str | None = None,
) -> DataSettings:
    from srbench.config import data_settings

    given = {"k_core": k_core, "duplicates": duplicates, "time_ties": time_ties, "split": split}
    return data_settings(given)


@contextmanager
def _progress() -> Iterator[Progress]:
    from srbench.cli import progress

    listener = progress.listener(err(), select_by="", quiet=False, verbose=False)
    with progress.shown(listener):
        yield listener.progress


def _load(name: str, settings: DataSettings, data_dir: Path | None, columns: str | None) -> Dataset:
    from srbench.data import load

    with _progress() as progress:
        return load(name, settings, data_dir=data_dir, columns=columns, progress=progress)


def _keep(file: Path, name: str, columns: str | None, replace: bool) -> Preview:
    from srbench.data.imports import import_file

    return import_file(file, name, columns, replace=replace)


def _write(dataset: Dataset, path: Path, format: str, ids: str) -> None:
    from srbench.data.export import export as write

    write(dataset, path, format, ids)  # type: ignore[arg-type]  # others are refused in a sentence


def _show(
    name: str, settings: DataSettings, data_dir: Path | None, columns: str | None, json: bool
) -> None:
    """What the catalogue knows, and what is found once it is prepared. Downloads nothing."""
    from srbench.data.catalogue import CATALOGUE
    from srbench.data.locate import find_local
    from srbench.data.split import make_split
    from srbench.data.summary import summary

    entry, path = CATALOGUE.get(name), find_local(name, data_dir)
    facts: dict[str, Any] | None = None
    if entry is None or path is not None:
        dataset = _load(name, settings, data_dir, columns)
        facts = summary(dataset, make_split(dataset, settings.split))
    if json:
        put_json({"entry": _entry(entry, name, path), "prepared": facts})
        return
    console = out()
    console.print(f"{name}: {entry.title}" if entry else name, style="bold")
    if entry is not None:
        _print_entry(entry, path, console)
    if facts is not None:
        _print_facts(facts, console)


def _print_entry(entry: Entry, path: Path | None, console: Console) -> None:
    table = simple_table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("terms", entry.terms)
    table.add_row("cite", entry.citation)
    table.add_row("homepage", entry.homepage)
    if entry.published:
        users, items, interactions = entry.published
        table.add_row(
            "published", f"{users:,} users, {items:,} items, {interactions:,} interactions"
        )
    if entry.unverified:
        table.add_row("unverified", entry.unverified)
    if path is not None:
        table.add_row("file", str(path))
    elif entry.mirrors:
        table.add_row("file", f"not here; srbench data prepare {entry.name} downloads it")
    else:
        files = " or ".join(entry.files) or f"{entry.name}.csv"
        table.add_row(
            "file",
            f"not here; get it from the homepage and put {files} into $SRBENCH_DATA/{entry.name}/",
        )
    console.print(table)


def _print_facts(facts: dict[str, Any], console: Console) -> None:
    console.print()
    _print_steps(facts["steps"], console)
    length = facts["length"]
    table = simple_table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("density", f"{facts['density']:.3%}")
    table.add_row(
        "lengths",
        f"{length['shortest']:,} to {length['longest']:,}, median {length['median']:,g}, "
        f"mean {length['mean']:,.1f}",
    )
    table.add_row("time", f"{facts['first']} to {facts['last']}" if facts["first"] else "no times")
    table.add_row(
        "equal times",
        f"{_share(facts['tied_share'])} of interactions; the last two of "
        f"{_share(facts['last_pair_tied'])} of users, whose test item the order of ties "
        f"({facts['time_ties']}) decides",
    )
    table.add_row(
        "split",
        f"{facts['split']}: {facts['training']:,} train, {facts['valid']:,} select, "
        f"{facts['test']:,} are reported",
    )
    table.add_row(
        "leak",
        f"{_share(facts['leak'])} of training is later than the median test interaction",
    )
    table.add_row("fingerprint", facts["fingerprint"])
    console.print()
    console.print(table)


def _print_steps(steps: list[dict[str, Any]], console: Console) -> None:
    """Every step of the preparation with what it left over."""
    table = simple_table()
    table.add_column("preparation", overflow="fold")
    for column in ("users", "items", "interactions"):
        table.add_column(column, justify="right", no_wrap=True)
    for step in steps:
        sizes = (f"{step[column]:,}" for column in ("users", "items", "interactions"))
        table.add_row(step["name"], *sizes)
    console.print(table)


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}"


def _where(entry: Entry | None, path: Path | None) -> str:
    if path is not None:
        return "here"
    if entry is None or not entry.mirrors:
        return "by hand"
    return "download" if entry.verified else "download, unverified"


def _entry(entry: Entry | None, name: str, path: Path | None) -> dict[str, Any]:
    known: dict[str, Any] = {"name": name, "where": _where(entry, path)}
    known["path"] = None if path is None else str(path)
    if entry is not None:
        known |= {
            "title": entry.title,
            "terms": entry.terms,
            "citation": entry.citation,
            "homepage": entry.homepage,
            "published": entry.published,
            "unverified": entry.unverified,
        }
    return known
