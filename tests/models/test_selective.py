"""The selective scan against the recurrence as it is written, gradients too."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from srbench.models import selective
from srbench.models.selective import (
    fused_selective_scan,
    kernel_of,
    selective_scan,
    selective_step,
    sequential_selective_scan,
)

EXACT = {"rtol": 1e-11, "atol": 1e-10}


def inputs(length: int, batch: int = 3, width: int = 5, states: int = 4) -> list[Tensor]:
    """u, delta, A, B, C in float64; some decays all but vanish, some all but stay."""
    u, b, c = (torch.randn(length, batch, n).double() for n in (width, states, states))
    delta = torch.rand(length, batch, width).double() * 10 ** torch.randint(-3, 2, (width,))
    a = -torch.arange(1.0, states + 1).double().expand(width, -1) * torch.rand(width, 1)
    return [x.clone().requires_grad_() for x in (u, delta, a, b, c)]


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 30), seed=st.integers(0, 99))
def test_scan_and_gradients_are_those_of_the_recurrence(length: int, seed: int) -> None:
    torch.manual_seed(seed)
    given_ = inputs(length)
    results = [scan(*given_) for scan in (selective_scan, sequential_selective_scan)]
    dy, ds = (torch.randn_like(x) for x in results[0])
    gradients = [torch.autograd.grad((y * dy).sum() + (s * ds).sum(), given_) for y, s in results]
    for ours, theirs in zip(
        (*results[0], *gradients[0]), (*results[1], *gradients[1]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, **EXACT)


@pytest.mark.parametrize("which", [0, 1])
def test_either_result_alone_has_its_gradients(which: int) -> None:
    torch.manual_seed(0)
    given_ = inputs(7)
    ours, theirs = (
        torch.autograd.grad(scan(*given_)[which].sum(), given_, allow_unused=True)
        for scan in (selective_scan, sequential_selective_scan)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, **EXACT)


def test_numerical_gradients() -> None:
    torch.manual_seed(0)
    u, delta, a, b, c = inputs(5, batch=2, width=2, states=3)
    delta = (delta.detach() * 0.01).requires_grad_()
    assert torch.autograd.gradcheck(selective_scan, (u, delta, a, b, c))


def test_the_states_of_a_batch_are_never_there_at_once() -> None:
    """What is kept for the backward pass beside the inputs: a mark at every root of L events."""
    length, batch, width, states = 100, 2, 16, 32
    given_ = inputs(length, batch, width, states)
    sizes: list[int] = []

    def note(x: Tensor) -> Tensor:
        sizes.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        selective_scan(*given_)
    one = batch * width * states
    assert sizes[-1] == 10 * one  # of 100
    assert sum(sizes) < length * one / 3


def test_without_gradients_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    forward = selective._SelectiveScan.forward

    def watched(ctx: Any, *args: Tensor) -> Any:
        result = forward(ctx, *args)
        kept.append(ctx.to_save[-1].numel())
        return result

    monkeypatch.setattr(selective._SelectiveScan, "forward", staticmethod(watched))
    given_ = inputs(9)
    with torch.no_grad():
        selective_scan(*given_)
    selective_scan(*given_)
    assert kept[0] == 0 < kept[1]


def test_half_precision_computes_in_single() -> None:
    torch.manual_seed(0)
    u, delta, a, b, c = (x.detach().float() for x in inputs(6))
    y, s = selective_scan(u.bfloat16(), delta, a, b, c)
    assert y.dtype == s.dtype == torch.float32
    expected, _ = selective_scan(u.bfloat16().float(), delta, a, b, c)
    assert torch.equal(y, expected)


def test_a_decay_to_nothing_is_no_nan() -> None:
    u, delta, a, b, c = (x.detach().float() for x in inputs(20))
    given_ = [x.requires_grad_() for x in (u, delta * 1e4, a * 1e4, b, c)]
    y, _ = selective_scan(*given_)
    assert all(x.isfinite().all() for x in torch.autograd.grad(y.sum(), given_))


# ---------------------------------------------------------------- the kernel of another package


@pytest.fixture
def mamba_ssm(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A stand-in for the package, in its layout; says with what shapes it was called."""
    calls: list[tuple[int, ...]] = []

    def selective_scan_fn(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, return_last_state: bool
    ) -> tuple[Tensor, Tensor]:
        assert return_last_state
        calls.append(tuple(u.shape))
        s, ys = torch.zeros(len(u), *A.shape, dtype=u.dtype), []
        for t in range(u.shape[-1]):
            fresh = (delta[..., t] * u[..., t])[..., None] * B[:, None, :, t]
            s = torch.exp(delta[..., t, None] * A) * s + fresh
            ys.append(torch.einsum("ben,bn->be", s, C[..., t]))
        return torch.stack(ys, -1), s

    interface = SimpleNamespace(selective_scan_fn=selective_scan_fn)
    for name, module in {
        "mamba_ssm": SimpleNamespace(__spec__=object()),
        "mamba_ssm.ops": SimpleNamespace(),
        "mamba_ssm.ops.selective_scan_interface": interface,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    return calls


def test_the_other_kernel_gives_the_same(mamba_ssm: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    given_ = inputs(6)
    for ours, theirs in zip(selective_scan(*given_), fused_selective_scan(*given_), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    assert mamba_ssm == [(3, 5, 6)]


def test_the_other_kernel_runs_on_a_gpu_where_it_is_installed(
    mamba_ssm: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert kernel_of("auto", gpu) == "mamba-ssm"
    assert kernel_of("auto", cpu) == "torch"
    assert kernel_of("torch", gpu) == "torch"
    assert kernel_of("mamba-ssm", gpu) == "mamba-ssm"
    monkeypatch.setattr(selective, "has_mamba_ssm", lambda: False)
    assert kernel_of("auto", gpu) == "torch"


def test_a_step_is_one_event_of_the_scan() -> None:
    torch.manual_seed(0)
    u, delta, a, b, c = inputs(4)
    y, s = selective_scan(u, delta, a, b, c)
    _, before = selective_scan(u[:3], delta[:3], a, b[:3], c[:3])
    ours, after = selective_step(before, u[3], delta[3], a, b[3], c[3])
    torch.testing.assert_close(ours, y[3], **EXACT)
    torch.testing.assert_close(after, s, **EXACT)
