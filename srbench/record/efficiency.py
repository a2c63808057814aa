"""The record of `srbench measure`: what several models cost on one machine, taken in one go.

One JSON document, `<folder>/efficiency/<models>-<key>.json`, with every raw sample in the npz
beside it. A point that could not be measured is a point with its status, not a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field, JsonValue, ValidationError, model_validator

from srbench.errors import SrbenchError
from srbench.record.files import write_text_atomically
from srbench.record.private import without_paths
from srbench.record.schema import (
    Arrays,
    Caution,
    CodeVersion,
    Environment,
    Measurement,
    ModelUsed,
    Part,
    Status,
)
from srbench.record.store import read_arrays, safe_stem, write_arrays

FOLDER = "efficiency"


class Point(Part):
    """One model at one size: `batch` histories of `length` events, a catalogue of `items`."""

    model: ModelUsed
    items: int
    length: int
    batch: int
    status: Status
    reason: str | None = None  # why the status is not ok
    measurements: list[Measurement] = Field(default_factory=list)
    warnings: list[Caution] = Field(default_factory=list)

    @model_validator(mode="after")
    def _explained(self) -> Point:
        if (self.status == "ok") == bool(self.reason):
            raise ValueError("a status other than ok needs a reason, and ok has none")
        return self

    def measured(self, name: str) -> float | None:
        """The value of the measurement called `name`, None where it is missing or unknown."""
        return next((m.value for m in self.measurements if m.name == name), None)

    @property
    def name(self) -> str:
        """What the names of its samples begin with: `glintru/items3416/length50/batch1`."""
        return f"{self.model.name}/items{self.items}/length{self.length}/batch{self.batch}"


class Fitted(Part):
    """How a number grows along the swept axis: about axis ** exponent.

    low and high: the 95 % interval of the exponent. All None, with a reason, where too few points
    were measured.
    """

    model: str
    measurement: str
    exponent: float | None
    low: float | None
    high: float | None
    points: int
    reason: str | None = None


class Efficiency(Part):
    """One `srbench measure`. `probes` say what the machine itself can do."""

    schema_version: Literal[1] = 1
    kind: Literal["efficiency"] = "efficiency"
    key: str
    created: str  # UTC, 2026-01-31T12:00:00Z
    command: str
    settings: dict[str, JsonValue]
    dataset: str | None  # whose catalogue it is; None: a number of items was given
    axis: str | None  # what was swept: length, items, batch or width
    code: CodeVersion
    environment: Environment
    probes: list[Measurement]
    points: list[Point]
    growth: list[Fitted] = Field(default_factory=list)
    warnings: list[Caution] = Field(default_factory=list)
    arrays: Arrays | None = None

    def to_json(self) -> str:
        """The record as it stands in its file."""
        return self.model_dump_json(indent=2) + "\n"


def path_of(folder: Path, efficiency: Efficiency) -> Path:
    names = "-".join(dict.fromkeys(safe_stem(point.model.name) for point in efficiency.points))
    return folder / FOLDER / f"{names[:80]}-{efficiency.key}.json"


def write(folder: Path, efficiency: Efficiency, samples: Mapping[str, NDArray[Any]]) -> Path:
    """Writes the record and its samples, the samples first; returns its path.

    Absolute paths in its texts are cut to their last part. Raises SrbenchError if it cannot.
    """
    path = path_of(folder, efficiency)
    arrays = write_arrays(path, {f"samples/{name}": array for name, array in samples.items()})
    plain = without_paths(efficiency.model_dump(mode="json"))
    published = Efficiency.model_validate(plain).model_copy(update={"arrays": arrays})
    write_text_atomically(path, published.to_json())
    return path


def read(path: Path) -> Efficiency:
    """One record. Raises SrbenchError if it is missing or damaged."""
    try:
        return Efficiency.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SrbenchError(f"Cannot read the record {path}: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SrbenchError(
            f"{path} is no record of srbench measure ({place}: {first['msg']}): measure again."
        ) from error


def samples_of(path: Path, efficiency: Efficiency) -> dict[str, NDArray[Any]]:
    """The raw samples by name, in seconds. Raises SrbenchError if they are missing or damaged."""
    found = read_arrays(path, efficiency.arrays, efficiency.command)
    return {name.removeprefix("samples/"): array for name, array in found.items()}
