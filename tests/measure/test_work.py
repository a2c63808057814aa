"""What is timed is what is asked for: the same numbers as the plain way, whatever the shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from srbench import registry
from srbench.contract import randomised
from srbench.errors import SrbenchError
from srbench.measure import work
from srbench.recommender import Recommender

V, L = 19, 9
STEPPING = [name for name in registry.names() if registry.get(name).has_step()]


def small(name: str, length: int = L) -> Recommender:
    """Random weights everywhere, in float64, and 19 items."""
    model = registry.get(name)
    return randomised(model, model.Settings(), length)


def test_histories_are_full_of_items_of_the_catalogue_and_go_forward_in_time() -> None:
    batch = work.histories(small("gru4rec"), 200, 7)
    assert batch.items_BL.shape == (200, 7)
    assert set(batch.items_BL.unique().tolist()) == set(range(1, V + 1))
    assert batch.lengths_B.tolist() == [7] * 200
    assert batch.times_BL is not None and batch.target_times_B is not None
    times = torch.cat([batch.times_BL, batch.target_times_B[:, None]], 1)
    assert (times.diff(dim=1) > 0).all()


def test_histories_are_the_same_for_a_seed() -> None:
    recommender = small("gru4rec")

    def items(seed: int) -> list[Any]:
        return work.histories(recommender, 3, 5, seed).items_BL.tolist()

    assert items(4) == items(4) != items(5)


def test_histories_beyond_the_length_of_the_model_are_refused() -> None:
    with pytest.raises(SrbenchError, match=r"10 events do not fit a model made for 9; make it"):
        work.histories(small("gru4rec"), 1, 10)


# ---------------------------------------------------------------- the best of the catalogue


@pytest.mark.parametrize("users", [1, 5])
@pytest.mark.parametrize("at_once", [1, 7, 35, 1000, 4096, 10**9])
def test_the_best_of_a_large_catalogue_are_those_of_a_sort(
    monkeypatch: pytest.MonkeyPatch, users: int, at_once: int
) -> None:
    monkeypatch.setattr(work, "SCORES_AT_ONCE", at_once)
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(width=4, hidden=4), 1003, L).double()
    h_BD = torch.randn(users, 4, dtype=torch.float64)
    scores_BV = recommender.score(h_BD)
    expected = scores_BV.sort(dim=1, descending=True)
    scores_BK, items_BK = work.top(recommender, h_BD, 10)
    assert torch.equal(items_BK, expected.indices[:, :10] + 1)
    torch.testing.assert_close(scores_BK, expected.values[:, :10])


@pytest.mark.parametrize("at_once", [1, 6, 64])
def test_a_catalogue_smaller_than_k_is_given_whole(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(work, "SCORES_AT_ONCE", at_once)
    recommender = small("gru4rec")
    h_BD = recommender.represent(work.histories(recommender, 2, L))
    for k in (V - 1, V, V + 5):
        _, items_BK = work.top(recommender, h_BD, k)
        assert items_BK.shape == (2, min(k, V))
        assert all(len(set(row)) == min(k, V) for row in items_BK.tolist())


def test_no_more_scores_than_allowed_are_ever_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SCORES_AT_ONCE", 30)
    recommender = small("gru4rec")
    asked: list[tuple[int, int]] = []
    whole = Recommender.score_range

    def score_range(self: Recommender, h_BD: Tensor, start: int, stop: int) -> Tensor:
        asked.append((start, stop))
        return whole(self, h_BD, start, stop)

    monkeypatch.setattr(Recommender, "score_range", score_range)
    work.top(recommender, recommender.represent(work.histories(recommender, 5, L)), 3)
    assert asked == [(0, 6), (6, 12), (12, 18), (18, 19)]


def test_equal_scores_give_different_items() -> None:
    recommender = small("gru4rec")
    _, items_BK = work.top(recommender, torch.zeros(2, recommender.encoder.width).double(), 10)
    assert all(len(set(row)) == 10 for row in items_BK.tolist())


# ---------------------------------------------------------------- pieces of a request


@pytest.mark.parametrize("name", registry.names())
@torch.no_grad()
def test_the_pieces_of_a_request_are_what_the_recommender_says(name: str) -> None:
    recommender = small(name)
    batch = work.histories(recommender, 3, L)
    h_BD = recommender.represent(batch)
    torch.testing.assert_close(work.encode(recommender, batch)(), h_BD)
    best = recommender.score(h_BD).topk(5)
    for one in (work.score(recommender, h_BD, 5), work.request(recommender, batch, 5)):
        scores_BK, items_BK = one()
        torch.testing.assert_close(scores_BK, best.values)
        torch.testing.assert_close(recommender.score(h_BD, items_BK), best.values)


@pytest.mark.parametrize("length", [1, 2, L])
@pytest.mark.parametrize("name", STEPPING)
def test_a_step_gives_what_encoding_the_whole_history_gives(name: str, length: int) -> None:
    recommender = small(name)
    batch = work.histories(recommender, 3, length, seed=5)
    one = work.step(recommender, length, 3, seed=5)
    expected = recommender.represent(batch)
    for _ in range(3):  # and again: the history does not grow
        torch.testing.assert_close(one(), expected)


def test_models_without_step_say_so() -> None:
    recommender = small("sasrec")
    with pytest.raises(NotImplementedError):
        work.step(recommender, 3)
    assert work.state_bytes(recommender) is None


def test_the_state_of_a_gru_is_its_hidden_numbers() -> None:
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(width=4, hidden=6, layers=2), V, L)
    assert work.state_bytes(recommender) == 2 * 6 * 4  # float32
    assert work.state_bytes(recommender, 8, L) == 2 * 6 * 4  # of one user, however many


def test_the_state_of_glintru_by_hand() -> None:
    model = registry.get("glintru")
    recommender = Recommender(model, model.Settings(width=8, heads=2), V, L)
    events, convolution, interior, memory = 8, 2 * 8 * 4, 8 * 4, 2 * 4 * 4 * 4
    expected = events + convolution + interior + memory
    assert [work.state_bytes(recommender, 1, n) for n in (1, 2, L)] == [expected] * 3


def test_a_model_that_keeps_nothing_has_a_state_of_nothing() -> None:
    assert work.state_bytes(small("pop")) == 0


# ---------------------------------------------------------------- how it is run


def pieces(recommender: Recommender, **how: Any) -> dict[str, Callable[[], Any]]:
    batch = work.histories(recommender, 2, L)
    h_BD = recommender.represent(batch).detach()
    precision = {name: value for name, value in how.items() if name == "precision"}
    return {
        "encode": work.encode(recommender, batch, **how),
        "score": work.score(recommender, h_BD, **precision),
        "request": work.request(recommender, batch, **how),
        "step": work.step(recommender, L, 2, **precision),
    }


def tensors(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def test_nothing_is_kept_for_a_gradient_and_nothing_is_dropped_out() -> None:
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(dropout=0.5), V, L).train()
    for one in pieces(recommender).values():
        first, second = tensors(one()), tensors(one())
        assert all(part.is_inference() and not part.requires_grad for part in first)
        assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not recommender.training


def test_bf16_is_bf16() -> None:
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(), V, L)
    exact, rounded = pieces(recommender), pieces(recommender, precision="bf16")
    for name, one in rounded.items():
        here, there = tensors(one())[0], tensors(exact[name]())[0]
        assert (here.dtype, there.dtype) == (torch.bfloat16, torch.float32)
        assert not torch.equal(here.float(), there)
        torch.testing.assert_close(here.float(), there, rtol=0.1, atol=0.1)


def test_compiled_code_is_made_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        def compiled(*args: Any) -> Any:
            made.append("called" if made else "made")
            return function(*args)

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    recommender = small("gru4rec")
    batch = work.histories(recommender, 2, L)
    for maker in (work.encode, work.request):
        made.clear()
        one = maker(recommender, batch, compile=True)
        assert made == ["made"]
        one()
        assert made == ["made", "called"]
