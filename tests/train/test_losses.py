"""The chunked cross-entropy against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from srbench.train.losses import cross_entropy


@given(
    count=st.integers(1, 13),
    classes=st.integers(1, 9),
    chunk=st.integers(1, 15),
    scale=st.sampled_from([0.1, 1.0, 200.0]),
    seed=st.integers(0, 999),
)
def test_loss_and_gradients_are_torchs(
    count: int, classes: int, chunk: int, scale: float, seed: int
) -> None:
    torch.manual_seed(seed)
    h_ND = (torch.randn(count, 4, dtype=torch.float64) * scale).requires_grad_()
    table_VD = torch.randn(classes, 4, dtype=torch.float64, requires_grad=True)
    targets_N = torch.randint(0, classes, (count,))
    ours = cross_entropy(h_ND, table_VD, targets_N, chunk)
    theirs = F.cross_entropy(h_ND @ table_VD.t(), targets_N)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-10)
    weight = 3.5  # the gradient that comes in is passed on
    one = torch.autograd.grad(ours * weight, (h_ND, table_VD))
    other = torch.autograd.grad(theirs * weight, (h_ND, table_VD))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_hopeless_target_has_its_exact_loss_and_not_infinity() -> None:
    h_ND = torch.tensor([[1.0]])
    table_VD = torch.tensor([[0.0], [400.0]])
    assert cross_entropy(h_ND, table_VD, torch.tensor([0])).item() == 400.0


def test_nan_stays_nan() -> None:
    loss = cross_entropy(torch.tensor([[float("nan")]]), torch.ones(2, 1), torch.tensor([0]))
    assert loss.isnan()


def test_the_gradient_ends_at_the_rows_that_are_classes() -> None:
    table = torch.randn(5, 3, requires_grad=True)
    cross_entropy(torch.randn(4, 3), table[1:], torch.tensor([0, 1, 2, 3])).backward()
    assert table.grad is not None
    assert table.grad[0].tolist() == [0.0, 0.0, 0.0]
    assert table.grad[1:].abs().sum() > 0


@pytest.mark.parametrize("count", [256, 257])
def test_float32_is_close(count: int) -> None:
    torch.manual_seed(0)
    h_ND, table_VD = torch.randn(count, 16), torch.randn(300, 16)
    targets_N = torch.randint(0, 300, (count,))
    torch.testing.assert_close(
        cross_entropy(h_ND, table_VD, targets_N),
        F.cross_entropy(h_ND @ table_VD.t(), targets_N),
        rtol=1e-5,
        atol=1e-5,
    )
