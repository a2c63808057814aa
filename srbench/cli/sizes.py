"""From the words of `srbench measure` to what is to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.errors import SrbenchError

if TYPE_CHECKING:
    from srbench.config.efficiency import EfficiencySettings
    from srbench.models.base import Settings


def asked_for(
    model: str,
    dataset: str | None,
    items: str | None,
    length: str | None,
    batch: str | None,
    sweep: str | None,
    *,
    data_dir: Path | None,
    given: Mapping[str, Any],
) -> EfficiencySettings:
    """Raises SrbenchError for what cannot be measured, in one sentence."""
    from srbench.config.efficiency import EfficiencySettings
    from srbench.config.sentences import validated
    from srbench.measure.growth import parse_sweep

    if dataset is not None and items is not None:
        raise SrbenchError("--dataset and --items both say how many items; keep one of them.")
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    values["models"] = tuple(name.strip() for name in model.split(",") if name.strip())
    sizes = {"items": items, "length": length, "batch": batch}
    values |= {name: counts(name, text) for name, text in sizes.items() if text is not None}
    if dataset is not None:
        values |= {"dataset": dataset, "items": (_catalogue(dataset, data_dir),)}
    if sweep is not None:
        swept = parse_sweep(sweep)
        if values.get(swept.axis) is not None:
            given_as = "--dataset" if swept.axis == "items" and dataset else f"--{swept.axis}"
            raise SrbenchError(f"--sweep {sweep} and {given_as} exclude each other; keep one.")
        values |= {"sweep": swept.axis, swept.axis: tuple(swept.values)}
        values.setdefault("batch", (1,))
    origins = dict.fromkeys(values, "flag")
    return validated(EfficiencySettings, values, "", origins)


def counts(name: str, text: str) -> tuple[int, ...]:
    """`50,200` as numbers. Raises SrbenchError."""
    from srbench.config.efficiency import whole

    try:
        return tuple(dict.fromkeys(whole(part) for part in text.split(",")))
    except ValueError:
        raise SrbenchError(
            f"--{name} {text} is no list of numbers above 0: write --{name} 50,200 or 1k,1M."
        ) from None


def model_settings(
    asked: EfficiencySettings, overrides: Sequence[str]
) -> Callable[[str, int | None], Settings]:
    """The settings of each model at each width; all are looked at here, before anything runs."""
    from srbench.config import resolve

    for text in overrides:
        if not text.startswith("model."):
            raise SrbenchError(f"--set {text}: only settings of the models (model.*) count here.")

    def resolved(name: str, width: int | None) -> Settings:
        flags = {"data.length": max(asked.length), "model.width": width}
        return resolve(name, asked.dataset or "", None, overrides, flags).model_settings

    found = {
        (name, width): resolved(name, width)
        for name in asked.models
        for width in asked.width or (None,)
    }
    shortest = min(asked.length)
    for (name, _), settings in found.items():
        try:
            settings.check_length(shortest)
        except ValueError as error:
            raise SrbenchError(f"{name} at length {shortest}: {error}.") from None
    return lambda name, width: found[name, width]


def _catalogue(dataset: str, data_dir: Path | None) -> int:
    from srbench.config import data_settings
    from srbench.data import load

    return load(dataset, data_settings({}), data_dir=data_dir).n_items
