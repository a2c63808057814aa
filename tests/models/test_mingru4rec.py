"""What is special about the recurrences whose gates do not look back."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.mingru4rec import MinGRU4Rec, MinGRU4RecSettings, MinRNN


def cell(rows: list[float], **options: str) -> MinRNN:
    """A cell of width 1 with the given weights: candidate first, then the gates."""
    rnn = MinRNN(MinGRU4RecSettings(width=1, **options)).double()
    rnn.gates.weight.data = torch.tensor(rows, dtype=torch.float64)[:, None]
    return rnn


def run(rnn: MinRNN, *events: float) -> list[float]:
    x_LBD: Tensor = torch.tensor(events, dtype=torch.float64)[:, None, None]
    return rnn(x_LBD).flatten().tolist()


def test_min_gru_by_hand() -> None:
    """z = sigma(x log 3) is 3/4 and 1/4 for x = 1 and -1; g(1) = 3/2 and g(-1) = sigma(-1)."""
    first = 0.75 * 1.5
    second = 0.75 * first + 0.25 / (1 + math.e)
    expected = pytest.approx([first, second], abs=1e-12)
    assert run(cell([1.0, math.log(3)]), 1.0, -1.0) == expected


def test_min_lstm_by_hand() -> None:
    """f' = sigma(f) / (sigma(f) + sigma(i)): 3/4 of 5/4 with f = x log 3 and i = 0, for x = 1."""
    rnn = cell([1.0, math.log(3), 0.0], cell="minlstm")
    first = 0.4 * 1.5
    second = 0.6 * first + 0.4 * 1.5
    assert run(rnn, 1.0, 1.0) == pytest.approx([first, second], abs=1e-12)


@pytest.mark.parametrize("cell_name", ["mingru", "minlstm"])
def test_a_closed_gate_keeps_and_never_divides_by_zero(cell_name: str) -> None:
    """Gates of e^-1000 are zero in float64, in the minLSTM both at once."""
    closed = {"mingru": [1.0, -1000.0], "minlstm": [1.0, -1000.0, -3000.0]}[cell_name]
    rnn = cell(closed, cell=cell_name)
    start = torch.full((1, 1), 5.0, dtype=torch.float64)
    x_LBD = torch.ones(300, 1, 1, dtype=torch.float64, requires_grad=True)
    states = rnn(x_LBD, start)
    assert torch.equal(states, torch.full_like(states, 5.0))
    states.sum().backward()
    assert x_LBD.grad is not None and x_LBD.grad.isfinite().all()


@pytest.mark.parametrize("cell_name", ["mingru", "minlstm"])
def test_a_state_lies_between_the_least_and_the_greatest_candidate(cell_name: str) -> None:
    torch.manual_seed(0)
    rnn = MinRNN(MinGRU4RecSettings(width=4, cell=cell_name)).double()
    x_LBD = 5 * torch.randn(400, 2, 4, dtype=torch.float64)
    a_LBE = rnn.gates(x_LBD)[..., :4]
    g_LBE = torch.where(a_LBE >= 0, a_LBE + 0.5, a_LBE.sigmoid())
    states = rnn(x_LBD)
    assert (states > 0).all() and (states <= g_LBE.cummax(0).values + 1e-12).all()


@pytest.mark.parametrize(("layers", "residual"), [(1, False), (2, True)])
def test_only_stacked_layers_have_a_residual_around_the_recurrence(
    layers: int, residual: bool
) -> None:
    """With weights of zero in the recurrence its state is sigma(0) g(0) + ..., equal in all places,
    which the normalisation removes: what is left came past it."""
    torch.manual_seed(0)
    model = MinGRU4Rec(MinGRU4RecSettings(width=4, layers=layers), 9, 7).double().eval()
    for layer in model.layers:
        layer.rnn.gates.weight.data.zero_()
    x_BLD = torch.randn(2, 7, 4, dtype=torch.float64)
    batch = Batch(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 7]))
    h_BLD = model.prefixes(x_BLD, batch)
    assert bool(h_BLD.abs().max() > 0.1) == residual


def test_initialisation_is_that_of_the_reference() -> None:
    torch.manual_seed(0)
    model = MinGRU4Rec(MinGRU4RecSettings(), 999, 50)
    table_VD = torch.empty(1000, 64)
    model.init_table(table_VD)
    gates, behind = model.layers[0].rnn.gates, model.layers[0].behind
    ffn = behind.ffn
    for weight in (table_VD, gates.weight, ffn.dense_1.weight, ffn.dense_2.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    for bias in (ffn.dense_1.bias, ffn.dense_2.bias, behind.norm.bias, ffn.norm.bias):
        assert not bias.any()


def test_an_expansion_that_leaves_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expansion 0\.01 of width 8 leaves no state"):
        MinGRU4RecSettings(width=8, expansion=0.01)


def test_a_gate_near_one_survives_bf16() -> None:
    """A gate of 0.999 is 1 in bf16, and a state would never decay."""
    rnn = cell([1.0, -6.90625]).float()  # both are numbers of bf16
    x_LBD, start = torch.ones(1000, 1, 1), torch.full((1, 1), 50.0)
    with torch.autocast("cpu", torch.bfloat16):
        states = rnn(x_LBD, start)
    keep = 1 / (1 + math.exp(-6.90625))
    expected = keep**1000 * 50 + (1 - keep**1000) * 1.5
    assert expected < 20
    assert states[-1].item() == pytest.approx(expected, rel=1e-3)
