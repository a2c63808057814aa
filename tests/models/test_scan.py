"""The fast linear recurrence, event by event and in chunks, against the obvious one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from srbench.models import scan as module
from srbench.models.scan import linear_scan, sequential_scan

TOLERANCE = {torch.float32: 2e-5, torch.complex64: 2e-5}
ROUNDING = {"rtol": 0.0, "atol": 1e-13}  # chunks add in another order
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


@pytest.fixture(params=["events", "chunks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing it, whatever the size."""
    force(monkeypatch, request.param)
    return request.param


def force(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(module, "FEW_CPU", 10**9 if way == "chunks" else 0)
    monkeypatch.setattr(module, "SHORT", 1)


def decays(
    shape: tuple[int, ...], dtype: torch.dtype, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Numbers of modulus low..high; complex ones at any angle."""
    modulus = torch.empty(shape, dtype=torch.float64).uniform_(low, high)
    if dtype.is_complex:
        modulus = torch.polar(modulus, torch.empty_like(modulus).uniform_(-3.1, 3.1))
    return modulus.to(dtype)


def run(scan: Callable[..., Tensor], a: Tensor, b: Tensor, h0: Tensor | None) -> list[Tensor]:
    """States and the gradients of a, b and h0, for a fixed random gradient of the states."""
    leaves = [x.detach().clone().requires_grad_() for x in (a, b, h0) if x is not None]
    h = scan(*leaves)
    torch.manual_seed(5)
    h.backward(torch.randn_like(h))
    return [h.detach(), *(leaf.grad for leaf in leaves)]


def compare(a: Tensor, b: Tensor, h0: Tensor | None = None) -> None:
    atol = TOLERANCE.get(b.dtype, 1e-10)
    for ours, obvious in zip(
        run(linear_scan, a, b, h0), run(sequential_scan, a, b, h0), strict=True
    ):
        assert ours.dtype == obvious.dtype
        torch.testing.assert_close(ours, obvious, rtol=atol, atol=atol)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_h0", [False, True])
@pytest.mark.parametrize(
    "shape_a", [(9, 3, 4), (9, 1, 4), (9, 3, 1), (1, 1, 4), (1, 3, 4), (4,), ()], ids=str
)
def test_states_and_gradients(dtype: torch.dtype, with_h0: bool, shape_a: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    h0 = torch.randn(3, 4, dtype=dtype) if with_h0 else None
    compare(decays(shape_a, dtype), torch.randn(9, 3, 4, dtype=dtype), h0)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    length=st.integers(1, 20),
    kept=st.lists(st.booleans(), min_size=5, max_size=5),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    way=st.sampled_from(["events", "chunks"]),
    seed=st.integers(0, 2**31),
)
def test_any_shape(
    shape: list[int], length: int, kept: list[bool], dtype: torch.dtype, way: str, seed: int
) -> None:
    torch.manual_seed(seed)
    full = (length, *shape)
    shape_a = tuple(n if keep else 1 for n, keep in zip(full, kept, strict=False))
    b, h0 = torch.randn(full, dtype=dtype), torch.randn(shape, dtype=dtype)
    with pytest.MonkeyPatch.context() as monkeypatch:
        force(monkeypatch, way)
        compare(decays(shape_a, dtype), b, h0)


@pytest.mark.usefixtures("way")
def test_three_events_by_hand() -> None:
    h = linear_scan(torch.tensor([9.0, 2.0, -1.0]), torch.tensor([1.0, 10.0, 100.0]))
    assert h.tolist() == [1.0, 12.0, 88.0]
    h = linear_scan(torch.tensor([9.0, 2.0]), torch.tensor([1.0, 10.0]), torch.tensor(0.5))
    assert h.tolist() == [5.5, 21.0]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1e-6), (1 - 1e-9, 1.0), (0.0, 0.0), (1.0, 1.0)])
def test_a_long_history_with_decays_at_the_ends_of_their_range(
    dtype: torch.dtype, low: float, high: float
) -> None:
    torch.manual_seed(0)
    compare(decays((600, 2, 3), dtype, low, high), torch.randn(600, 2, 3, dtype=dtype))


@pytest.mark.usefixtures("way")
def test_a_decay_of_one_sums_and_a_decay_of_zero_forgets() -> None:
    b = torch.randint(-9, 9, (500, 2, 3)).double()
    assert torch.equal(linear_scan(torch.ones(500, 2, 3).double(), b), b.cumsum(0))
    assert torch.equal(linear_scan(torch.zeros(500, 2, 3).double(), b), b)


@pytest.mark.usefixtures("way")
def test_an_event_can_forget_all_before_it() -> None:
    torch.manual_seed(0)
    a, b = decays((8, 2, 3), torch.float64), torch.randn(8, 2, 3).double()
    a[4] = 0
    torch.testing.assert_close(linear_scan(a, b)[4:], linear_scan(a[4:], b[4:]), **ROUNDING)


def test_float32_stays_close_over_thousands_of_events() -> None:
    torch.manual_seed(0)
    a, b = decays((4_000, 1, 4), torch.float64, 0.9, 0.999), torch.randn(4_000, 1, 4).double()
    exact, ours = linear_scan(a, b), linear_scan(a.float(), b.float())
    assert torch.isfinite(ours).all()
    assert (ours.double() - exact).abs().max() < 1e-4 * exact.abs().max()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_gradients_against_finite_differences(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    a = decays((4, 2, 1), dtype).requires_grad_()
    b, h0 = (torch.randn(s, dtype=dtype, requires_grad=True) for s in ((4, 2, 3), (2, 3)))
    assert torch.autograd.gradcheck(linear_scan, (a, b, h0))


@pytest.mark.usefixtures("way")
def test_a_state_carried_over_continues_the_history() -> None:
    torch.manual_seed(0)
    a, b = decays((10, 2, 3), torch.complex128), torch.randn(10, 2, 3, dtype=torch.complex128)
    first = linear_scan(a[:6], b[:6])
    second = linear_scan(a[6:], b[6:], first[-1])
    torch.testing.assert_close(torch.cat([first, second]), linear_scan(a, b), **ROUNDING)


@pytest.mark.usefixtures("way")
def test_mixed_types_compute_in_the_widest_and_bfloat16_in_float32() -> None:
    torch.manual_seed(0)
    real = decays((5, 1, 3), torch.float64)
    b = torch.randn(5, 2, 3, dtype=torch.complex64)
    compare(real, b.to(torch.complex128))
    assert linear_scan(real, b).dtype == torch.complex128
    assert linear_scan(real.bfloat16(), b.real.bfloat16()).dtype == torch.float32


@pytest.mark.usefixtures("way")
def test_time_need_not_be_outermost_in_memory() -> None:
    torch.manual_seed(0)
    a, b = (torch.rand(3, 7, 4).double().transpose(0, 1) for _ in range(2))
    torch.testing.assert_close(linear_scan(a, b), sequential_scan(a, b), **ROUNDING)


@pytest.mark.usefixtures("way")
def test_constant_decays_get_no_gradient() -> None:
    b = torch.randn(5, 2).double().requires_grad_()
    linear_scan(torch.full((5, 2), 0.5).double(), b).sum().backward()
    expected = [sum(0.5**k for k in range(5 - t)) for t in range(5)]
    assert b.grad is not None and b.grad[:, 0].tolist() == expected
