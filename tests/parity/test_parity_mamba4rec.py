"""Mamba4Rec, the Mamba block and its scan are the published ones: numbers in float64."""

from __future__ import annotations

import re

import pytest
import torch
from golden import (
    EXACT,
    Golden,
    assert_same_outputs_loss_and_gradients,
    assert_same_states,
    build,
    histories,
)
from torch import Tensor
from torch.nn.functional import silu, softplus

from srbench.models.mamba import Mamba, MambaSettings
from srbench.models.selective import selective_scan, sequential_selective_scan
from srbench.recommender import Recommender

CASES = [Golden("mamba4rec", case) for case in ("l1", "l2")]


def rename(name: str) -> str:
    if name.startswith("item_embedding."):
        return name.replace("item_embedding.", "table.")
    name = re.sub(r"mamba_layers\.(\d+)\.(LayerNorm|ffn)\.", r"layers.\1.behind.\2.", name)
    name = name.replace("mamba_layers.", "layers.").replace("ffn.w_", "ffn.dense_")
    return "encoder." + name.replace("LayerNorm.", "norm.")


def model(golden: Golden) -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "states": golden.fact("d_state"),
        "taps": golden.fact("d_conv"),
        "expand": golden.fact("expand"),
    }
    return build(golden, "mamba4rec", rename, settings)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_the_state_at_every_position(golden: Golden) -> None:
    assert_same_states(golden, model(golden))


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_the_state_at_every_step(golden: Golden) -> None:
    recommender, batch = model(golden), histories(golden)
    expected = golden.group("out")["hidden"]
    state = recommender.init_state(len(batch))
    for t, items_B in enumerate(batch.items_BL.unbind(1)):
        h_BD, state = recommender.step(items_B, state)
        real = batch.lengths_B > t
        torch.testing.assert_close(h_BD[real], expected[real, t], **EXACT)


def test_the_block_alone_with_its_gradients() -> None:
    golden = Golden("selective_scan", "block_mamba")
    settings = {"width": golden.fact("d_model"), "states": golden.fact("d_state")}
    block = Mamba(MambaSettings(**settings)).double()
    block.load_state_dict(golden.group("param"), strict=True)
    inputs = golden.group("input")
    x_BLD = inputs["x"].requires_grad_()
    y_BLD = block(x_BLD.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(y_BLD, golden.group("out")["y"], **EXACT)
    (y_BLD * inputs["dy"]).sum().backward()
    gradients = golden.group("grad")
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        torch.testing.assert_close(block.get_parameter(name).grad, value, **EXACT)


@pytest.mark.parametrize("scan", [selective_scan, sequential_selective_scan])
@pytest.mark.parametrize("case", ["full", "noz", "plain"])
def test_the_scan_alone_with_its_gradients(case: str, scan: object) -> None:
    golden = Golden("selective_scan", case)
    inputs = Golden("selective_scan", "shared").group("input")
    dy_BEL, positive = inputs.pop("dy"), inputs.pop("delta_pos")
    if case == "plain":
        inputs["delta"] = positive
    inputs = {name: inputs[name].requires_grad_() for name in golden.group("grad")}
    delta = inputs["delta"]
    if golden.fact("delta_softplus"):
        delta = softplus(delta + inputs["delta_bias"][:, None])

    def first(x_BEL: Tensor) -> Tensor:
        return x_BEL.permute(2, 0, 1)

    u, b, c = (first(inputs[name]) for name in ("u", "B", "C"))
    y_LBE, s_BNE = scan(u, first(delta), inputs["A"], b, c)  # type: ignore[operator]
    y_BEL = y_LBE.permute(1, 2, 0)
    if "D" in inputs:
        y_BEL = y_BEL + inputs["D"][:, None] * inputs["u"]
    if "z" in inputs:
        y_BEL = y_BEL * silu(inputs["z"])
    out = golden.group("out")
    torch.testing.assert_close(y_BEL, out["y"], **EXACT)
    torch.testing.assert_close(s_BNE.transpose(1, 2), out["last_state"], **EXACT)
    (y_BEL * dy_BEL).sum().backward()
    for name, value in golden.group("grad").items():
        torch.testing.assert_close(inputs[name].grad, value, **EXACT)
