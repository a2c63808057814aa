"""LightSANs is RecBole's: numbers of the reference in float64.

`lightsans-official` is held against them as they are, `lightsans` where there are no pads.
"""

from __future__ import annotations

import pytest
import torch
from golden import (
    EXACT,
    Golden,
    assert_same_outputs_loss_and_gradients,
    build,
    histories,
    rename_transformer,
)

from srbench.models.base import Batch
from srbench.models.lightsans import Block, LightSANsSettings
from srbench.recommender import Recommender

CASES = [Golden("lightsans", case) for case in ("l1", "l2")]


def in_block(name: str) -> str:
    name = name.replace("attpooling_key.theta", "theta_key")
    name = name.replace("attpooling_value.theta", "theta_value").replace("pos_ln", "norm_places")
    return name.replace("pos_q_linear", "query_places").replace("pos_k_linear", "key_places")


def rename(name: str) -> str:
    return in_block(rename_transformer(name).replace("item_embedding.", "table."))


def model(golden: Golden, name: str = "lightsans-official") -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "heads": golden.fact("n_heads"),
        "inner": golden.fact("inner_size"),
        "interests": golden.fact("k_interests"),
    }
    return build(golden, name, rename, settings)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_every_slot_of_the_published_window(golden: Golden) -> None:
    recommender = model(golden)
    h_BLD = recommender.encoder.window(recommender.table(histories(golden).items_BL))
    torch.testing.assert_close(h_BLD, golden.group("out")["hidden"], **EXACT)


def test_the_attention_alone_with_its_gradients() -> None:
    """Our block goes on behind it: the attention is read where its norm ends."""
    golden = Golden("lightsans", "block_attn")
    weights = {
        in_block(n).replace("LayerNorm", "norm_attention"): v
        for n, v in golden.group("param").items()
    }
    width, interests = weights["theta_key"].shape
    block = Block(LightSANsSettings(width=width, heads=2, interests=interests)).double().eval()
    assert not block.load_state_dict(weights, strict=False).unexpected_keys
    attention: list[torch.Tensor] = []
    block.norm_attention.register_forward_hook(lambda _m, _i, y: attention.append(y))
    inputs, gradients = golden.group("input"), golden.group("grad")
    x_BLD = inputs["x"].requires_grad_()
    block(x_BLD, inputs["pos"], torch.full((len(x_BLD),), x_BLD.shape[1]))
    torch.testing.assert_close(attention[0], golden.group("out")["y"], **EXACT)
    (attention[0] * inputs["dy"]).sum().backward()
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        parameter = block.get_parameter(in_block(name).replace("LayerNorm", "norm_attention"))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, value, **EXACT)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_lightsans_is_the_published_model_where_there_are_no_pads(golden: Golden) -> None:
    ours, published = model(golden, "lightsans"), model(golden)
    whole = golden.group("out")["last"][:1]  # row 0 fills the window
    torch.testing.assert_close(ours.represent(histories(golden))[:1], whole, **EXACT)
    items_BL = histories(golden).items_BL[:1]
    for length in range(1, 8):
        published.length = length  # a window as long as the history has no pads
        alone = Batch(items_BL[:, :length], torch.tensor([length]))
        torch.testing.assert_close(ours.represent(alone), published.represent(alone), **EXACT)
