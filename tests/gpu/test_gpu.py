"""What can only be seen on a GPU: `make gpu-check` runs it and what it prints can be pasted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srbench.contract import random_batch, randomised
from srbench.experiment import cell
from srbench.experiment.machine import device_of
from srbench.experiment.workload import STEP, Question, measure
from srbench.measure import work
from srbench.measure.footprint import Subject, footprint
from srbench.recommender import Recommender
from srbench.record.names import MEMORY_CONTEXT, MEMORY_TRAINING, TIME_REQUEST
from srbench.record.schema import Record
from srbench.record.store import Store
from srbench.registry import get, names

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TRAINED = [name for name in names() if get(name).learns == "gradient"]


def both(name: str, dtype: torch.dtype) -> tuple[Recommender, Recommender]:
    """One model with equal weights on the CPU and on the GPU."""
    kind = get(name)
    on_cpu = randomised(kind, kind.Settings.model_validate({})).to(dtype).eval()
    on_gpu = randomised(kind, kind.Settings.model_validate({})).to(dtype).eval().cuda()
    on_gpu.load_state_dict(on_cpu.state_dict())
    return on_cpu, on_gpu


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_is_the_same_on_a_gpu(name: str) -> None:
    """Scores and gradients, in float64."""
    device_of("cuda")
    on_cpu, on_gpu = both(name, torch.float64)
    scores = [one.score(one.represent(random_batch(one))) for one in (on_cpu, on_gpu)]
    torch.testing.assert_close(scores[1].cpu(), scores[0], rtol=1e-9, atol=1e-9)
    for score in scores:
        score.square().sum().backward()
    for (weight, ours), theirs in zip(on_cpu.named_parameters(), on_gpu.parameters(), strict=True):
        if ours.grad is not None:
            assert theirs.grad is not None, weight
            torch.testing.assert_close(theirs.grad.cpu(), ours.grad, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", TRAINED)
def test_half_precision_stays_near(name: str) -> None:
    on_cpu, on_gpu = both(name, torch.float32)
    with torch.inference_mode():
        exact = on_cpu.represent(random_batch(on_cpu))
        with torch.autocast("cuda", torch.bfloat16):
            rounded = on_gpu.represent(random_batch(on_gpu)).float().cpu()
    apart = (rounded - exact).norm() / exact.norm()
    assert apart < 0.1, f"{apart:.3f} of the length"


@pytest.mark.parametrize("name", ["gru4rec", "sasrec", "glintru", "mamba4rec"])
def test_compiled_is_the_same(name: str) -> None:
    _, on_gpu = both(name, torch.float32)
    histories = random_batch(on_gpu)
    plain = work.encode(on_gpu, histories)()
    compiled = work.encode(on_gpu, histories, compile=True)()
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["gru4rec", "sasrec", "glintru"])
def test_the_same_run_twice_gives_the_same_ranks(name: str, tmp_path: Path) -> None:
    def ranks(folder: str) -> dict[str, Any]:
        from srbench.config import resolve

        flags = {"train.epochs": 2, "device": "cuda", "data.length": 20}
        resolved = resolve(name, "synthetic:users=200,items=100", None, [], flags)
        record: Record = cell.run(resolved, results=tmp_path / folder)
        return Store(tmp_path / folder).arrays(record)

    first, second = ranks("a"), ranks("b")
    for protocol in (key for key in first if key.startswith("ranks/")):
        assert np.array_equal(first[protocol], second[protocol]), protocol


def test_nvml_counts_what_the_allocator_holds_and_the_context() -> None:
    """The driver counts torch's reserve and the context, and little else."""
    subject = Subject(
        model="sasrec", items=200_000, length=50, batch=64, rows=16, step=STEP, device="cuda"
    )
    found = footprint(subject)
    assert found.status == "ok", found.reason
    value = {one.name: one.value for one in found.measurements}
    reserved, process = (value[f"{MEMORY_TRAINING}.{n}"] for n in ("reserved", "nvml_process"))
    context = value[MEMORY_CONTEXT]
    if process is None or context is None:
        reasons = [one.reason for one in found.measurements if one.value is None]
        pytest.skip(f"NVML does not tell: {reasons}")
    assert reserved is not None
    assert reserved <= process <= 1.25 * (reserved + context) + 2**28


def test_events_and_the_wall_clock_agree_where_the_device_is_busy() -> None:
    question = Question(
        models={"sasrec": get("sasrec").Settings.model_validate({}).model_dump(mode="json")},
        items=200_000,
        sizes=[(200, 256)],
        device="cuda",
        training=True,
    )
    (point,) = measure(question.model_dump(mode="json"))["points"]
    assert point["status"] == "ok", point["reason"]
    value = {one["name"]: one["value"] for one in point["measurements"]}
    wall, device = value[f"{TIME_REQUEST}.p50"], value[f"{TIME_REQUEST}.device.p50"]
    assert device <= wall
    assert wall - device < 0.1 * wall + 2e-4
