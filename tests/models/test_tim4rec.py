"""The causal times of TiM4Rec, written out; what the published ones see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.tim4rec import CausalNorm, TiM4Rec, TiM4RecSettings, TimeBranch
from srbench.recommender import Recommender
from srbench.registry import get

LENGTH = 7
EXACT = {"rtol": 0.0, "atol": 1e-10}


def random(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.double().eval().parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def model(name: str = "tim4rec", **options: bool) -> Recommender:
    kind = get(name)
    settings = kind.Settings(width=8, heads=2, states=4, **options)
    recommender = random(Recommender(kind, settings, 19, LENGTH))
    assert isinstance(recommender, Recommender)
    return recommender


def histories() -> Batch:
    torch.manual_seed(1)
    times_BL = torch.randint(0, 10**6, (3, LENGTH)).cumsum(1) + 10**9
    return Batch(torch.randint(1, 20, (3, LENGTH)), torch.full((3,), LENGTH), times_BL)


def test_the_norm_is_a_layer_norm_of_what_was_so_far() -> None:
    norm = random(CausalNorm(LENGTH, 1e-12))
    assert isinstance(norm, CausalNorm)
    tau_BL = torch.randn(4, LENGTH).double() * 1e6
    for end in range(1, LENGTH + 1):
        expected_BL = F.layer_norm(
            tau_BL[:, :end], (end,), norm.weight[:end], norm.bias[:end], norm.eps
        )
        torch.testing.assert_close(norm(tau_BL)[:, end - 1], expected_BL[:, -1], **EXACT)


def test_the_norm_of_long_equal_gaps_in_single_precision() -> None:
    norm = CausalNorm(200, 1e-12)
    tau_BL = torch.cat([torch.zeros(1, 1), torch.full((1, 199), 4e7)], dim=1).requires_grad_()
    expected_BL = F.layer_norm(tau_BL.detach().double(), (200,))
    y_BL = norm(tau_BL)
    torch.testing.assert_close(y_BL[:, -1].double(), expected_BL[:, -1], rtol=1e-3, atol=0)
    (gradient,) = torch.autograd.grad(y_BL.sum(), tau_BL)
    assert y_BL[0, 0] == 0 and gradient.isfinite().all()


@pytest.mark.parametrize("pointwise", [False, True])
def test_a_branch_at_each_position_is_one_of_sums_over_the_positions_up_to_it(
    pointwise: bool,
) -> None:
    settings = TiM4RecSettings(width=8, heads=2, taps=3, pointwise_gate=pointwise)
    branch = random(TimeBranch(settings, LENGTH, CausalNorm(LENGTH, 1e-12)))
    assert isinstance(branch, TimeBranch)
    tau = torch.randn(2, LENGTH).double()  # of one user, two heads

    def product(weight: Tensor, x: list[Tensor], t: int) -> Tensor:
        return sum((weight[s] * x[s] for s in range(t + 1)), torch.zeros(2).double())

    def convolved(x: list[Tensor], conv: torch.nn.Conv1d) -> list[Tensor]:
        assert conv.bias is not None
        seen = [torch.zeros(2).double()] * 2 + x
        return [
            F.hardswish(sum((conv.weight[:, 0, k] * seen[t + k] for k in range(3)), conv.bias))
            for t in range(LENGTH)
        ]

    times = list(tau.unbind(1))
    hidden = [
        F.silu(product(branch.mix_1.weight[t], times, t) + branch.mix_1.bias[t])
        for t in range(LENGTH)
    ]
    scaled = [
        times[t] * (product(branch.mix_2.weight[t], hidden, t) + branch.mix_2.bias[t])
        for t in range(LENGTH)
    ]
    omega = convolved(convolved(scaled, branch.conv_1), branch.conv_2)
    mixed = []
    for t in range(LENGTH):
        row = t if pointwise else 0
        gate = (product(branch.gate.weight[row], times, t) + branch.gate.bias[row]).sigmoid()
        mixed.append(gate * times[t] + (1 - gate) * omega[t])
    omega_LBH = branch.omega(tau[None])
    tau_BHL = branch.following(tau[None], omega_LBH)
    torch.testing.assert_close(omega_LBH[:, 0], torch.stack(omega), **EXACT)
    expected = branch.norm(torch.stack(mixed, -1))
    torch.testing.assert_close(tau_BHL[0], expected, **EXACT)


def test_times_matter_but_none_behind_an_event() -> None:
    recommender, batch = model(), histories()
    assert batch.times_BL is not None
    before_BLD = recommender.prefixes(batch)
    later_BL = batch.times_BL.clone()
    later_BL[:, 4:] += 12345
    after_BLD = recommender.prefixes(replace(batch, times_BL=later_BL))
    assert torch.equal(before_BLD[:, :4], after_BLD[:, :4])
    assert not torch.isclose(before_BLD[:, 4], after_BLD[:, 4]).all(dim=1).any()


def test_the_target_s_own_time_changes_nothing() -> None:
    for name in ("tim4rec", "tim4rec-official"):
        recommender, batch = model(name), histories()
        one, other = (
            replace(batch, target_times_B=torch.full((3,), 2 * 10**9 + i)) for i in (0, 9)
        )
        assert torch.equal(recommender.represent(one), recommender.represent(other))


def test_the_published_times_of_pads_change_short_histories() -> None:
    """Not in the numbers of the items, which are causal: in those of the times alone."""
    changed = {}
    for name in ("tim4rec", "tim4rec-official"):
        recommender, batch = model(name), histories()
        assert batch.times_BL is not None
        short = replace(batch, lengths_B=torch.tensor([7, 5, 2]))
        moved = replace(short, times_BL=torch.where(short.mask_BL(), batch.times_BL, 0))
        same_B = (recommender.represent(short) == recommender.represent(moved)).all(dim=1)
        changed[name] = (~same_B).tolist()
    assert changed == {"tim4rec": [False] * 3, "tim4rec-official": [False, True, True]}


def test_steps_with_times_are_the_prefixes() -> None:
    recommender, batch = model(), histories()
    assert batch.times_BL is not None
    h_BLD, state = recommender.prefixes(batch), recommender.init_state(3)
    for t in range(LENGTH):
        h_BD, state = recommender.step(batch.items_BL[:, t], state, batch.times_BL[:, t])
        torch.testing.assert_close(h_BD, h_BLD[:, t], **EXACT)
    with pytest.raises(ValueError, match="times of more than 7 events"):
        recommender.step(batch.items_BL[:, -1], state, batch.times_BL[:, -1])


def test_without_times_a_history_may_outgrow_the_window() -> None:
    recommender = model()
    state = recommender.init_state(2)
    for _ in range(2 * LENGTH):
        h_BD, state = recommender.step(torch.tensor([1, 2]), state)
    assert h_BD.isfinite().all()


def test_the_step_widths_start_where_mamba_2_draws_them() -> None:
    torch.manual_seed(0)
    encoder = TiM4Rec(TiM4RecSettings(width=512, heads=512), 19, LENGTH)
    block = encoder.layers[0].ssd
    widths, decays = F.softplus(block.dt_bias), block.A_log.exp()
    assert 1e-3 <= widths.min() < 2e-3 and 0.09 < widths.max() <= 0.1 + 1e-6
    assert 1 <= decays.min() < 1.5 and 15.5 < decays.max() <= 16
    taps = block.conv1d.weight
    assert taps.std().item() == pytest.approx((2 / (taps.shape[0] * 4)) ** 0.5, rel=0.05)
    assert block.in_proj.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide expand times width \(128\)"):
        TiM4RecSettings(heads=3)
