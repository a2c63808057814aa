"""A checkpoint brings back everything, or is refused; it is never half a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from srbench.errors import SrbenchError
from srbench.train.checkpoint import Checkpoint, Progress, copy_of

KEY = "0123456789ab"


def trained(steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), 0.1, fused=True)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss: Tensor = (model(torch.ones(4, 3)) ** 2).sum()
    loss.backward()
    optimizer.step()
    return loss.detach()


def saved(folder: Path) -> tuple[Checkpoint, nn.Module, torch.optim.Optimizer]:
    model, optimizer = trained()
    checkpoint = Checkpoint(folder / "deep" / "run.safetensors", KEY)
    progress = Progress(epoch=2, steps=3, best_epoch=1, best_value=0.5, curve=[{"epoch": 1}])
    checkpoint.save(progress, model, optimizer, {"weight": torch.ones(2, 3)})
    return checkpoint, model, optimizer


def test_it_brings_back_model_optimiser_best_and_progress(tmp_path: Path) -> None:
    checkpoint, model, optimizer = saved(tmp_path)
    other, other_optimizer = trained(steps=0)
    progress, best = checkpoint.load(other, other_optimizer)
    assert progress == Progress(2, 3, 1, 0.5, [{"epoch": 1}])
    assert torch.equal(best["weight"], torch.ones(2, 3))
    for _ in range(3):  # as if nothing had happened
        assert torch.equal(step(model, optimizer), step(other, other_optimizer))


def test_it_holds_tensors_and_json_only(tmp_path: Path) -> None:
    checkpoint, _, _ = saved(tmp_path)
    assert b"pickle" not in checkpoint.path.read_bytes()
    assert checkpoint.path.read_bytes()[8:9] == b"{"


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_one_is_refused(tmp_path: Path, damage: str) -> None:
    checkpoint, _, _ = saved(tmp_path)
    whole = bytearray(checkpoint.path.read_bytes())
    flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    content = {"cut": whole[:-9], "flipped": flipped, "empty": b"", "text": b"hello" * 9}[damage]
    checkpoint.path.write_bytes(bytes(content))
    with pytest.raises(SrbenchError, match="damaged or of another run; delete it, or start again"):
        checkpoint.load(*trained())


def test_that_of_another_run_is_refused(tmp_path: Path) -> None:
    checkpoint, _, _ = saved(tmp_path)
    with pytest.raises(SrbenchError, match="of another run"):
        Checkpoint(checkpoint.path, "f" * 12).load(*trained())


def test_that_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint, _, optimizer = saved(tmp_path)
    with pytest.raises(SrbenchError, match="damaged or of another run"):
        checkpoint.load(nn.Linear(4, 2), optimizer)


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "none", KEY)
    assert not checkpoint.exists()
    checkpoint.remove()


def test_a_copy_stays_as_it_was() -> None:
    model, optimizer = trained()
    copy = copy_of(model)
    before = copy["weight"].clone()
    step(model, optimizer)
    assert torch.equal(copy["weight"], before)
    assert not torch.equal(copy["weight"], model.state_dict()["weight"])
