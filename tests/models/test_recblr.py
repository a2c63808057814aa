"""RecBLR: where its recurrence starts, and what settings it cannot have."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from srbench.models.base import Batch
from srbench.models.recblr import Block, RecBLR, RecBLRSettings
from srbench.models.recblr_official import RecBLROfficial
from srbench.recommender import Recommender


def test_weights_begin_as_in_the_reference() -> None:
    torch.manual_seed(0)
    recommender = Recommender(RecBLR, RecBLRSettings(), 999, 50)
    block = recommender.encoder.blocks[0]
    for weight in (recommender.table.weight, block.in_proj.weight, block.gates.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert block.gates.bias.tolist() == [0.0] * 256
    for drawn in (block.conv1d.weight, block.conv1d.bias):  # uniform, 1 / sqrt(taps)
        assert 0.48 < drawn.abs().max().item() <= 0.5
    whole = torch.exp(-torch.nn.functional.softplus(block.Lambda))  # decays where r = 1
    assert whole[0].item() == pytest.approx(0.9) and whole[-1].item() == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("length", "rows"), [(1, 0), (2, 0), (3, 1), (7, 1), (8, 0), (9, 7), (200, 56)]
)
def test_the_published_code_fills_windows_up_to_a_power_of_two(length: int, rows: int) -> None:
    model = RecBLROfficial(RecBLRSettings(width=4), 9, length)
    assert [block.warm_up for block in model.blocks] == [rows, rows]


def test_the_start_of_the_published_code_is_a_geometric_sum() -> None:
    torch.manual_seed(0)
    block = Block(RecBLRSettings(width=4), warm_up=56).double()
    a_C, b_C = block.event(torch.nn.functional.silu(block.bias_C))
    torch.testing.assert_close(block.start_C(), b_C * (1 - a_C**56) / (1 - a_C), rtol=0, atol=1e-12)


def test_the_two_agree_where_a_window_is_a_power_of_two_and_only_there() -> None:
    batch = Batch(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
    same = []
    for length in (8, 9):
        torch.manual_seed(0)
        paper = Recommender(RecBLR, RecBLRSettings(width=4), 9, length).eval()
        code = Recommender(RecBLROfficial, RecBLRSettings(width=4), 9, length).eval()
        code.load_state_dict(paper.state_dict())
        same.append(torch.equal(paper.represent(batch), code.represent(batch)))
    assert same == [True, False]


def test_gradients_stay_finite_where_an_event_is_all_memory() -> None:
    block = Block(RecBLRSettings(width=4), warm_up=0)
    with torch.no_grad():
        block.Lambda.fill_(-40.0)  # a is 1 in float32
    a_LBC, b_LBC = block.event(torch.randn(5, 2, 8))
    assert a_LBC.min() == 1
    (a_LBC.sum() + b_LBC.sum()).backward()
    assert block.Lambda.grad is not None and block.Lambda.grad.isfinite().all()


def test_a_recurrence_without_channels_is_refused() -> None:
    assert RecBLRSettings(width=5, expand=0.5).channels == 2
    with pytest.raises(ValidationError, match=r"expand \(0.1\) leaves no channel of width \(8\)"):
        RecBLRSettings(width=8, expand=0.1)
