"""The record of a run: what was run, on what, with what result, and how to run it again.

The format is versioned: a change of any name or meaning raises SCHEMA_VERSION, changes
`tests/record/golden_record.json` and is told in `docs/records.md`. An unknown number is None, and
where the cause is not in the field's own comment, a reason stands beside it; it is never 0.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

SCHEMA_VERSION = 1

Status = Literal["ok", "failed", "out of memory", "interrupted"]
Metrics = dict[str, float]  # signature -> value, "ndcg@10|full|seen:keep|ties:half|loo|v1": 0.17


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Part(BaseModel):
    """What all parts share: unknown names, NaN and infinity are errors; parts never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Parameters(Part):
    """Numbers of trainable and fixed parameters; total = table + encoder."""

    total: int
    table: int
    encoder: int


class ModelUsed(Part):
    name: str
    family: str
    settings: dict[str, JsonValue]
    parameters: Parameters | None  # None where the run ended before the model was built
    kernel: str = "torch"  # whose implementation of the inner loop ran


class PreparationStep(Part):
    """What one step of the preparation left over."""

    name: str
    users: int
    items: int
    interactions: int


class DataUsed(Part):
    name: str
    fingerprint: str
    users: int
    items: int
    interactions: int
    k_core: int
    duplicates: str
    time_ties: str
    split: str
    length: int  # the longest history a model sees
    steps: list[PreparationStep]
    leak: float | None  # share of training events later than the median test event; None: no times
    tied_share: float | None  # share of events at a time of another of the user; None: no times
    train_targets: int
    valid_targets: int
    test_targets: int
    oracle: Metrics | None = None  # the best any model can reach; None: nobody knows (real data)


class CodeVersion(Part):
    """Which srbench ran. `reason` says why there is no git_sha (installed from a wheel)."""

    version: str
    git_sha: str | None
    dirty: bool | None  # do the files of srbench/ and models/ differ from that commit?
    reason: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> CodeVersion:
        if self.git_sha is None and not self.reason:
            raise ValueError("a missing git_sha needs a reason")
        return self


class Environment(Part):
    """The machine and its libraries, without any path, user or host name: records are published.

    `reasons` holds, for each field that is None, why.
    """

    python: str
    torch: str
    numpy: str
    os: str
    libc: str | None
    device: str  # "cpu" or "cuda"
    device_name: str | None
    cpu: str | None
    cpu_capability: str | None  # the widest vector instructions torch uses
    cores: int  # logical cores this process may run on
    cpu_quota: float | None  # cores' worth of time that the container grants; None: no limit
    threads: int  # torch's threads within one operation
    memory_bytes: int | None  # of the machine, or the container's limit if that is lower
    device_memory_bytes: int | None
    cuda: str | None
    cudnn: str | None
    driver: str | None
    reasons: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _explained(self) -> Environment:
        unknown = {name for name, value in self if value is None}
        if unknown != set(self.reasons):
            raise ValueError(f"unknown: {sorted(unknown)}, explained: {sorted(self.reasons)}")
        return self


class Epoch(Part):
    """One epoch of training. `epoch` counts from 1, `steps` from the start of the training."""

    epoch: int
    steps: int
    loss: Annotated[float | None, BeforeValidator(_finite_or_none)]  # None: it was not finite
    seconds: float  # training alone, without validation
    targets_per_second: float
    validation: Metrics | None = None  # None: this epoch was not validated
    validation_seconds: float | None = None


class Training(Part):
    """`best_epoch` is None where no epoch was validated."""

    supervision: str
    loss: str
    epochs: int
    best_epoch: int | None
    steps: int
    targets_per_epoch: int
    stopped_because: str
    resumed_from: list[int] = Field(default_factory=list)  # epochs done at each resume
    curve: list[Epoch]


class Measurement(Part):
    """One measured number. `value` is None where it could not be taken, and `reason` says why.

    `method` says how it was taken; `samples` names the array of raw samples in the npz.
    """

    name: str
    value: float | None
    unit: str
    method: str
    reason: str | None = None
    samples: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> Measurement:
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"{self.name}: a value or a reason, and not both")
        return self


class Caution(Part):
    """Something the reader of a number should know, and what to do about it."""

    what: str
    advice: str


SEES_TARGET_TIME = "The model sees the time of the event to be predicted."  # under every table


class Arrays(Part):
    """The npz beside the record. Filled in by the store."""

    sha256: str
    names: list[str]


class Record(Part):
    """One run. `training` is None for models that learn by counting; `command` makes it again."""

    schema_version: Literal[1] = 1
    key: str
    status: Status
    reason: str | None = None  # why the status is not ok
    created: str  # UTC, 2026-01-31T12:00:00Z
    command: str
    model: ModelUsed
    data: DataUsed
    seed: int
    settings: dict[str, JsonValue]  # every setting, nested
    origins: dict[str, str]  # dotted name of a setting -> where its value came from
    code: CodeVersion
    environment: Environment
    training: Training | None
    validation: Metrics = Field(default_factory=dict)
    test: Metrics = Field(default_factory=dict)
    coverage: Metrics = Field(default_factory=dict)  # share of the catalogue recommended
    measurements: list[Measurement] = Field(default_factory=list)
    warnings: list[Caution] = Field(default_factory=list)
    arrays: Arrays | None = None

    @model_validator(mode="after")
    def _explained(self) -> Record:
        if (self.status == "ok") == bool(self.reason):
            raise ValueError("a status other than ok needs a reason, and ok has none")
        return self

    def measured(self, name: str) -> float | None:
        """The value of the measurement called `name`, None where it is missing or unknown."""
        return next((m.value for m in self.measurements if m.name == name), None)

    def to_json(self) -> str:
        """The record as it stands in its file."""
        return self.model_dump_json(indent=2) + "\n"
