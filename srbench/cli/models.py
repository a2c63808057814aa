"""`srbench models`: what there is to compare, and what one model is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srbench.cli import complete
from srbench.cli.console import out, put_json, put_text, say, simple_table
from srbench.errors import SrbenchError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from srbench.models.base import Encoder

WIDE = 100  # columns from which a paper's title has room
FAMILIES = ("RNN", "Transformer", "MLP", "SSM", "reference")
PROBE = (1000, 200)  # items and length of the instance whose parameters are counted


@dataclass(frozen=True)
class Listed:
    """One model as it is listed. Parameters are those at the default settings.

    item_parameters: for each item of the catalogue. encoder_parameters: at a length of 200.
    """

    name: str
    family: str
    year: int | None
    paper: str
    reference: str
    summary: str
    encoder_parameters: int
    item_parameters: int
    trained: bool
    prefixes: bool
    step: bool
    pads_absent: bool


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Explain this one.", metavar="NAME", autocompletion=complete.model_names
        ),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Print the names alone.", metavar="")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document.", metavar="")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Hold the models, or this one, to their contract.", metavar=""
        ),
    ] = False,
) -> None:
    """List the models, or explain one: equations, settings, defaults, reference.

    NAME may be FILE.py:CLASS, a model of yours.
    """
    from srbench import registry

    if names + json + check > 1:
        raise SrbenchError("--names, --json and --check exclude each other; keep one of them.")
    if names and name is not None:
        raise SrbenchError("--names lists all models; leave out the name, or the option.")
    if check:
        _check([name] if name is not None else list(registry.names()))
    elif name is not None:
        _explain(name, registry.get(name), json)
    elif names:
        put_text("".join(f"{known}\n" for known in registry.names()))
    else:
        _list(json)


def _check(chosen: list[str]) -> None:
    """Says of each model that it keeps its contract, or what it breaks.

    Raises SrbenchError if one breaks it.
    """
    from srbench import contract, registry

    broken = []
    for name in chosen:
        try:
            contract.check(registry.get(name), name)
        except SrbenchError as error:
            if len(chosen) == 1:
                raise
            broken.append(name)
            say(f"srbench: {error}")
        else:
            put_text(f"{name} keeps its contract: {', '.join(contract.CHECKS)}\n")
    if broken:
        raise SrbenchError(f"{len(broken)} of {len(chosen)} models failed: {', '.join(broken)}.")


def _list(json: bool) -> None:
    from srbench import contract, registry

    listed, broken = [], registry.passed_over()
    for name in registry.names():
        try:
            model = registry.get(name)
            if not registry.is_ours(model):
                contract.check(model, name)
            listed.append(_listed(name, model))
        except Exception as error:  # a third party's model may fail in any way; the others go on
            told = isinstance(error, SrbenchError)
            broken[name] = str(error) if told else f"{type(error).__name__}: {error}"
    if json:
        put_json({"models": [asdict(model) for model in listed], "broken": broken})
    else:
        console = out()
        console.print(_table(listed, console.width))
        console.print(
            "\nparameters  of the encoder + for each item, at the default settings\n"
            "prefixes    every history of a user in one pass: fast training\n"
            "step        one event more without computing the history again\n"
            "pads        the padding of a batch changes nothing\n"
            "srbench models NAME explains one.",
            style="dim",
        )
    for name, reason in broken.items():
        say(f"warning: {name} cannot be used: {reason}")


def _listed(name: str, model: type[Encoder]) -> Listed:
    n_items, length = PROBE
    encoder = model(model.Settings(), n_items, length)
    info = model.info
    return Listed(
        name=name,
        family=info.family,
        year=info.year or None,
        paper=info.paper,
        reference=info.reference,
        summary=info.summary,
        encoder_parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        item_parameters=encoder.width,
        trained=model.learns == "gradient",
        prefixes=model.can_prefixes(model.Settings()),
        step=model.has_step(),
        pads_absent=model.pad_invariant,
    )


def _table(listed: list[Listed], width: int) -> Table:
    """One line a model, grouped by family; a paper is cut where the line ends."""
    cells = {model.name: _cells(model) for model in listed}
    taken = sum(max((len(row[i]) for row in cells.values()), default=0) + 2 for i in range(4))
    table = simple_table()
    for title in ("model", "year", "parameters", "supports", "paper"):
        table.add_column(title, no_wrap=True, justify="right" if title == "parameters" else "left")
    for family in dict.fromkeys((*FAMILIES, *(model.family for model in listed))):
        members = [model for model in listed if model.family == family]
        if members and table.row_count:
            table.add_row()
        if members:
            table.add_row(family, style="bold")
        for model in sorted(members, key=lambda model: (model.year or 0, model.name)):
            paper = model.paper if width >= WIDE else _authors(model.paper)
            table.add_row(*cells[model.name], _cut(paper, width - taken))
    return table


def _cells(model: Listed) -> tuple[str, str, str, str]:
    marks = " ".join(m if yes else " " * len(m) for m, yes in _supports(model).items())
    return model.name, str(model.year or ""), _parameters(model), marks


def _authors(paper: str) -> str:
    """What stands before the title, short: `Kang & McAuley`, `Zhang et al.`"""
    authors, comma, _ = paper.partition(", ")
    return authors.replace(" and ", " & ") if comma else ""


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 0)].rstrip(' ,:')}…"


def _supports(model: Listed) -> dict[str, bool]:
    return {"prefixes": model.prefixes, "step": model.step, "pads": model.pads_absent}


def _parameters(model: Listed) -> str:
    if not model.trained:
        return "counts"
    return f"{model.encoder_parameters:,} + {model.item_parameters}"


def _explain(name: str, model: type[Encoder], json: bool) -> None:
    import inspect

    from srbench.config import presets

    module = inspect.getmodule(model)
    text = inspect.cleandoc((module and module.__doc__) or model.__doc__ or "")
    listed, tables, settings = _listed(name, model), presets(name), _settings(model)
    if json:
        put_json(asdict(listed) | {"doc": text, "settings": settings, "presets": tables})
        return
    console = out()
    console.print(f"{name}: {listed.summary}", style="bold")
    console.print()
    _print_text(text, console)
    _facts(listed, console)
    if settings:
        console.print(_settings_table(settings))
    for preset, table in tables.items():
        values = ", ".join(f"{key} {value}" for key, value in _flat(table).items())
        console.print(f"preset {preset}: {values}\n  from {table['source']}", style="dim")


def _facts(listed: Listed, console: Console) -> None:
    console.print(f"paper       {listed.paper}")
    console.print(f"reference   {listed.reference}")
    numbers = f"{_parameters(listed)} for each item, at the default settings"
    console.print(f"parameters  {numbers if listed.trained else 'none: it counts'}")
    supports = [what for what, yes in _supports(listed).items() if yes]
    console.print(f"supports    {', '.join(supports) or 'forward alone'}")


def _print_text(text: str, console: Console) -> None:
    """A docstring: paragraphs are wrapped anew, what is indented stays as it is."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(" "):
            console.print(paragraph, no_wrap=True, crop=False, overflow="ignore")
        else:
            console.print(" ".join(paragraph.split()).replace("**", ""))
        console.print()


def _settings(model: type[Encoder]) -> list[dict[str, Any]]:
    from srbench.config import allowed

    defaults = model.Settings()
    return [
        {
            "name": f"model.{name}",
            "default": getattr(defaults, name),
            "allowed": allowed(field),
            "description": field.description,
        }
        for name, field in model.Settings.model_fields.items()
    ]


def _settings_table(settings: list[dict[str, Any]]) -> Table:
    from srbench.cli.show import plain

    table = simple_table()
    table.add_column("setting", no_wrap=True, style="bold")
    table.add_column("default", no_wrap=True)
    table.add_column("may be", overflow="fold")
    table.add_column("what it is", overflow="fold")
    for row in settings:
        table.add_row(row["name"], plain(row["default"]), row["allowed"], row["description"])
    return table


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, values in table.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
