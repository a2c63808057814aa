"""How much memory one model needs at one size: for requests, and for steps of the training.

Each phase runs in a process of its own (`srbench.measure.child`), so that its peak is nobody
else's. On a CPU it is the resident set above the level from before the model was built. The code
of the libraries is none of the model's: a sibling with a catalogue of a few items and one history
does the same before, so that all that is ever loaded is loaded already. On CUDA there are
`allocated` and `reserved`, torch's own; `nvml_process`, all that the driver counts for the process;
and of that `memory.context.nvml`, which CUDA takes before any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue

from srbench.measure import work
from srbench.measure.child import Outcome, in_child, named
from srbench.measure.memory import PhaseMemory, settled_bytes
from srbench.recommender import Recommender
from srbench.record.names import MEMORY_CONTEXT, MEMORY_INFERENCE, MEMORY_TRAINING
from srbench.record.schema import Caution, Measurement, Status
from srbench.registry import get

Work = Callable[[], object]
Phase = Literal["inference", "training"]
NAMES: dict[Phase, str] = {"inference": MEMORY_INFERENCE, "training": MEMORY_TRAINING}
TIMES = 3  # an optimiser's state is there from the second step on; peaks of an allocator settle
SIBLING_ITEMS = 64
NO_DATA = "the model learns by counting: it is as large as the data that it has counted"
COMPILED = "the compiler works in the same process, and its memory cannot be told apart"


class Subject(BaseModel):
    """A model at one size, as it goes to the process that measures it, in JSON.

    batch: histories of a request. top: items asked for. rows: histories of a training step.
    step: "module:function" that is called with the recommender, in training mode, and the subject,
    and returns a function that takes one step of the training; None: no training is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    settings: dict[str, JsonValue] = {}
    items: int
    length: int
    batch: int = 1
    top: int = 10
    rows: int = 1
    step: str | None = None
    device: str = "cpu"
    precision: work.Precision = "fp32"
    compile: bool = False
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Footprint:
    """What was found. Where `status` is not ok, `reason` says why of the first phase that failed,
    and the numbers of that phase are None."""

    status: Status
    reason: str | None
    measurements: list[Measurement]
    warnings: list[Caution]


def footprint(
    subject: Subject,
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Footprint:
    """Measures the memory of requests and, where the subject has a step, of its training.

    timeout: seconds for each of both processes. What happens there is no exception here; Ctrl-C is.
    """
    phases: list[Phase] = ["inference"] if subject.step is None else ["inference", "training"]
    status: Status = "ok"
    reason: str | None = None
    found: dict[str, Measurement] = {}
    warnings: dict[Caution, None] = {}
    for phase in phases:
        outcome = in_child(
            f"{__name__}:{phase}",
            subject.model_dump(mode="json"),
            timeout=timeout,
            environment=environment,
        )
        if status == "ok" and outcome.status != "ok":
            status, reason = outcome.status, f"{phase}: {outcome.reason}"
        for one in _measurements(phase, subject, outcome):
            if one.name not in found or found[one.name].value is None:
                found[one.name] = one
        warnings |= dict.fromkeys(_warnings(outcome))
    return Footprint(status, reason, list(found.values()), list(warnings))


def build(subject: Subject) -> Recommender:
    """The model, with random weights. Raises SrbenchError where there is no such model, ValueError
    where its settings are wrong."""
    torch.manual_seed(subject.seed)
    model = get(subject.model)
    settings = model.Settings.model_validate(subject.settings)
    settings.check_length(subject.length)
    return Recommender(model, settings, subject.items, subject.length).to(subject.device)


# What runs in the child.


def inference(argument: JsonValue) -> JsonValue:
    """Peaks of a request for a batch: encoding, scoring the catalogue, the best items of each."""
    return _phase("inference", Subject.model_validate(argument), _request)


def training(argument: JsonValue) -> JsonValue:
    """Peaks of the training's steps, the optimiser's state included."""
    return _phase("training", Subject.model_validate(argument), _step)


def _request(recommender: Recommender, subject: Subject) -> Work:
    batch = work.histories(recommender, subject.batch, subject.length, subject.seed)
    return work.request(
        recommender, batch, subject.top, precision=subject.precision, compile=subject.compile
    )


def _step(recommender: Recommender, subject: Subject) -> Work:
    assert subject.step is not None
    made: Work = named(subject.step)(recommender.train(), subject)
    return made


def sibling(subject: Subject) -> Subject:
    """The same model at a size that needs next to nothing but the code that it runs."""
    items = min(subject.items, max(SIBLING_ITEMS, subject.top))
    return subject.model_copy(update={"items": items, "batch": 1, "rows": 1})


WorkOf = Callable[[Recommender, Subject], Work]


def _phase(phase: Phase, subject: Subject, work_of: WorkOf) -> JsonValue:
    if subject.threads is not None:
        torch.set_num_threads(subject.threads)
    if get(subject.model).learns == "counts":
        return _told(_unknown(phase, subject, NO_DATA))
    if torch.device(subject.device).type == "cuda":
        return _on_cuda(phase, subject, work_of)
    if subject.compile:
        return _told(_unknown(phase, subject, COMPILED))
    _peaks(phase, sibling(subject), work_of)
    return _told(_peaks(phase, subject, work_of, level=settled_bytes()))


def _on_cuda(phase: Phase, subject: Subject, work_of: WorkOf) -> JsonValue:
    from srbench.measure.nvml import Sampler, Unknown, nvml_context, open_nvml

    nvml = open_nvml(subject.device)
    if isinstance(nvml, Unknown):
        unknown = _unknown(phase, subject, nvml.reason)
        found = {one.name: one for one in [*unknown, *_peaks(phase, subject, work_of)]}
        return _told(list(found.values()))
    with nvml:
        context = nvml_context(nvml)
        sampler = Sampler(nvml)
        found_by_torch = _peaks(phase, subject, work_of, beside=sampler)
    process = sampler.reading()
    found_by_nvml = [
        process.measurement(f"{NAMES[phase]}.nvml_process"),
        context.measurement(MEMORY_CONTEXT),
    ]
    cautions = [one.caution for one in (process, context) if one.caution is not None]
    return _told([*found_by_torch, *found_by_nvml], cautions)


def _peaks(
    phase: Phase,
    subject: Subject,
    work_of: WorkOf,
    *,
    level: int | None = None,
    beside: AbstractContextManager[Any] | None = None,
) -> list[Measurement]:
    """The model is built before the phase: what its initialisation needs for a moment is not the
    phase's, but what it leaves behind is."""
    one = work_of(build(subject), subject)
    memory = PhaseMemory(NAMES[phase], subject.device, level=level)
    with memory, beside or nullcontext():
        for _ in range(TIMES):
            one()
    return memory.measurements()


def _told(found: list[Measurement], cautions: list[Caution] | None = None) -> JsonValue:
    return {
        "measurements": [one.model_dump(mode="json") for one in found],
        "warnings": [one.model_dump(mode="json") for one in cautions or []],
    }


# What is made of it.


def _unknown(phase: Phase, subject: Subject, reason: str) -> list[Measurement]:
    """Every number of the phase as one that is not known."""
    name = NAMES[phase]
    if torch.device(subject.device).type == "cuda":
        names = [f"{name}.{which}" for which in ("allocated", "reserved", "nvml_process")]
        names.append(MEMORY_CONTEXT)
    else:
        names = [f"{name}.peak"]
    method = "in a process of its own"
    return [
        Measurement(name=one, value=None, unit="B", method=method, reason=reason) for one in names
    ]


def _measurements(phase: Phase, subject: Subject, outcome: Outcome) -> list[Measurement]:
    if not isinstance(outcome.value, dict):
        assert outcome.reason is not None
        return _unknown(phase, subject, outcome.reason)
    return [Measurement.model_validate(one) for one in _list(outcome.value, "measurements")]


def _warnings(outcome: Outcome) -> list[Caution]:
    if not isinstance(outcome.value, dict):
        return list(outcome.warnings)
    told = [Caution.model_validate(one) for one in _list(outcome.value, "warnings")]
    return [*told, *outcome.warnings]


def _list(value: dict[str, JsonValue], name: str) -> list[JsonValue]:
    found = value[name]
    assert isinstance(found, list)
    return found
