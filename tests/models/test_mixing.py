"""Mixing along positions: the running sums against one product for each prefix."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.config.settings import TrainSettings
from srbench.errors import SrbenchError
from srbench.models import mixing
from srbench.models.mixing import PositionMixer
from srbench.models.mlp4rec import MLP4Rec
from srbench.models.smlp4rec import SMLP4Rec
from srbench.train.loop import supervision_of

WINDOW = 21  # two chunks and a part of one
CLOSE = {"rtol": 0.0, "atol": 1e-10}


def obvious(mixer: PositionMixer, y_LFBD: Tensor) -> Tensor:
    """s_LFBD: the equation for every prefix, with zeros behind it."""
    rows = []
    for t in range(len(y_LFBD)):
        window = torch.zeros(mixer.first.in_features, *y_LFBD.shape[1:], dtype=y_LFBD.dtype)
        window[: t + 1] = y_LFBD[: t + 1]
        g = F.gelu(mixer.first(window.movedim(0, -1)))
        rows.append(mixer.second(g)[..., t])
    return torch.stack(rows)


def made(bias: bool, length: int) -> tuple[PositionMixer, Tensor]:
    torch.manual_seed(0)
    mixer = PositionMixer(WINDOW, 2, 0.0, bias=bias).double()
    return mixer, torch.randn(length, 2, 3, 4, dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("length", [1, 7, 8, 9, WINDOW])
@pytest.mark.parametrize("elements", [1, 8 * 42 * 5, 2**20])  # columns of a block: 1, 5, all
def test_running_sums_are_one_product_a_prefix(bias: bool, length: int, elements: int) -> None:
    mixer, y_LFBD = made(bias, length)
    up_LFBD = torch.randn_like(y_LFBD)
    found = []
    for way in (mixer.prefixes, lambda y: obvious(mixer, y)):
        mixer.zero_grad()
        y = y_LFBD.clone().requires_grad_()
        with mock.patch.dict(mixing.ELEMENTS, {"cpu": elements}):
            s = way(y)
            (s * up_LFBD).sum().backward()
        found.append([s, y.grad, *(p.grad for p in mixer.parameters())])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
def test_all_places_and_the_last_of_each_history(bias: bool) -> None:
    mixer, y_LFBD = made(bias, 9)
    window = F.pad(y_LFBD, (0, 0) * 3 + (0, WINDOW - 9))
    s_LFBD = mixer.second(F.gelu(mixer.first(window.movedim(0, -1)))).movedim(-1, 0)
    torch.testing.assert_close(mixer(y_LFBD), s_LFBD[:9], **CLOSE)
    lengths_B = torch.tensor([9, 1, 4])
    last_FBD = torch.stack([s_LFBD[n - 1, :, b] for b, n in enumerate(lengths_B)], dim=1)
    torch.testing.assert_close(mixer.last(y_LFBD, lengths_B), last_FBD, **CLOSE)


def test_the_gradient_sees_the_dropout_of_the_forward_pass() -> None:
    torch.manual_seed(0)
    mixer = PositionMixer(WINDOW, 2, 0.5, bias=False).double()
    y_LFBD = torch.randn(WINDOW, 1, 2, 3, dtype=torch.float64, requires_grad=True)

    def total(y: Tensor) -> Tensor:
        torch.manual_seed(1)
        return mixer.prefixes(y).sum()

    assert torch.autograd.gradcheck(total, (y_LFBD,), eps=1e-6, atol=1e-6)


def test_dropout_leaves_the_mean_of_every_prefix() -> None:
    torch.manual_seed(0)
    mixer = PositionMixer(WINDOW, 2, 0.5, bias=True).double()
    y_LFBD = torch.randn(WINDOW, 1, 1, 2, dtype=torch.float64)
    with torch.no_grad():
        many = mixer.prefixes(y_LFBD.expand(-1, -1, 4000, -1))  # a draw for each of 4000 users
        expected = mixer.eval().prefixes(y_LFBD)
        assert many.std(2).min() > 0.01
        torch.testing.assert_close(many.mean(2, keepdim=True), expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", [SMLP4Rec, MLP4Rec])
def test_all_prefixes_in_one_pass_with_one_layer_alone(kind: type[SMLP4Rec | MLP4Rec]) -> None:
    assert kind.can_prefixes(kind.Settings(layers=1))
    assert not kind.can_prefixes(kind.Settings(layers=2))
    assert supervision_of(kind, kind.Settings(layers=1), TrainSettings()) == "all"
    assert supervision_of(kind, kind.Settings(layers=2), TrainSettings()) == "last"
    with pytest.raises(SrbenchError, match=r"in one pass with these settings: use train\.superv"):
        supervision_of(kind, kind.Settings(layers=2), TrainSettings(supervision="all"))


def test_initialisation_is_that_of_the_references() -> None:
    torch.manual_seed(0)
    smlp4rec = SMLP4Rec(SMLP4Rec.Settings(), 999, 50)
    for mixer in (smlp4rec.block.positions, smlp4rec.block.channels):
        assert mixer.first.weight.std().item() == pytest.approx(0.02, rel=0.03)
    mlp4rec = MLP4Rec(MLP4Rec.Settings(), 999, 50)
    assert mlp4rec.channels.second.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert mlp4rec.positions.first.weight.abs().max().item() == pytest.approx(50**-0.5, rel=0.01)
    for model in (smlp4rec, mlp4rec):
        assert model.features is not None
        assert model.features.weight[0].std().item() == pytest.approx(0.02, rel=0.3)
        assert model.features.weight.std().item() == pytest.approx(0.02, rel=0.02)
