"""SIGMA is the published code: numbers of the reference in float64.

`sigma-official` is held against them as they are, `sigma` where no pads are and the flip is of as
many events.
"""

from __future__ import annotations

import re

import pytest
import torch
from golden import EXACT, Golden, assert_same_outputs_loss_and_gradients, build, histories

from srbench.models.base import Batch
from srbench.models.sigma import GatedMamba, SIGMASettings
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

MAIN, STACKED, LONG = (Golden("sigma", case) for case in ("main", "l2", "len50"))


def rename(name: str) -> str:
    if name.startswith("item_embedding."):
        return name.replace("item_embedding.", "table.")
    name = name.replace("selective_gate_sig.1", "gate_sigmoid")
    name = name.replace("selective_gate_si.1", "gate_silu")
    name = re.sub(r"mamba_layers\.(\d+)\.(LayerNorm|ffn)\.", r"layers.\1.behind.\2.", name)
    name = name.replace("mamba_layers.", "layers.").replace("ffn.w_", "ffn.dense_")
    return "encoder." + name.replace("LayerNorm.", "norm.")


def model(golden: Golden, name: str = "sigma-official", **options: int) -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "states": golden.fact("d_state"),
        "taps": golden.fact("d_conv"),
        "expand": golden.fact("expand"),
    }
    return build(golden, name, rename, settings | options)


def assert_every_slot(golden: Golden, recommender: Recommender) -> None:
    batch = histories(golden)
    x_BLD = recommender.table(batch.items_BL)
    h_LBD = recommender.encoder.states(x_BLD, batch, lambda x_LBD: x_LBD)
    torch.testing.assert_close(h_LBD.transpose(0, 1), golden.group("out")["hidden"], **EXACT)


@pytest.mark.parametrize("golden", [MAIN, STACKED], ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", [MAIN, STACKED], ids=str)
def test_every_slot_of_the_published_window(golden: Golden) -> None:
    assert_every_slot(golden, model(golden))


def test_a_window_longer_than_the_flip() -> None:
    """States, scores and loss of a window of 50 slots, with the weights of the main case."""
    recommender, out = model(MAIN), LONG.group("out")
    recommender.length = LONG.fact("max_len")
    assert_every_slot(LONG, recommender)
    h_BD = recommender.represent(histories(LONG))
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    loss = cross_entropy(h_BD, recommender.table.weight, LONG.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)


def test_the_gated_mamba_alone_with_its_gradients() -> None:
    golden = Golden("sigma", "block_gmamba")
    block = GatedMamba(SIGMASettings(width=8, states=4)).double().eval()
    prefix = "encoder.layers.0.gmamba."
    weights = {rename(n): value for n, value in MAIN.group("param").items()}
    block.load_state_dict(
        {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    )
    inputs = golden.group("input")
    x_BLD = inputs["x"].requires_grad_()
    assert x_BLD.shape[1] <= MAIN.fact("flip_len")  # all of it is flipped
    x_LBD = x_BLD.transpose(0, 1)
    y_LBD = block(x_LBD, x_LBD.flip(0), x_LBD, lambda x: x)
    torch.testing.assert_close(y_LBD.transpose(0, 1), golden.group("out")["y"], **EXACT)
    (y_LBD.transpose(0, 1) * inputs["dy"]).sum().backward()
    gradients = golden.group("grad")
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        parameter = block.get_parameter(rename(name).removeprefix("encoder."))
        torch.testing.assert_close(parameter.grad, value, **EXACT)


@pytest.mark.parametrize(("golden", "kept"), [(MAIN, 0), (STACKED, 0), (LONG, 5)], ids=str)
def test_sigma_is_the_published_model_where_a_history_fills_the_window(
    golden: Golden, kept: int
) -> None:
    recommender = model(STACKED if golden is STACKED else MAIN, "sigma", kept=kept)
    batch = histories(golden)
    whole = batch.lengths_B == batch.items_BL.shape[1]
    assert whole.any()
    expected = golden.group("out")["last"][whole]
    torch.testing.assert_close(recommender.represent(batch)[whole], expected, **EXACT)


@pytest.mark.parametrize("length", [1, 3, 6, 9])
def test_both_sigmas_agree_on_windows_without_pads(length: int) -> None:
    kept = 2
    flipped = max(length - kept, 1)  # to flip one event is to flip none
    weights = model(STACKED).state_dict()
    batch = Batch(torch.randint(1, 20, (4, length)), torch.full((4,), length))
    results = []
    for name, option in (("sigma", {"kept": kept}), ("sigma-official", {"flipped": flipped})):
        kind = get(name)
        settings = kind.Settings(width=8, layers=2, states=4, **option)
        recommender = Recommender(kind, settings, 19, length).double().eval()
        recommender.load_state_dict(weights)
        results.append(recommender.represent(batch))
    torch.testing.assert_close(*results, **EXACT)
