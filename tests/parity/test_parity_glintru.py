"""GLINT-RU is the published code: numbers of the reference in float64.

`glintru-official` is held against them as they are, `glintru` where there are no pads.
"""

from __future__ import annotations

import pytest
import torch
from golden import EXACT, Golden, assert_same_outputs_loss_and_gradients, build, histories

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.registry import get

CASES = [Golden("glintru", case) for case in ("main", "gru2")]


def rename(name: str) -> str:
    if name.startswith("item_embedding."):
        return name.replace("item_embedding.", "table.")
    name = name.replace("linearattention.LayerNorm", "attention.norm")
    name = name.replace("linearattention.", "attention.").replace("gru_layers.", "gru.")
    for place, linear in enumerate(("dense3", "dense4", "denseout")):
        name = name.replace(f"{linear}.", f"mlp.{place}.")
    return "encoder." + name.replace("LayerNorm.", "norm.")


def model(golden: Golden, name: str = "glintru-official") -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "heads": golden.fact("n_heads"),
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


def test_the_attention_expert_alone_with_its_gradients() -> None:
    from srbench.models.glintru import LinearAttention
    from srbench.models.layers import split_heads

    golden = Golden("glintru", "block_linattn")
    expert = LinearAttention(8, golden.fact("n_heads")).double()
    expert.load_state_dict(
        {n.replace("LayerNorm", "norm"): v for n, v in golden.group("param").items()}
    )
    inputs = golden.group("input")
    x_BLD = inputs["x"].requires_grad_()
    x_LBD = x_BLD.transpose(0, 1)
    q_BHLC = split_heads(expert.features(expert.query(x_LBD)) * expert.scale, expert.heads)
    y_BHLC = q_BHLC @ expert.memory(x_LBD)
    y_BLD = expert.out(y_BHLC.permute(2, 0, 1, 3).flatten(2), x_LBD).transpose(0, 1)
    torch.testing.assert_close(y_BLD, golden.group("out")["y"], **EXACT)
    (y_BLD * inputs["dy"]).sum().backward()
    gradients = golden.group("grad")
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        parameter = expert.get_parameter(name.replace("LayerNorm", "norm"))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, value, **EXACT)


def test_a_zero_pad_row_gives_nan_in_the_published_code_and_not_in_ours() -> None:
    golden = Golden("glintru", "main")
    batch = histories(golden)
    nan_rows = {}
    for name in ("glintru-official", "glintru"):
        recommender = model(golden, name)
        with torch.no_grad():
            for linear in ("query", "key", "value"):
                getattr(recommender.encoder.attention, linear).bias.zero_()
            recommender.table.weight[0] = 0
            nan_rows[name] = recommender.represent(batch).isnan().any(dim=1).tolist()
    assert nan_rows == {
        "glintru-official": [False, True, True, True],  # all but the history without pads
        "glintru": [False] * 4,
    }


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_both_glintrus_agree_without_pads_for_every_kernel(kernel: int) -> None:
    """The one convolves by sums of products, the other by torch's own convolution."""
    models = []
    for name in ("glintru", "glintru-official"):
        kind, length = get(name), 9
        settings = kind.Settings(width=8, heads=2, kernel=kernel)
        models.append(Recommender(kind, settings, 19, length).double().eval())
    ours, published = models
    ours.load_state_dict(published.state_dict())
    batch = Batch(torch.randint(1, 20, (4, length)), torch.full((4,), length))
    torch.testing.assert_close(ours.represent(batch), published.represent(batch), **EXACT)


def test_glintru_is_the_published_model_where_there_are_no_pads() -> None:
    golden = Golden("glintru", "main")
    ours, published = model(golden, "glintru"), model(golden)
    whole = golden.group("out")["last"][:1]  # row 0 fills the window
    torch.testing.assert_close(ours.represent(histories(golden))[:1], whole, **EXACT)
    items_BL = histories(golden).items_BL[:1]
    for length in range(1, 8):
        published.length = length  # a window as long as the history has no pads
        alone = Batch(items_BL[:, :length], torch.tensor([length]))
        torch.testing.assert_close(ours.represent(alone), published.represent(alone), **EXACT)
