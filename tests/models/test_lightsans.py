"""LightSANs against its equations, one history and one head at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.lightsans import Block, LightSANs, LightSANsSettings

SETTINGS = LightSANsSettings(width=5, heads=1, inner=7, interests=3, layers=2)


def output(block: Block, x_LD: Tensor, places_LD: Tensor) -> Tensor:
    """The block on a history without pads, by its equations."""
    q, k, v = block.query(x_LD), block.key(x_LD), block.value(x_LD)
    few_k = (k @ block.theta_key).softmax(0).t() @ k
    few_v = (v @ block.theta_value).softmax(0).t() @ v
    p_LD = block.norm_places(places_LD[: len(x_LD)])
    places = block.query_places(p_LD) @ block.key_places(p_LD).t()
    c = (q @ few_k.t() / 5**0.5).softmax(0) @ few_v + (places / 2**0.5 / 5).softmax(0) @ v
    a = block.norm_attention(block.dense(c) + x_LD)
    ffn = block.ffn
    return ffn.norm(ffn.dense_2(F.gelu(ffn.dense_1(a))) + a)


def test_the_model_is_its_equations_with_gradients() -> None:
    torch.manual_seed(0)
    encoder = LightSANs(SETTINGS, 9, 6).double().eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    lengths = [6, 1, 4]
    x_BLD = torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
    batch = Batch(torch.ones(3, 6).long(), torch.tensor(lengths))
    rows = []
    for x_LD, length in zip(x_BLD, lengths, strict=True):
        h_LD = encoder.norm(x_LD[:length])
        for block in encoder.blocks:
            h_LD = output(block, h_LD, encoder.positions.weight)
        rows.append(h_LD[-1])
    expected, ours = torch.stack(rows), encoder(x_BLD, batch)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    dy_BD, wanted = torch.randn_like(ours), (x_BLD, *encoder.parameters())
    for one, other in zip(
        torch.autograd.grad((ours * dy_BD).sum(), wanted),
        torch.autograd.grad((expected * dy_BD).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_all_blocks_begin_with_the_same_interests() -> None:
    torch.manual_seed(0)
    first, second = LightSANs(LightSANsSettings(width=64), 9, 6).blocks
    assert torch.equal(first.theta_key, second.theta_key)
    assert torch.equal(first.theta_value, second.theta_value)
    assert not torch.equal(first.theta_key, first.theta_value)
    assert first.theta_key.std().item() == pytest.approx(1, rel=0.15)
    assert not torch.equal(first.key.weight, second.key.weight)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide width \(8\)"):
        LightSANsSettings(width=8, heads=3)
