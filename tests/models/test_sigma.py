"""SIGMA's partial flip: what it does, and what the published one does to short histories."""

from __future__ import annotations

import torch

from srbench.models.base import Batch
from srbench.models.sigma import SIGMA, SIGMASettings
from srbench.models.sigma_official import SIGMAOfficial, SIGMAOfficialSettings
from srbench.recommender import Recommender


def test_the_flip_is_of_all_but_the_last_events_of_each_history() -> None:
    model = SIGMA(SIGMASettings(width=8, kept=2), 9, 7)
    at_LB = model.flip(torch.arange(7)[:, None], torch.tensor([7, 4, 2, 1]))
    assert at_LB.t().tolist() == [
        [4, 3, 2, 1, 0, 5, 6],
        [1, 0, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 6],
    ]


def test_the_published_flip_is_of_the_first_slots_whatever_the_history() -> None:
    model = SIGMAOfficial(SIGMAOfficialSettings(width=8, flipped=5), 9, 7)
    at_LB = model.flip(torch.arange(7)[:, None], torch.tensor([7, 2]))
    assert at_LB.t().tolist() == [[4, 3, 2, 1, 0, 5, 6]] * 2
    assert model.flip(torch.arange(3)[:, None], torch.tensor([3])).t().tolist() == [[2, 1, 0]]


def flipped_direction_sees(kind: type[SIGMA], length: int, window: int = 50) -> bool:
    """Do other events change what the flipped direction alone says of a history?"""
    torch.manual_seed(0)
    model = Recommender(kind, kind.Settings(width=8, states=4, gate_dropout=0), 19, window)
    model = model.double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    mixing = model.encoder.layers[0].gmamba
    with torch.no_grad():
        mixing.combining_weights.copy_(torch.tensor([0.0, 1.0, 0.0]))
        for gate in (mixing.gate_silu, mixing.gate_sigmoid):
            gate.weight.zero_()  # both gates are constants
    items_BL = torch.randint(1, 20, (1, length))
    other_BL = (items_BL % 19) + 1
    one, other = (
        model.represent(Batch(items, torch.tensor([length]))) for items in (items_BL, other_BL)
    )
    return not torch.equal(one, other)


def test_a_short_history_is_lost_to_the_published_flip_and_not_to_ours() -> None:
    lost = {length: not flipped_direction_sees(SIGMAOfficial, length) for length in (3, 22, 23, 50)}
    assert lost == {3: True, 22: True, 23: False, 50: False}
    assert all(flipped_direction_sees(SIGMA, length) for length in (3, 22, 23, 50))


def test_what_is_not_asked_of_the_top_layer_is_not_computed() -> None:
    """The last event alone is the last of all events."""
    torch.manual_seed(0)
    model = SIGMA(SIGMASettings(width=8, layers=2), 9, 7).double().eval()
    batch = Batch(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 7]))
    x_BLD = torch.randn(2, 7, 8).double()
    every = model.states(x_BLD, batch, lambda x_LBD: x_LBD)
    torch.testing.assert_close(model(x_BLD, batch), every[-1], rtol=0, atol=1e-12)
