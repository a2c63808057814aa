"""`srbench models`: what there is to compare, and what one model is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srbench.cli import complete
from srbench.cli.console import err, out, put_json, put_text, simple_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from srbench.models.base import Encoder

WIDE = 100
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
) -> None:
    """List the models, or explain one: equations, settings, defaults, reference."""
    from srbench import registry

    if name is not None:
        _explain(name, registry.get(name), json)
    elif names:
        put_text("".join(f"{known}\n" for known in registry.names()))
    else:
        _list(json)


def _list(json: bool) -> None:
    from srbench import registry

    listed, broken = [], {}
    for name in registry.names():
        try:
            listed.append(_listed(name, registry.get(name)))
        except Exception as error:  # a third party's model may fail in any way; the others go on
            broken[name] = f"{type(error).__name__}: {error}"
    if json:
        put_json({"models": [asdict(model) for model in listed], "broken": broken})
    else:
        console = out()
        console.print(_table(listed, console.width))
        console.print(
            "\nparameters  of the encoder + for each item, at the default settings\n"
            "prefixes    every history of a user in one pass: fast training\n"
            "step        one event more without computing the history again\n"
            "pad-safe    the padding of a batch changes nothing\n"
            "srbench models NAME explains one.",
            style="dim",
        )
    for name, reason in broken.items():
        err().print(f"warning: {name} cannot be used: {reason}", style="yellow")


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
    wide = width >= WIDE
    table = simple_table()
    table.add_column("model", no_wrap=True, style="bold")
    table.add_column("family", no_wrap=True)
    table.add_column("year", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("supports", overflow="fold")
    if wide:
        table.add_column("paper", overflow="fold")
    for model in listed:
        facts = (model.name, model.family, str(model.year or ""), _parameters(model))
        table.add_row(*facts, _supports(model), *([model.paper] if wide else []))
    return table


def _supports(model: Listed) -> str:
    parts = {"prefixes": model.prefixes, "step": model.step, "pad-safe": model.pads_absent}
    return ", ".join(part for part, yes in parts.items() if yes) or "-"


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
    console.print(f"parameters  {_parameters(listed)} for each item, at the default settings")
    console.print(f"supports    {_supports(listed)}")


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
