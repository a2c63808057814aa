"""Causal LinRec against its equations, event by event."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.linrec import Block, LinRec, LinRecSettings


def attended(block: Block, x_LD: Tensor, keys: str) -> Tensor:
    """y of one history, one head, by its equations."""
    q, k, v = (F.elu(block.query(x_LD)), F.elu(block.key(x_LD)), block.value(x_LD))
    rows = []
    for t in range(len(x_LD)):
        past = k[: t + 1]
        past = past / past.norm(dim=1 if keys == "event" else 0, keepdim=True)
        rows.append((q[t] / q[t].norm()) @ (past.t() @ v[: t + 1]) / len(x_LD[0]) ** 0.5)
    return torch.stack(rows)


@pytest.mark.parametrize("keys", ["event", "history"])
def test_attention_is_its_equations_with_gradients(keys: Literal["event", "history"]) -> None:
    torch.manual_seed(0)
    block = Block(LinRecSettings(width=5, heads=1, inner=6, keys=keys)).double().eval()
    read: list[Tensor] = []
    block.dense.register_forward_hook(lambda _module, inputs, _y: read.append(inputs[0]))
    x_BLD = torch.randn(2, 41, 5, dtype=torch.float64, requires_grad=True)
    dy_BLD = torch.randn_like(x_BLD)
    block(x_BLD)
    expected = torch.stack([attended(block, x_LD, keys) for x_LD in x_BLD])
    torch.testing.assert_close(read[0], expected, rtol=0, atol=1e-12)
    wanted = (x_BLD, block.query.weight, block.key.weight, block.value.weight)
    ours = torch.autograd.grad((read[0] * dy_BLD).sum(), wanted)
    theirs = torch.autograd.grad((expected * dy_BLD).sum(), wanted)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("keys", ["event", "history"])
@torch.no_grad()
def test_a_thousand_events_in_float32(keys: Literal["event", "history"]) -> None:
    """Running sums over a long history keep the digits that float32 has."""
    torch.manual_seed(0)
    encoder = LinRec(LinRecSettings(width=32, heads=4, inner=64, keys=keys), 9, 1000).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x_BLD = torch.randn(2, 1000, 32)
    batch = Batch(torch.ones(2, 1000).long(), torch.full((2,), 1000))
    single = encoder.prefixes(x_BLD, batch)
    exact = encoder.double().prefixes(x_BLD.double(), batch)
    assert float((single - exact).abs().max()) < 2e-4 * float(exact.abs().max())


def test_a_history_of_nothing_gives_numbers_and_gradients() -> None:
    block = Block(LinRecSettings(width=4, heads=2, inner=4, keys="history"))
    for linear in (block.query, block.key, block.value):
        torch.nn.init.zeros_(linear.bias)
    x_BLD = torch.zeros(1, 3, 4, requires_grad=True)
    y_BLD = block(x_BLD)
    y_BLD.sum().backward()
    assert bool(y_BLD.isfinite().all())
    assert x_BLD.grad is not None and bool(x_BLD.grad.isfinite().all())
    assert block.key.weight.grad is not None and bool(block.key.weight.grad.isfinite().all())


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide width \(8\)"):
        LinRecSettings(width=8, heads=3)
