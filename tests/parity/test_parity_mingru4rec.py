"""minGRU and minLSTM are lucidrains' cells, minGRU4Rec is chengkai-liu's: numbers in float64."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from golden import EXACT, Golden, assert_same_outputs_loss_and_gradients, assert_same_states, build

from srbench.models.mingru4rec import MinGRU4RecSettings, MinRNN
from srbench.recommender import Recommender

CELLS: dict[str, dict[str, Any]] = {
    "mingru": {},
    "mingru_prev": {},
    "mingru_step": {},
    "mingru_expand": {"expansion": 1.5},
    "minlstm": {"cell": "minlstm"},
}
MODELS = [Golden("mingru", case) for case in ("rec_l1", "rec_l2")]


def rename(name: str) -> str:
    name = name.replace("item_embedding.", "table.").replace(
        "minGRU.to_hidden_and_gate", "rnn.gates"
    )
    name = re.sub(
        r"behaviorModelingLayers\.(\d+)\.(LayerNorm|ffn)\.", r"layers.\1.behind.\2.", name
    )
    name = name.replace("behaviorModelingLayers.", "layers.").replace("ffn.w_", "ffn.dense_")
    name = name.replace("LayerNorm.", "norm.")
    return name if name.startswith("table.") else f"encoder.{name}"


def model(golden: Golden) -> Recommender:
    settings = {"width": golden.fact("hidden_size"), "layers": golden.fact("num_layers")}
    return build(golden, "mingru4rec", rename, settings)


def rename_cell(name: str) -> str:
    name = name.replace("to_hidden_and_f_i_gate", "gates").replace("to_hidden_and_gate", "gates")
    return name.replace("to_out", "out")


def cell(golden: Golden) -> MinRNN:
    rnn = MinRNN(MinGRU4RecSettings(width=8, **CELLS[golden.case])).double()
    rnn.load_state_dict({rename_cell(n): v for n, v in golden.group("param").items()}, strict=True)
    return rnn


@pytest.mark.parametrize("golden", MODELS, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", MODELS, ids=str)
def test_prefixes_are_the_states_of_the_reference(golden: Golden) -> None:
    assert_same_states(golden, model(golden))


@pytest.mark.parametrize("golden", [Golden("mingru", case) for case in CELLS], ids=str)
def test_states_and_gradients_of_the_cell_are_those_of_the_reference(golden: Golden) -> None:
    inputs, out, gradients = golden.group("input"), golden.group("out"), golden.group("grad")
    rnn, x_BLD = cell(golden), inputs["x"].requires_grad_()
    before = inputs.get("prev_hidden")
    start = None if before is None else before[:, 0]
    y_BLD = rnn(x_BLD.transpose(0, 1), start).transpose(0, 1)
    torch.testing.assert_close(y_BLD, out["y"], **EXACT)
    (y_BLD * inputs["dy"]).sum().backward()
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    expected = {rename_cell(name): value for name, value in gradients.items()}
    assert expected.keys() == dict(rnn.named_parameters()).keys()
    for name, parameter in rnn.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], **EXACT)


@pytest.mark.parametrize("golden", [Golden("mingru", case) for case in CELLS], ids=str)
def test_steps_of_the_cell_are_those_of_the_reference(golden: Golden) -> None:
    inputs, out, rnn = golden.group("input"), golden.group("out"), cell(golden)
    before = inputs.get("prev_hidden")
    state = torch.zeros(2, rnn.state).double() if before is None else before[:, 0]
    for x_BD, expected in zip(inputs["x"].unbind(1), out["y"].unbind(1), strict=True):
        y_BD, state = rnn.step(x_BD, state)
        torch.testing.assert_close(y_BD, expected, **EXACT)
    torch.testing.assert_close(state, out["next_hidden"][:, 0], **EXACT)
