"""Causal attention in blocks against the whole square, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srbench.models.attention import ROWS, causal_attention
from srbench.models.layers import Dropout

EXACT = {"rtol": 0.0, "atol": 1e-12}


def heads(length: int) -> list[Tensor]:
    torch.manual_seed(length)
    return [torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def obvious(q: Tensor, k: Tensor, v: Tensor, factor_LL: Tensor) -> Tensor:
    length, channels = q.shape[-2:]
    past_LL = torch.ones(length, length, dtype=torch.bool).tril()
    scores = (q @ k.transpose(-1, -2) / channels**0.5).masked_fill(~past_LL, -torch.inf)
    return (scores.softmax(-1) * factor_LL) @ v


class Fixed(Dropout):
    """Keeps and drops by the place alone, so that blocks and the square see the same."""

    def __init__(self, factor_LL: Tensor) -> None:
        super().__init__(0.5)
        self.factor_LL, self.done = factor_LL, 0

    def factor(self, x: Tensor) -> Tensor:
        start, self.done = self.done, self.done + x.shape[1]
        return self.factor_LL[start : self.done, : x.shape[2]].expand_as(x)


@pytest.mark.parametrize("length", [1, 5, ROWS, ROWS + 1, 2 * ROWS + 7])
def test_blocks_are_the_square_with_its_gradients(length: int) -> None:
    q, k, v = heads(length)
    factor_LL = (torch.rand(length, length) < 0.5).double() * 2
    expected = obvious(q, k, v, factor_LL)
    y = causal_attention(q, k, v, Fixed(factor_LL))
    torch.testing.assert_close(y, expected, **EXACT)
    dy = torch.randn_like(y)
    theirs = torch.autograd.grad(expected, (q, k, v), dy)
    for ours, their in zip(torch.autograd.grad(y, (q, k, v), dy), theirs, strict=True):
        torch.testing.assert_close(ours, their, **EXACT)


@pytest.mark.parametrize("training", [True, False])
def test_without_dropout_it_is_plain_attention(training: bool) -> None:
    q, k, v = heads(9)
    dropout = Dropout(0.0 if training else 0.5).train(training)
    expected = obvious(q, k, v, torch.ones(9, 9, dtype=torch.float64))
    torch.testing.assert_close(causal_attention(q, k, v, dropout), expected, **EXACT)


def test_dropout_keeps_the_mean_and_comes_back_with_its_seed() -> None:
    ones = torch.ones(64, 4, 20, 8)
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        drawn.append(causal_attention(ones, ones, ones, Dropout(0.25)))
    assert torch.equal(drawn[0], drawn[1])
    assert drawn[0].std() > 0.1
    assert drawn[0].mean().item() == pytest.approx(1.0, abs=0.01)
