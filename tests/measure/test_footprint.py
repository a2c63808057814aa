"""Memory of a model of known size, and of one that cannot be measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from srbench.measure import clock, nvml, work
from srbench.measure import footprint as module
from srbench.measure.footprint import Footprint, Subject, build, footprint, sibling
from srbench.measure.nvml import Reading, Unknown
from srbench.recommender import Recommender
from srbench.record.schema import Caution

MB = 1_000_000
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")

KNOWN = '''
"""A model that sleeps and allocates as it is told, and steps of a training that do."""
import time
import warnings
from pydantic import Field
from torch import nn
import torch
from srbench.models.base import Encoder, Info, Settings

class KnownSettings(Settings):
    seconds: float = Field(default=0.0, description="slept in each forward")
    megabytes: int = Field(default=0, description="held in a forward")
    kept: bool = Field(default=False, description="held from the first forward on")
    building: int = Field(default=0, description="megabytes held for a moment while it is built")


def held(megabytes):
    return torch.ones(megabytes * 1_000_000, dtype=torch.uint8)


class Known(Encoder):
    info = Info(family="reference", year=2026, paper="none", reference="none", summary="Known.")
    Settings = KnownSettings

    def __init__(self, settings, n_items, length):
        super().__init__()
        self.settings, self.width, self.buffer = settings, 64, None
        held(settings.building)

    def init_table(self, table_VD):
        nn.init.ones_(table_VD)

    def forward(self, x_BLD, batch):
        if self.buffer is None:
            buffer = held(self.settings.megabytes)
            self.buffer = buffer if self.settings.kept else None
        time.sleep(self.settings.seconds)
        return x_BLD.sum(1)


def step(recommender, subject):
    """150 MB in each step, and from the first one's end on 50 MB, as an optimiser keeps."""
    assert recommender.training
    kept = []
    def one():
        held(150)
        if not kept:
            kept.append(held(50))
            warnings.warn("this is a test")
    return one


def greedy(recommender, subject):
    def one():
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    return one
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "known.py").write_text(KNOWN, "utf-8")
    return tmp_path


def subject(folder: Path, **given: object) -> Subject:
    settings = {
        name: given.pop(name)
        for name in ("seconds", "megabytes", "kept", "building") & given.keys()
    }
    fields = {"items": 100, "length": 20, "settings": settings} | given
    return Subject.model_validate({"model": f"{folder / 'known.py'}:Known"} | fields)


def measured(subject: Subject, folder: Path) -> Footprint:
    return footprint(subject, environment={"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"})


def values(found: Footprint) -> dict[str, float | None]:
    return {one.name: one.value for one in found.measurements}


@linux
@pytest.mark.parametrize("kept", [False, True])
def test_a_model_that_holds_100_mb_in_its_forward_needs_100_mb(folder: Path, kept: bool) -> None:
    """Whatever building it took for a moment."""
    asked = subject(folder, megabytes=100, kept=kept, building=300, seconds=0.005)
    found = measured(asked, folder)
    assert found.status == "ok"
    assert found.reason is None
    assert values(found) == {"memory.inference.peak": pytest.approx(100 * MB, rel=0.03)}


def test_a_model_that_sleeps_5_ms_takes_5_ms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the model's sleep moves: nothing is added, nothing is lost."""
    spec = importlib.util.spec_from_file_location("known_model", folder / "known.py")
    assert spec is not None and spec.loader is not None
    known = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, known)
    spec.loader.exec_module(known)
    passed = [0.0]

    class Time:
        @staticmethod
        def sleep(seconds: float) -> None:
            passed[0] += seconds

    monkeypatch.setattr(known, "time", Time)
    monkeypatch.setattr(clock, "now", lambda: passed[0])
    settings = known.KnownSettings(seconds=0.005, megabytes=100, kept=True)
    recommender = Recommender(known.Known, settings, 100, 20)
    request = work.request(recommender, work.histories(recommender, 1, 20))
    samples = clock.sample(request, "cpu", clock.Sampling(seconds=1.0))
    assert samples.settled
    assert samples.seconds == pytest.approx(0.005, rel=1e-6)


@linux
def test_the_table_is_part_of_the_model(folder: Path) -> None:
    found = measured(subject(folder, items=400_000), folder)
    table = 400_001 * 64 * 4
    scores = 400_000 * 4
    pairs = 400_000 * 16  # topk on a CPU keeps each score with its index
    assert values(found)["memory.inference.peak"] == pytest.approx(table + scores + pairs, rel=0.03)


@linux
def test_a_training_has_a_peak_of_its_own_with_what_its_first_step_leaves(folder: Path) -> None:
    found = measured(subject(folder, megabytes=60, step="known:step"), folder)
    assert found.status == "ok"
    assert values(found) == {
        "memory.inference.peak": pytest.approx(60 * MB, rel=0.04),
        "memory.training.peak": pytest.approx(200 * MB, rel=0.03),
    }
    assert found.warnings == [Caution(what="this is a test", advice="")]


@linux
def test_what_fails_is_a_number_that_is_not_known_and_the_rest_goes_on(folder: Path) -> None:
    found = measured(subject(folder, megabytes=60, step="known:greedy"), folder)
    assert found.status == "out of memory"
    assert found.reason is not None and found.reason.startswith("training: RuntimeError: ")
    inference, training = found.measurements
    assert inference.value is not None
    assert training.name == "memory.training.peak"
    assert training.value is None
    assert training.reason is not None and "can't allocate memory" in training.reason


def test_a_model_that_takes_too_long(folder: Path) -> None:
    found = footprint(subject(folder, seconds=600), timeout=0.5)
    reason = "it was ended because it took longer than 0.5 s"
    assert (found.status, found.reason) == ("failed", f"inference: {reason}")
    assert found.measurements[0].reason == reason


def test_a_model_that_counts_has_no_size_without_data() -> None:
    found = footprint(Subject(model="pop", items=50, length=5))
    (peak,) = found.measurements
    assert found.status == "ok"
    assert (peak.name, peak.value, peak.reason) == ("memory.inference.peak", None, module.NO_DATA)


def test_the_compilers_memory_is_not_the_models(folder: Path) -> None:
    told = module.inference(subject(folder, compile=True).model_dump(mode="json"))
    assert [m["reason"] for m in told["measurements"]] == [module.COMPILED]


def test_the_threads_are_those_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(module.torch, "set_num_threads", told.append)
    module.inference(subject(folder, compile=True, threads=7).model_dump(mode="json"))
    assert told == [7]


def test_a_sibling_is_the_same_model_but_small() -> None:
    asked = Subject(model="gru4rec", items=10**6, length=200, batch=512, rows=40, top=10)
    small = sibling(asked)
    assert (small.items, small.length, small.batch, small.rows) == (64, 200, 1, 1)
    assert sibling(asked.model_copy(update={"top": 100})).items == 100
    assert sibling(asked.model_copy(update={"items": 20})).items == 20


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError):
        build(Subject(model="gru4rec", settings={"nonesuch": 1}, items=9, length=5))
    with pytest.raises(ValueError, match=r"kernel \(3\) must not be larger"):
        build(Subject(model="glintru", items=9, length=2))


# ---------------------------------------------------------------- on a GPU, by its stand-in


@pytest.fixture
def gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A CUDA device whose model lies on the CPU; what is asked of it is written down in order."""
    calls: list[str] = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name: calls.append(name))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty_cache"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 90)
    real = module.build

    def on_the_cpu(subject: Subject) -> Recommender:
        calls.append(f"build for {subject.device}")
        return real(subject.model_copy(update={"device": "cpu"}))

    monkeypatch.setattr(module, "build", on_the_cpu)
    return calls


class FakeNvml:
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def __enter__(self) -> FakeNvml:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("close")


class FakeSampler:
    def __init__(self, nvml: FakeNvml) -> None:
        self.calls = nvml.calls

    def __enter__(self) -> FakeSampler:
        self.calls.append("sampler begins")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("sampler ends")

    def reading(self) -> Reading:
        caution = Caution(what="not told apart", advice="be alone")
        return Reading(600, "B", "NVML, by stand-in", caution=caution)


def test_a_gpus_four_numbers_and_the_order_they_are_taken_in(
    gpu: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def context(nvml: FakeNvml) -> Reading:
        gpu.append("context")
        return Reading(500, "B", "NVML, by stand-in")

    def opened(device: str) -> FakeNvml:
        gpu.append(f"open {device}")
        return FakeNvml(gpu)

    monkeypatch.setattr(nvml, "open_nvml", opened)
    monkeypatch.setattr(nvml, "nvml_context", context)
    monkeypatch.setattr(nvml, "Sampler", FakeSampler)
    told = module.inference(subject(folder, device="cuda").model_dump(mode="json"))
    assert [(m["name"], m["value"], m["unit"]) for m in told["measurements"]] == [
        ("memory.inference.allocated", 70, "B"),
        ("memory.inference.reserved", 90, "B"),
        ("memory.inference.nvml_process", 600, "B"),
        ("memory.context.nvml", 500, "B"),
    ]
    assert told["warnings"] == [{"what": "not told apart", "advice": "be alone"}]
    assert gpu == [
        "open cuda",
        "context",
        "build for cuda",
        "synchronize",
        "empty_cache",
        "reset_peak_memory_stats",
        "sampler begins",
        "sampler ends",
        "close",
    ]


def test_without_nvml_a_gpu_has_the_allocators_numbers(
    gpu: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "open_nvml", lambda device: Unknown("the driver is not loaded"))
    told = module.inference(subject(folder, device="cuda").model_dump(mode="json"))
    assert [(m["name"], m["value"], m["reason"]) for m in told["measurements"]] == [
        ("memory.inference.allocated", 70, None),
        ("memory.inference.reserved", 90, None),
        ("memory.inference.nvml_process", None, "the driver is not loaded"),
        ("memory.context.nvml", None, "the driver is not loaded"),
    ]


def test_nvml_that_fails_on_the_way_is_a_reason_beside_the_allocators_numbers(
    gpu: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(FakeSampler):
        def reading(self) -> Reading:
            return Reading(None, "B", "NVML, by stand-in", "it failed on the way: the GPU is lost")

    monkeypatch.setattr(nvml, "open_nvml", lambda device: FakeNvml(gpu))
    monkeypatch.setattr(nvml, "nvml_context", lambda _: Reading(500, "B", "NVML, by stand-in"))
    monkeypatch.setattr(nvml, "Sampler", Lost)
    told = module.inference(subject(folder, device="cuda").model_dump(mode="json"))
    by_name = {m["name"]: m for m in told["measurements"]}
    assert by_name["memory.inference.allocated"]["value"] == 70
    process = by_name["memory.inference.nvml_process"]
    assert process["value"] is None
    assert process["reason"] == "it failed on the way: the GPU is lost"


def test_a_gpu_that_runs_out_of_memory_has_all_its_numbers_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = subject(folder, device="cuda", step="known:step")
    outcomes = iter(
        [
            module.Outcome(
                "ok",
                {
                    "measurements": [
                        {"name": f"memory.{name}", "value": 5, "unit": "B", "method": "m"}
                        for name in ("inference.allocated", "context.nvml")
                    ],
                    "warnings": [],
                },
            ),
            module.Outcome("out of memory", reason="CUDA out of memory."),
        ]
    )
    monkeypatch.setattr(module, "in_child", lambda *_, **__: next(outcomes))
    found = footprint(asked)
    assert (found.status, found.reason) == ("out of memory", "training: CUDA out of memory.")
    assert values(found) == {
        "memory.inference.allocated": 5,
        "memory.context.nvml": 5,  # found before; that it is not found again takes nothing away
        "memory.training.allocated": None,
        "memory.training.reserved": None,
        "memory.training.nvml_process": None,
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_numbers_stand_in_their_order() -> None:
    found = values(
        footprint(Subject(model="glintru", items=3416, length=200, batch=256, device="cuda"))
    )
    allocated, reserved = found["memory.inference.allocated"], found["memory.inference.reserved"]
    process, context = found["memory.inference.nvml_process"], found["memory.context.nvml"]
    assert allocated is not None and reserved is not None
    assert 0 < allocated <= reserved
    if process is not None and context is not None:  # else the record has the driver's reason
        assert process == pytest.approx(context + reserved, rel=0.25)
