"""The light gated recurrences are SpeechBrain's: numbers of its cells in float64.

There is no published recommender with this cell, so the cell is what is held: states, last states,
gradients, the running statistics of the batch norm, and the model's own steps and stacking.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden import EXACT, Golden
from torch import Tensor, nn

from srbench.models.base import Batch
from srbench.models.sligru4rec import SLiGRU4Rec, SLiGRU4RecSettings

SETTINGS: dict[str, dict[str, Any]] = {
    "ligru_bn": {"cell": "ligru"},
    "ligru_bn_train": {"cell": "ligru"},
    "ligru_ln_l2": {"cell": "ligru", "layers": 2},
    "ligru_ln_tanh_hx": {"cell": "ligru", "activation": "tanh"},
    "sligru_bn": {"cell": "sligru"},
    "sligru_ln_affine": {"cell": "sligru", "affine": True},
}
CASES = [Golden("ligru", case) for case in SETTINGS]
SHARED = Golden("ligru", "shared")


class BatchNorm(nn.BatchNorm1d):
    """Over all events of all users, as SpeechBrain has it and our model does not."""

    def forward(self, x_LBG: Tensor) -> Tensor:
        return super().forward(x_LBG.reshape(-1, self.num_features)).view_as(x_LBG)


def rename(name: str) -> str:
    return name.removeprefix("rnn.").replace("layer_norm.", "recurrent_norm.")


def layers(golden: Golden) -> nn.ModuleList:
    """The layers of our model with the weights and the kind of norm of the reference."""
    settings = SLiGRU4RecSettings(width=8, hidden=6, **SETTINGS[golden.case])
    stack = SLiGRU4Rec(settings, 19, 7).rnn
    batch_norm = "bn" in golden.case.split("_")
    if batch_norm:
        stack[0].norm = BatchNorm(12, momentum=0.05)
    stack.double().train(golden.fact("training"))
    weights = {rename(n): v for n, v in golden.group("param").items()}
    buffers = {rename(n): v for n, v in golden.group("buffer").items()}
    assert bool(buffers) == batch_norm
    if golden.fact("training"):  # the file holds what follows the pass; it began where ligru_bn is
        before = Golden("ligru", "ligru_bn").group("buffer")
        buffers = {rename(name): value for name, value in before.items()}
    stack.load_state_dict(weights | buffers, strict=True)
    return stack


def run(stack: nn.ModuleList, x_BLD: Tensor, hx: Tensor | None) -> tuple[Tensor, Tensor]:
    """y_BLH of the top layer, and the last state of each layer."""
    x_LBD, last = x_BLD.transpose(0, 1), []
    for place, layer in enumerate(stack):
        x_LBD = layer(x_LBD, None if hx is None else hx[place])
        last.append(x_LBD[-1])
    return x_LBD.transpose(0, 1), torch.stack(last)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_states_and_gradients_of_the_cell_are_those_of_the_reference(golden: Golden) -> None:
    shared, out, gradients = SHARED.group("input"), golden.group("out"), golden.group("grad")
    stack, x_BLD = layers(golden), shared["x"].requires_grad_()
    y_BLH, h_n = run(stack, x_BLD, shared["hx"] if golden.fact("uses_hx") else None)
    torch.testing.assert_close(y_BLH, out["y"], **EXACT)
    torch.testing.assert_close(h_n, out["h_n"], **EXACT)
    (y_BLH * shared["dy"]).sum().backward()
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    expected = {rename(name): value for name, value in gradients.items()}
    assert expected.keys() == dict(stack.named_parameters()).keys()
    for name, parameter in stack.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], **EXACT)


def test_running_statistics_of_the_batch_norm_after_a_pass() -> None:
    golden = Golden("ligru", "ligru_bn_train")
    stack = layers(golden)
    run(stack, SHARED.group("input")["x"], None)
    after = golden.group("after")
    assert after.keys() == {"0.norm.running_mean", "0.norm.running_var"}
    for name, value in after.items():
        torch.testing.assert_close(stack.get_buffer(name), value, **EXACT)


@pytest.mark.parametrize(
    "golden", [g for g in CASES if "hx" not in g.case and "bn_train" not in g.case], ids=str
)
def test_steps_of_the_model_end_in_the_last_states_of_the_reference(golden: Golden) -> None:
    x_BLD = SHARED.group("input")["x"]
    settings = SLiGRU4RecSettings(width=8, hidden=6, **SETTINGS[golden.case])
    model = SLiGRU4Rec(settings, 19, 7).double().eval()
    model.rnn = layers(golden)
    state = model.init_state(x_BLD[:, 0])
    for x_BD in x_BLD.unbind(1):
        h_BD, state = model.step(x_BD, state)
    h_n = golden.group("out")["h_n"]
    torch.testing.assert_close(torch.stack(state), h_n, **EXACT)
    torch.testing.assert_close(h_BD, model.dense(h_n[-1]), **EXACT)
    whole = Batch(torch.ones(4, 7, dtype=torch.int64), torch.full((4,), 7))
    torch.testing.assert_close(model(x_BLD, whole), h_BD, **EXACT)
