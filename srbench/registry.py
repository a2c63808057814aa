"""Models by name: ours by their files, third parties by the entry point group `srbench.models`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
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
}


@cache
def _third_parties() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="srbench.models")}


@cache
def names() -> tuple[str, ...]:
    """All known models in alphabetical order, without importing any of them."""
    files = (module.name for module in pkgutil.iter_modules(srbench.models.__path__))
    ours = {name.replace("_", "-") for name in files if name not in PARTS}
    return tuple(sorted(ours | set(_third_parties())))


def get(name: str) -> type[Encoder]:
    """The class of a model. `./file.py:Class` loads one from a file.

    Raises SrbenchError with the nearest names if there is no such model.
    """
    if ".py:" in name:
        return _from_file(name)
    if name not in names():
        raise SrbenchError(f"There is no model {name!r}.{did_you_mean(name, names())}")
    if name in _third_parties():
        return _checked(_third_parties()[name].load(), name)
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
    except Exception as error:
        raise SrbenchError(f"{file} cannot be imported ({error!r}); mend it first.") from error
    if not hasattr(module, wanted):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise SrbenchError(f"{file} defines no {wanted}.{did_you_mean(wanted, public)}")
    return _checked(getattr(module, wanted), name)


def _checked(found: object, name: str) -> type[Encoder]:
    from srbench.models.base import Encoder

    if not (inspect.isclass(found) and issubclass(found, Encoder)):
        raise SrbenchError(
            f"{name} is no model: it must be a subclass of srbench.models.base.Encoder."
        )
    return found
