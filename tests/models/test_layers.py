"""Each fast part against the obvious one, gradients too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from srbench.models.layers import (
    GRU,
    Dropout,
    _GRUScan,
    causal_linear_attention,
    shift,
    split_heads,
    unit_elu,
)

EXACT = {"rtol": 0.0, "atol": 1e-12}


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("layers", [1, 3])
def test_gru_is_torchs_gru_with_its_gradients(layers: int) -> None:
    torch.manual_seed(0)
    ours = GRU(6, 5, layers).double()
    theirs = nn.GRU(6, 5, layers, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    x, dy = double(7, 3, 6), torch.randn(7, 3, 5, dtype=torch.float64)
    y = ours(x)
    (ours_x,) = torch.autograd.grad((y * dy).sum(), x, retain_graph=True)
    (y * dy).sum().backward()
    expected, _ = theirs(x.detach().requires_grad_())
    x2 = x.detach().requires_grad_()
    expected, _ = theirs(x2)
    (expected * dy).sum().backward()
    torch.testing.assert_close(y, expected, **EXACT)
    torch.testing.assert_close(ours_x, x2.grad, **EXACT)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, **EXACT)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_a_cell_is_an_event_of_the_gru_with_gradients_and_without(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    gru = GRU(6, 5).double()
    x, h = double(*shape, 6), double(*shape, 5)
    expected, _ = gru.layer(x.view(1, -1, 6), 0, h.view(-1, 5))
    torch.testing.assert_close(gru.cell(x, h, 0), expected.view_as(h), **EXACT)
    with torch.no_grad():
        torch.testing.assert_close(gru.cell(x, h, 0), expected.view_as(h), **EXACT)


def test_the_scan_has_the_gradients_of_both_its_results() -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(_GRUScan.apply, (double(4, 2, 15), double(15, 5), double(2, 5)))


def test_only_the_recurrent_part_is_asked_for() -> None:
    torch.manual_seed(0)
    g, w, h = double(4, 2, 15), double(15, 5), double(2, 5)
    _, a = _GRUScan.apply(g, w, h)
    a.sum().backward()
    states = [h]
    for t in range(4):
        r, z = (g[t, :, :10] + (states[-1] @ w.t())[:, :10]).sigmoid().chunk(2, 1)
        n = torch.tanh(g[t, :, 10:] + r * (states[-1] @ w.t())[:, 10:])
        states.append((1 - z) * n + z * states[-1])
    expected = torch.autograd.grad(sum((s @ w.t()).sum() for s in states[:-1]), (g, w, h))
    for ours, theirs in zip((g.grad, w.grad, h.grad), expected, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_a_cell_is_one_step_of_the_scan() -> None:
    torch.manual_seed(0)
    gru = GRU(4, 5).double()
    x, h = double(1, 3, 4), double(3, 5)
    states, recurrent = gru.layer(x, 0, h)
    torch.testing.assert_close(gru.cell(x[0], h, 0), states[0], **EXACT)
    torch.testing.assert_close(gru.cell(x[0], h, 0, recurrent[0]), states[0], **EXACT)


@given(length=st.integers(1, 20), chunk=st.integers(1, 25), seed=st.integers(0, 99))
def test_causal_linear_attention_is_the_lower_triangle(length: int, chunk: int, seed: int) -> None:
    torch.manual_seed(seed)
    q, k, v = (double(2, 3, length, 4) for _ in range(3))
    fast = causal_linear_attention(q, k, v, chunk)
    slow = (q @ k.transpose(-1, -2)).tril() @ v
    torch.testing.assert_close(fast, slow, **EXACT)
    dy = torch.randn_like(fast)
    ours = torch.autograd.grad((fast * dy).sum(), (q, k, v))
    theirs = torch.autograd.grad((slow * dy).sum(), (q, k, v))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (0, [1.0, 2.0, 3.0]),
        (1, [0.0, 1.0, 2.0]),
        (2, [0.0, 0.0, 1.0]),
        (3, [0.0, 0.0, 0.0]),
        (4, [0.0, 0.0, 0.0]),
    ],
)
def test_shift(by: int, expected: list[float]) -> None:
    assert shift(torch.tensor([1.0, 2.0, 3.0])[:, None, None], by).flatten().tolist() == expected


def test_heads_are_neighbouring_channels() -> None:
    x_LBD = torch.arange(12.0).view(3, 1, 4)
    assert split_heads(x_LBD, 2)[0].tolist() == [
        [[0.0, 1.0], [4.0, 5.0], [8.0, 9.0]],
        [[2.0, 3.0], [6.0, 7.0], [10.0, 11.0]],
    ]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_dropout_drops_so_many_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(400_003)  # not a multiple of four
    y = Dropout(rate).train()(x)
    values, counts = y.unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-4)
    assert counts[0].item() / len(x) == pytest.approx(rate, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)


def test_dropout_has_the_gradient_of_what_it_did_and_comes_back_with_its_seed() -> None:
    dropout = Dropout(0.4).train()
    x = torch.rand(50, 7, requires_grad=True)
    torch.manual_seed(1)
    y = dropout(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), y)
    assert not torch.equal(dropout(x), y)


def test_no_dropout_without_a_rate_or_without_training() -> None:
    x = torch.rand(5)
    assert Dropout(0.0).train()(x) is x
    assert Dropout(0.5).eval()(x) is x


def test_dropout_of_neighbours_is_independent() -> None:
    torch.manual_seed(0)
    kept = Dropout(0.5).train()(torch.ones(200_000)) > 0
    for lag in (1, 2, 3, 4):
        both = (kept[lag:] & kept[:-lag]).float().mean().item()
        assert both == pytest.approx(0.25, abs=0.01)


def test_a_cell_has_the_gradients_of_its_equations() -> None:
    torch.manual_seed(0)
    gru = GRU(3, 4).double()
    x_LBD, h_LBD, a_LBG = double(5, 2, 3), double(5, 2, 4), double(5, 2, 12)
    assert torch.autograd.gradcheck(lambda x, h: gru.cell(x, h, 0), (x_LBD, h_LBD))
    assert torch.autograd.gradcheck(lambda x, h, a: gru.cell(x, h, 0, a), (x_LBD, h_LBD, a_LBG))


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_unit_elu_is_elu_of_unit_length_with_its_gradient(factor: float) -> None:
    torch.manual_seed(0)
    x_LBD = (torch.randn(5, 2, 6, dtype=torch.float64) * 2).requires_grad_()
    heads = F.normalize(F.elu(x_LBD).unflatten(-1, (3, 2)), dim=-1) * factor
    y_LBD = unit_elu(x_LBD, 3, factor)
    torch.testing.assert_close(y_LBD, heads.flatten(-2), **EXACT)
    dy_LBD = torch.randn_like(y_LBD)
    (expected,) = torch.autograd.grad(heads.flatten(-2), x_LBD, dy_LBD)
    torch.testing.assert_close(torch.autograd.grad(y_LBD, x_LBD, dy_LBD)[0], expected, **EXACT)


def test_unit_elu_of_nothing_is_nothing() -> None:
    assert unit_elu(torch.zeros(2, 4), 2).tolist() == [[0.0] * 4] * 2
