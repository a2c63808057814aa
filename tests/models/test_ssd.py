"""State-space duality against the recurrence as it is written, gradients too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from srbench.models.ssd import sequential_ssd, ssd

EXACT = {"rtol": 1e-11, "atol": 1e-10}


def inputs(length: int, users: int = 2, heads: int = 4, groups: int = 2) -> list[Tensor]:
    """x, dt, A, B, C in float64; some decays all but vanish, some all but stay."""
    x = torch.randn(length, users, heads, 3).double()
    dt = torch.rand(length, users, heads).double() * 10 ** torch.randint(-3, 2, (heads,))
    b, c = (torch.randn(length, users, groups, 5).double() for _ in range(2))
    return [z.requires_grad_() for z in (x, dt, -torch.rand(heads).double(), b, c)]


@settings(max_examples=10, deadline=None)
@given(
    length=st.integers(1, 20),
    chunk=st.integers(1, 25),
    groups=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 99),
)
def test_products_and_gradients_are_those_of_the_recurrence(
    length: int, chunk: int, groups: int, seed: int
) -> None:
    torch.manual_seed(seed)
    given_ = inputs(length, groups=groups)
    results = [ssd(*given_, chunk), sequential_ssd(*given_)]  # type: ignore[arg-type]
    dy, ds = (torch.randn_like(z) for z in results[0])
    gradients = [torch.autograd.grad((y * dy).sum() + (s * ds).sum(), given_) for y, s in results]
    for ours, theirs in zip(
        (*results[0], *gradients[0]), (*results[1], *gradients[1]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("factor", [0.0, 1e5])
def test_no_decay_and_total_decay_are_no_nan(factor: float) -> None:
    torch.manual_seed(0)
    x, dt, a, b, c = (z.detach().float() for z in inputs(40))
    given_ = [z.requires_grad_() for z in (x, dt, a * factor, b, c)]
    y, s = ssd(*given_)
    gradients = torch.autograd.grad(y.sum() + s.sum(), given_)
    assert all(z.isfinite().all() for z in (y, s, *gradients))
