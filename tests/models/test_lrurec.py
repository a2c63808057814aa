"""LRURec: how its decays begin, and the item bias that lives in the table."""

from __future__ import annotations

import math

import pytest
import torch

from srbench.models.base import Batch
from srbench.models.lrurec import LRURec, LRURecSettings
from srbench.recommender import Recommender


def recommender(width: int = 64, n_items: int = 999) -> Recommender:
    torch.manual_seed(0)
    return Recommender(LRURec, LRURecSettings(width=width), n_items, 50)


def test_weights_begin_as_a_truncated_normal_biases_too() -> None:
    model = recommender()
    block = model.encoder.blocks[0]
    inside = 0.02 * 0.8796  # of a normal cut at two standard deviations
    for weight in (model.table.weight, block.in_proj.weight, block.ffn.dense_1.bias):
        assert weight.abs().max().item() <= 0.04
        assert weight.std().item() == pytest.approx(inside, rel=0.1)
    assert model.encoder.norm.weight.tolist() == [1.0] * 64


def test_decays_begin_between_two_circles_at_any_angle_and_keep_the_variance() -> None:
    block = recommender(width=2000).encoder.blocks[1]
    decay_C = block.decay_C()
    assert decay_C.shape == (4000,)
    assert 0.8 <= decay_C.abs().min() < 0.801
    assert 0.989 < decay_C.abs().max() <= 0.9901
    assert decay_C.abs().square().mean().item() == pytest.approx((0.64 + 0.9801) / 2, rel=0.01)
    theta_C = block.params_log[1].exp()
    assert theta_C.mean().item() == pytest.approx(math.pi, rel=0.03)
    assert 2 * math.pi * 0.999 < theta_C.max() <= 2 * math.pi + 1e-5
    gamma_C = block.params_log[2].exp()
    torch.testing.assert_close(gamma_C.square() + decay_C.abs().square(), torch.ones(4000))


def test_no_parameter_makes_a_state_grow() -> None:
    block = recommender(width=2).encoder.blocks[0]
    with torch.no_grad():
        block.params_log.copy_(torch.tensor([-30.0, -2.0, 0.0, 30.0]).expand(3, 4))
    assert block.decay_C().abs().max() <= 1
    assert block.decay_C().abs().min() == 0


def test_the_last_column_of_the_table_is_added_to_scores_and_seen_nowhere_else() -> None:
    model = recommender(width=8, n_items=5).eval()
    batch = Batch(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
    before = model.score(model.represent(batch))
    with torch.no_grad():
        model.table.weight[:, -1] += torch.arange(6.0)
    after = model.score(model.represent(batch))
    torch.testing.assert_close(after - before, torch.arange(1.0, 6.0)[None])
