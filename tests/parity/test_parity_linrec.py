"""LinRec is the published code: numbers of the reference in float64.

`linrec-official` is held against them as they are. `linrec` is causal: it is held against them
where an event sees the whole window either way: one layer, the end of a history without pads.
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
from srbench.models.linrec import Block, LinRecSettings
from srbench.recommender import Recommender

CASES = [Golden("linrec", case) for case in ("l1", "l2")]


def rename(name: str) -> str:
    return rename_transformer(name).replace("item_embedding.", "table.")


def model(golden: Golden, name: str = "linrec-official", **options: str) -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "heads": golden.fact("n_heads"),
        "inner": golden.fact("inner_size"),
    }
    return build(golden, name, rename, settings | options)


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
    golden = Golden("linrec", "block_attn")
    block = Block(LinRecSettings(width=8, heads=golden.fact("n_heads"))).double().eval()
    weights = {
        n.replace("LayerNorm", "norm_attention"): v for n, v in golden.group("param").items()
    }
    missing = block.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys
    attention: list[torch.Tensor] = []
    block.norm_attention.register_forward_hook(lambda _m, _i, y: attention.append(y))
    inputs, gradients = golden.group("input"), golden.group("grad")
    x_BLD = inputs["x"].requires_grad_()
    block.attend(x_BLD, x_BLD)
    torch.testing.assert_close(attention[0], golden.group("out")["y"], **EXACT)
    (attention[0] * inputs["dy"]).sum().backward()
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        parameter = block.get_parameter(name.replace("LayerNorm", "norm_attention"))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, value, **EXACT)


def test_causal_linrec_is_the_reference_at_the_end_of_a_history_without_pads() -> None:
    golden = Golden("linrec", "l1")
    whole = golden.group("out")["last"][:1]  # row 0 fills the window
    ours = model(golden, "linrec")
    torch.testing.assert_close(ours.represent(histories(golden))[:1], whole, **EXACT)


@pytest.mark.parametrize("keys", ["event", "history"])
def test_one_causal_layer_is_the_published_one_without_pads_for_every_prefix(keys: str) -> None:
    golden = Golden("linrec", "l1")
    ours, published = model(golden, "linrec", keys=keys), model(golden, keys=keys)
    items_BL = histories(golden).items_BL[:1]
    h_BLD = ours.prefixes(Batch(items_BL, torch.tensor([7])))
    for length in range(1, 8):
        published.length = length  # a window as long as the history has no pads
        alone = Batch(items_BL[:, :length], torch.tensor([length]))
        torch.testing.assert_close(h_BLD[:, length - 1], published.represent(alone), **EXACT)


def test_two_causal_layers_are_another_model() -> None:
    golden = Golden("linrec", "l2")
    whole = golden.group("out")["last"][:1]
    assert not torch.allclose(model(golden, "linrec").represent(histories(golden))[:1], whole)
