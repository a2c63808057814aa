"""Models by name: ours by their files, third parties by the entry point group `srbench.models`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import srbench.models
from srbench.errors import SrbenchError, did_you_mean

if TYPE_CHECKING:
    from srbench.models.base import Encoder

# Files of models/ that hold no model.
PARTS = {
    "attention",
    "base",
    "counts",
    "layers",
    "mamba",
    "mixing",
    "scan",
    "selective",
    "ssd",
    "tally",
}


@cache
def _ours() -> frozenset[str]:
    files = (module.name for module in pkgutil.iter_modules(srbench.models.__path__))
    return frozenset(name.replace("_", "-") for name in files if name not in PARTS)


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group="srbench.models"), key=lambda point: (point.name, _of(point)))


@cache
def _third_parties() -> dict[str, EntryPoint]:
    """Models of other packages; of two with one name the first."""
    return {point.name: point for point in reversed(_entry_points()) if point.name not in _ours()}


@cache
def names() -> tuple[str, ...]:
    """All known models in alphabetical order, without importing any of them."""
    return tuple(sorted(_ours() | set(_third_parties())))


def passed_over() -> dict[str, str]:
    """Models of other packages that cannot be had because their name is taken, and by whom."""
    owners = dict.fromkeys(_ours(), "srbench") | {n: _of(p) for n, p in _third_parties().items()}
    return {
        f"{point.name} of {_of(point)}": f"the name {point.name} belongs to {owners[point.name]}"
        for point in _entry_points()
        if owners[point.name] != _of(point)
    }


def is_ours(model: type[Encoder]) -> bool:
    """Is the class one of this package, which its tests keep to the contract?"""
    return model.__module__.startswith("srbench.models.")


def get(name: str) -> type[Encoder]:
    """The class of a model. `./file.py:Class` loads one from a file.

    Raises SrbenchError with the nearest names if there is no such model, or with what is wrong if
    one of others cannot be imported or lacks what every model has.
    """
    if ".py:" in name:
        return _from_file(name)
    if name.endswith(".py"):
        raise SrbenchError(f"{name} is a file without the class to take; write {name}:CLASS.")
    if name not in names():
        raise SrbenchError(f"There is no model {name!r}.{did_you_mean(name, names())}")
    if name in _third_parties():
        return _from_package(name, _third_parties()[name])
    return _only_model(importlib.import_module(f"srbench.models.{name.replace('-', '_')}"))


def _only_model(module: ModuleType) -> type[Encoder]:
    from srbench.models.base import Encoder

    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Encoder)
        and value.__module__ == module.__name__
    ]
    assert len(found) == 1, f"{module.__name__} must define one model, not {len(found)}"
    return found[0]


def _of(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _from_package(name: str, point: EntryPoint) -> type[Encoder]:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise SrbenchError(
            f"{name} of {_of(point)} cannot be imported ({error!r}); mend or uninstall it."
        ) from error
    return _checked(found, f"{name} of {_of(point)}")


def _from_file(name: str) -> type[Encoder]:
    file, _, wanted = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise SrbenchError(
            f"There is no file {file} to take the model {wanted} from; check the path."
        )
    spec = importlib.util.spec_from_file_location(f"{path.stem} of {path.resolve()}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect looks for the file of a class
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise SrbenchError(f"{file} cannot be imported ({error!r}); mend it first.") from error
    if not hasattr(module, wanted):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise SrbenchError(f"{file} defines no {wanted}.{did_you_mean(wanted, public)}")
    return _checked(getattr(module, wanted), name)


def _checked(found: object, name: str) -> type[Encoder]:
    """The class itself. Raises SrbenchError with the first thing that it lacks."""
    from srbench.models.base import Encoder

    if not (inspect.isclass(found) and issubclass(found, Encoder)):
        lack = "must be a subclass of srbench.models.base.Encoder"
    else:
        lack = next(_lacks(found), "")
        if not lack:
            return found
    raise SrbenchError(f"{name} is no model: it {lack}; see docs/adding-a-model.md.")


def _lacks(model: type[Encoder]) -> Iterator[str]:
    """What can be seen of a class without an instance of it."""
    from pydantic import ValidationError

    from srbench.models.base import Encoder, Info, Settings

    def has(method: str) -> bool:
        return getattr(model, method) is not getattr(Encoder, method)

    if not isinstance(getattr(model, "info", None), Info):
        yield "has no info, an instance of srbench.models.base.Info"
    settings = getattr(model, "Settings", None)
    if not (inspect.isclass(settings) and issubclass(settings, Settings)):
        yield "has no Settings, a subclass of srbench.models.base.Settings"
        return
    for name, field in settings.model_fields.items():
        if field.is_required():
            yield f"has a setting without a default, {name}"
        if not field.description:
            yield f"has a setting without a description, {name}"
    try:
        settings()
    except ValidationError as error:
        yield f"refuses its own defaults ({error.errors()[0]['msg']})"
    if model.learns not in ("gradient", "counts"):
        yield f"learns by {model.learns!r}, which is neither gradient nor counts"
    for method in ("forward", "init_table" if model.learns == "gradient" else "fit_table"):
        if not has(method):
            yield f"has no method {method}"
    if has("step") != has("init_state"):
        yield "has only one of the methods init_state and step"
