"""The settings of one run from their layers, and where each value came from.

The later layer wins: default, preset (`srbench/presets/MODEL.toml`), file (`--config`), command
line (`--set` and the named options). Nothing is accepted and ignored: an unknown key is an error
in every layer. The settings of the model itself stand under `model.`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from srbench.config.sentences import nearest, shown, validated
from srbench.config.settings import SECTIONS, TOP, DataSettings, RunSettings
from srbench.errors import SrbenchError

if TYPE_CHECKING:
    from srbench.models.base import Settings


@dataclass(frozen=True)
class Setting:
    """One line of `--show-config`."""

    key: str
    value: Any
    origin: str
    description: str


@dataclass(frozen=True)
class Resolved:
    """The settings of a run and, for each dotted key, the layer it came from.

    model_settings: the instance of the model's own Settings class; `settings.settings` as a dict.
    origins: "default", "preset glintru/ml-1m", "file x.toml", "--set" or "flag".
    """

    settings: RunSettings
    model_settings: Settings
    origins: dict[str, str]

    def rows(self) -> list[Setting]:
        """Every setting in the order of the classes."""
        fields = _fields(type(self.model_settings))
        return [
            Setting(key, self._value(key), origin, fields[key].description or "")
            for key, origin in self.origins.items()
        ]

    def _value(self, key: str) -> Any:
        section, _, name = key.rpartition(".")
        holder = {"": self.settings, "model": self.model_settings}.get(section)
        return getattr(holder or getattr(self.settings, section), name)


def resolve(
    model: str,
    dataset: str,
    file: Path | str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Resolved:
    """The settings of a run of `model` on `dataset`.

    file: TOML with seed, device, threads and the tables data, train, evaluate, measure, model.
    overrides: "train.lr=0.002"; the last of equal keys wins. flags: dotted keys; None is not given.

    Raises SrbenchError for an unknown model, an unknown key, or a value that is not allowed.
    """
    from srbench import registry  # stands on models alone; the class is needed, and torch with it

    model_class = registry.get(model).Settings
    fields = _fields(model_class)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    set_ = _parse_overrides(overrides)
    for key in given.keys() & set_.keys():
        if given[key] != set_[key]:
            raise SrbenchError(
                f"{key} is given twice, as an option ({shown(given[key])}) and with --set "
                f"({shown(set_[key])}); keep one of them."
            )
    layers = _preset_layers(model, dataset)
    if file is not None:
        layers.append((f"file {Path(file).name}", _flatten(_read_toml(Path(file)), str(file))))
    layers += [("--set", set_), ("flag", given)]

    origins = dict.fromkeys(fields, "default")
    values: dict[str, Any] = {}
    for origin, layer in layers:
        for key, value in layer.items():
            if key not in fields:
                raise SrbenchError(f"Unknown setting {key} ({origin}).{nearest(key, fields)}")
            values[key] = _none_where_optional(value, fields[key])
            origins[key] = origin

    parts: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS, "model")}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        parts[section][name] = value
    for name in model_class.without_effect(parts["model"]):  # what a preset cannot know of a run
        if origins[f"model.{name}"].startswith("preset"):
            del parts["model"][name]
            origins[f"model.{name}"] = "default"
    model_settings = validated(model_class, parts.pop("model"), "model.", origins)
    sections = {
        name: validated(SECTIONS[name], parts[name], f"{name}.", origins) for name in SECTIONS
    }
    top = {"model": model, "dataset": dataset, **parts[""]}
    top |= {name: section.model_dump() for name, section in sections.items()}
    top["settings"] = model_settings.model_dump(mode="json")
    settings = validated(RunSettings, top, "", origins)
    try:
        model_settings.check_length(settings.data.length)
        model_settings.check_device(settings.device)
    except ValueError as error:
        raise SrbenchError(f"The model's settings do not fit: {error}.") from None
    return Resolved(settings, model_settings, origins)


def data_settings(values: Mapping[str, Any]) -> DataSettings:
    """DataSettings for the commands that need no model. None is not given. Raises SrbenchError."""
    given = {name: value for name, value in values.items() if value is not None}
    origins = {f"data.{name}": "flag" for name in given}
    return validated(DataSettings, given, "data.", origins)


def presets(model: str) -> dict[str, Any]:
    """The tables of a model's preset file, `any` and dataset names; empty where it has none."""
    if not re.fullmatch(r"[\w-]+", model):  # a model from a file brings no preset
        return {}
    path = resources.files("srbench") / "presets" / f"{model}.toml"
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}


def _preset_layers(model: str, dataset: str) -> list[tuple[str, dict[str, Any]]]:
    tables = presets(model)
    layers = []
    for name in ("any", dataset):
        if name in tables:
            table = {key: value for key, value in tables[name].items() if key != "source"}
            layers.append((f"preset {model}/{name}", _flatten(table, f"preset {model}.toml")))
    return layers


def _fields(model_class: type[BaseModel]) -> dict[str, FieldInfo]:
    fields = {name: RunSettings.model_fields[name] for name in TOP}
    for section, cls in (SECTIONS | {"model": model_class}).items():
        fields |= {f"{section}.{name}": field for name, field in cls.model_fields.items()}
    return fields


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SrbenchError(f"The config file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SrbenchError(f"The config file {path} is not valid TOML: {error}.") from error


def _flatten(table: Mapping[str, Any], place: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if name in ("model", *SECTIONS):
            if not isinstance(value, dict):
                raise SrbenchError(
                    f"{name} = {shown(value)} in {place}: [{name}] is a table of settings; the "
                    "model and the dataset are named on the command line."
                )
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SrbenchError(f"--set {text} has no value; write --set train.lr=0.002.")
        values[key.strip()] = _literal(value.strip())
    return values


def _literal(text: str) -> Any:
    """A TOML value, or the text itself where it is none (`row`, `shuffle:3`)."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _none_where_optional(value: Any, field: FieldInfo) -> Any:
    """TOML has no null: the word none stands for it where a setting may be left open."""
    optional = type(None) in get_args(field.annotation)
    return None if optional and value == "none" else value
