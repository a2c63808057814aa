"""Every check of the contract, held against a model that breaks it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from srbench.contract import CHECKS, check
from srbench.errors import SrbenchError
from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.registry import get, names


class Mean(Encoder):
    """The mean of the items so far."""

    info = Info(family="RNN", year=2026, paper="none", reference="none", summary="A mean.")
    Settings = Settings

    def __init__(self, settings: Settings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = 4
        self.dense = nn.Linear(4, 4)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(self.prefixes(x_BLD, batch), batch.lengths_B)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        events_L1 = torch.arange(1, x_BLD.shape[1] + 1)[:, None]
        return self.dense(x_BLD.cumsum(1) / events_L1)

    def init_state(self, x_BD: Tensor) -> State:
        return x_BD, 0

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        total_BD, events = state[0] + x_BD, state[1] + 1
        return self.dense(total_BD / events), (total_BD, events)


class ForwardAlone(Mean):
    """A mean without the faster ways to have it."""

    prefixes = Encoder.prefixes
    init_state, step = Encoder.init_state, Encoder.step

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return last_BD(Mean.prefixes(self, x_BLD, batch), batch.lengths_B)


class MixesUsers(ForwardAlone):
    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().forward(x_BLD, batch) + x_BLD[:, 0].mean(0)


class WrongShape(Mean):
    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().prefixes(x_BLD, batch)


class SeesPads(Mean):
    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().prefixes(x_BLD, batch)[:, -1]


class SaysItSeesPads(Mean):
    pad_invariant = False


class SeesTheNextEvent(Mean):
    forward = ForwardAlone.forward

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().prefixes(x_BLD.roll(-1, 1), batch)


class PrefixesOfAnotherShape(Mean):
    forward = ForwardAlone.forward

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().prefixes(x_BLD, batch)[:, :-1]


class LearnsOtherwise(Mean):
    forward = ForwardAlone.forward

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return super().prefixes(x_BLD.detach(), batch)


class ForgetsToStep(Mean):
    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        return super().step(x_BD, state)[0], state


class StepsWithoutTimes(Mean):
    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = super().prefixes(x_BLD, batch)
        return h_BLD if batch.times_BL is None else h_BLD + batch.times_BL[..., None] * 1e-6


class SeesTheTimeOfTheTarget(ForwardAlone):
    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        assert batch.target_times_B is not None
        return super().forward(x_BLD, batch) + batch.target_times_B[:, None] * 1e-6


class ScoresAreNotFinite(Mean):
    def rows(self, table_VD: Tensor) -> Tensor:
        return table_VD / 0


class Raises(Mean):
    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        raise KeyError("speed")


class ClozeOfNothing(Mean):
    def cloze(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return x_BLD.flatten(0, 1)


class AnswersWithoutPrefixes(Mean):
    @classmethod
    def has_prefixes(cls) -> bool:
        return False


BROKEN: list[tuple[type[Encoder], str, str]] = [
    (MixesUsers, "forward", "forward of 9 events in a batch differs from forward of them alone by"),
    (WrongShape, "forward", r"forward gives the shape \(6, 9, 4\), not \[B, width\] = \(6, 4\)"),
    (Raises, "forward", r"it ends with KeyError\('speed'\)"),
    (SeesPads, "forward", "forward of 1 event in a batch differs from forward of them alone"),
    (SaysItSeesPads, "pads", "items behind the end change nothing, but pad_invariant is False"),
    (ScoresAreNotFinite, "scores", "some scores are NaN or infinite"),
    (SeesTheNextEvent, "prefixes", "prefixes at event 1 differs from forward of 1 event by"),
    (PrefixesOfAnotherShape, "prefixes", r"prefixes gives the shape \(6, 8, 4\)"),
    (AnswersWithoutPrefixes, "prefixes", "it says that it has no prefixes, but prefixes answers"),
    (LearnsOtherwise, "gradients", "the gradient of table.weight through prefixes differs from"),
    (ClozeOfNothing, "cloze", "cloze behind 8 events differs from their forward by"),
    (ForgetsToStep, "step", "step 2 differs from forward of 2 events by"),
    (StepsWithoutTimes, "step", "step 1 at a time differs from forward of 1 event by"),
    (SeesTheTimeOfTheTarget, "time", "the time of the target changes the representation"),
]


def test_every_check_can_fail() -> None:
    assert {what for _, what, _ in BROKEN} == set(CHECKS)


@pytest.mark.parametrize(
    ("model", "what", "sentence"), BROKEN, ids=lambda x: getattr(x, "__name__", x)
)
def test_what_is_broken_is_named_in_one_sentence(
    model: type[Encoder], what: str, sentence: str
) -> None:
    with pytest.raises(
        SrbenchError, match=rf"^its name breaks its contract \({what}\): {sentence}"
    ) as e:
        check(model, "its name")
    assert e.value.exit_code == 2
    assert str(e.value).count("\n") == 0


@pytest.mark.parametrize("model", [Mean, ForwardAlone])
@pytest.mark.parametrize("length", [1, 2, 50])
def test_who_keeps_it_passes_at_any_length(model: type[Encoder], length: int) -> None:
    check(model, "its name", length=length)


def test_a_check_leaves_the_random_numbers_as_they_are() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    check(Mean, "its name")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", names())
def test_ours_keep_it_at_their_defaults(name: str) -> None:
    check(get(name), name)
