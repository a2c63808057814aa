"""What is special about the light gated recurrence."""

from __future__ import annotations

import pytest
import torch

from srbench.models.base import Batch
from srbench.models.sligru4rec import LightGRU, SLiGRU4Rec, SLiGRU4RecSettings


def test_a_state_by_hand() -> None:
    """h' = z h + (1 - z) relu(a), with a and k normalised together before and after the sum."""
    layer = LightGRU(1, SLiGRU4RecSettings(hidden=1)).double()
    with torch.no_grad():
        layer.w.weight.copy_(torch.tensor([[2.0], [0.0]]))  # normalised: 1, -1
        layer.u.weight.copy_(torch.tensor([[0.0], [3.0]]))  # normalised: -1, 1
        layer.norm.bias.copy_(torch.tensor([0.5, 0.0]))
        state = layer.cell(
            layer.inputs(torch.ones(1, 1).double()), torch.full((1, 1), 4.0).double()
        )
    # a = 1 + 0.5 - 1 = 0.5 and k = -1 + 1 = 0, so z = 1/2
    assert state.item() == pytest.approx(0.5 * 4 + 0.5 * 0.5, rel=1e-4)


@pytest.mark.parametrize(("cell", "same"), [("sligru", True), ("ligru", False)])
def test_only_the_stabilised_cell_ignores_the_size_of_its_recurrent_matrix(
    cell: str, same: bool
) -> None:
    torch.manual_seed(0)
    layer = LightGRU(4, SLiGRU4RecSettings(hidden=6, cell=cell)).double()
    x_LBD = torch.randn(50, 3, 4, dtype=torch.float64)
    start = torch.rand(3, 6, dtype=torch.float64)
    before = layer(x_LBD, start)
    layer.u.weight.data *= 20
    assert torch.allclose(layer(x_LBD, start), before, rtol=1e-3, atol=1e-3) == same


@pytest.mark.parametrize("cell", ["sligru", "ligru"])
def test_training_sees_neither_later_events_nor_pads_nor_other_users(cell: str) -> None:
    """With a batch norm it would: its statistics are those of the whole batch."""
    torch.manual_seed(0)
    model = SLiGRU4Rec(SLiGRU4RecSettings(width=4, hidden=6, dropout=0, cell=cell), 9, 7)
    model.double().train()
    x_BLD = torch.randn(3, 7, 4, dtype=torch.float64)
    batch = Batch(torch.ones(3, 7, dtype=torch.int64), torch.tensor([7, 4, 7]))
    before = model.prefixes(x_BLD, batch)
    other = x_BLD.clone()
    other[1, 4:] = 100  # pads, and with them all that is later
    other[2] = -7  # another user
    after = model.prefixes(other, batch)
    assert torch.equal(after[0], before[0]) and torch.equal(after[1, :4], before[1, :4])
    assert not torch.allclose(after[2], before[2])


def test_initialisation_is_that_of_speechbrain() -> None:
    torch.manual_seed(0)
    layer = LightGRU(64, SLiGRU4RecSettings(hidden=32, affine=True))
    u_GH, w_GD = layer.u.weight, layer.w.weight
    torch.testing.assert_close(u_GH.t() @ u_GH, torch.eye(32), rtol=0, atol=1e-5)
    assert w_GD.abs().max().item() == pytest.approx(64**-0.5, rel=0.01)
    for norm in (layer.norm, layer.recurrent_norm):
        assert torch.equal(norm.weight, torch.ones(64))
        assert torch.equal(norm.bias, torch.zeros(64))


def test_a_scale_without_its_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="affine has no effect with cell = ligru"):
        SLiGRU4RecSettings(cell="ligru", affine=True)
