"""What Mamba4Rec starts from, whose scan it runs, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from srbench.models import mamba
from srbench.models.base import Batch
from srbench.models.mamba4rec import Mamba4Rec, Mamba4RecSettings
from srbench.models.selective import sequential_selective_scan


def model(**options: int | str) -> Mamba4Rec:
    torch.manual_seed(0)
    return Mamba4Rec(Mamba4RecSettings(**options), 19, 50)  # type: ignore[arg-type]


def test_the_initialisation_is_that_of_the_reference() -> None:
    block = model().layers[0].mamba
    for linear in (block.in_proj, block.x_proj, block.dt_proj, block.out_proj):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.dt_proj.bias.count_nonzero() == 0  # the step widths start near softplus(0)
    assert torch.equal(block.A_log.exp().round(), torch.arange(1.0, 33).expand(128, -1))
    assert torch.equal(block.D, torch.ones(128))
    bound = block.conv1d.weight.abs().max().item()
    assert 0.45 < bound <= 0.5


def test_a_step_costs_the_same_however_long_the_history() -> None:
    recommender = model(width=8, states=4, taps=3)
    state = recommender.init_state(torch.zeros(2, 8))
    sizes = []
    for _ in range(5):
        _, state = recommender.step(torch.randn(2, 8), state)
        sizes.append([[part.shape for part in layer] for layer in state])
    assert sizes[0] == sizes[-1] == [[(2, 2, 16), (2, 4, 16)]]


def test_the_block_runs_the_kernel_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender, calls = model(width=8), []

    def fused(*args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(args[0].shape)
        return sequential_selective_scan(*args)

    batch = Batch(torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 3]))
    x_BLD = torch.randn(2, 5, 8)
    recommender.eval()
    expected = recommender(x_BLD, batch)
    assert recommender.kernel == "torch"
    monkeypatch.setattr(mamba, "fused_selective_scan", fused)
    monkeypatch.setattr(mamba, "kernel_of", lambda scan, device: "mamba-ssm")
    assert recommender.kernel == "mamba-ssm"
    torch.testing.assert_close(recommender(x_BLD, batch), expected)
    assert calls == [(5, 2, 16)]


def test_a_kernel_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(mamba, "has_mamba_ssm", lambda: False)
    with pytest.raises(ValueError, match="mamba-ssm needs a GPU and the package of that name"):
        Mamba4RecSettings(scan="mamba-ssm")
    monkeypatch.setattr(mamba, "has_mamba_ssm", lambda: True)
    assert Mamba4RecSettings(scan="mamba-ssm").scan == "mamba-ssm"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="needs a GPU"):
        Mamba4RecSettings(scan="mamba-ssm")


@pytest.mark.parametrize("name", ["mamba4rec", "sigma", "tim4rec"])
def test_half_precision_trains(name: str) -> None:
    from srbench.recommender import Recommender
    from srbench.registry import get

    torch.manual_seed(0)
    kind = get(name)
    recommender = Recommender(kind, kind.Settings(width=8, states=4), 19, 10)
    items_BL = torch.randint(1, 20, (3, 10))
    batch = Batch(items_BL, torch.tensor([10, 4, 1]), items_BL.cumsum(1))
    exact_BD = recommender.eval().represent(batch)
    with torch.autocast("cpu", torch.bfloat16):
        h_BD = recommender.represent(batch)
    torch.testing.assert_close(h_BD.float(), exact_BD, rtol=0.1, atol=0.1)
    h_BD.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in recommender.parameters() if p.grad is not None)
