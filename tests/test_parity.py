"""Each model is its reference: weights, inputs, outputs, losses and gradients of the reference
implementation, in float64 (`tests/golden/*.npz`; what they are stands in docs/models.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

GOLDEN = Path(__file__).parent / "golden"
EXACT = {"rtol": 0.0, "atol": 1e-10}


@dataclass(frozen=True)
class Golden:
    """One case of a golden file: a part of its arrays by their names within a group."""

    file: str
    case: str

    def group(self, group: str) -> dict[str, Tensor]:
        prefix = f"{self.case}/{group}/"
        with np.load(GOLDEN / f"{self.file}.npz", allow_pickle=False) as arrays:
            found = {
                n.removeprefix(prefix): arrays[n] for n in arrays.files if n.startswith(prefix)
            }
        return {
            name: torch.from_numpy(np.array(a)) for name, a in found.items() if a.dtype.kind in "fi"
        }

    def fact(self, name: str) -> Any:
        with np.load(GOLDEN / f"{self.file}.npz", allow_pickle=False) as arrays:
            return arrays[f"{self.case}/cfg/{name}"].item()


def rename_gru4rec(name: str) -> str:
    name = name.replace("gru_layers.", "encoder.gru.").replace("dense.", "encoder.dense.")
    return name.replace("item_embedding.", "table.")


def rename_sasrec(name: str) -> str:
    name = re.sub(r"trm_encoder\.layer\.(\d+)\.", r"encoder.blocks.\1.", name)
    name = name.replace("multi_head_attention.LayerNorm", "norm_attention")
    name = name.replace("feed_forward.LayerNorm", "norm")
    name = name.replace("multi_head_attention.", "").replace("feed_forward.", "")
    if name.startswith("LayerNorm."):
        name = name.replace("LayerNorm.", "encoder.norm.")
    name = name.replace("position_embedding.", "encoder.positions.")
    return name.replace("item_embedding.", "table.")


def rename_glintru(name: str) -> str:
    if name.startswith("item_embedding."):
        return name.replace("item_embedding.", "table.")
    name = name.replace("linearattention.LayerNorm", "attention.norm")
    name = name.replace("linearattention.", "attention.").replace("gru_layers.", "gru.")
    for place, linear in enumerate(("dense3", "dense4", "denseout")):
        name = name.replace(f"{linear}.", f"mlp.{place}.")
    return "encoder." + name.replace("LayerNorm.", "norm.")


def settings_gru4rec(golden: Golden) -> dict[str, Any]:
    return {
        "width": golden.fact("embedding_size"),
        "hidden": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
    }


def settings_sasrec(golden: Golden) -> dict[str, Any]:
    return {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "heads": golden.fact("n_heads"),
        "inner": golden.fact("inner_size"),
    }


def settings_glintru(golden: Golden) -> dict[str, Any]:
    return {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "heads": golden.fact("n_heads"),
    }


@dataclass(frozen=True)
class Reference:
    """How the names of a reference map to ours."""

    model: str
    rename: Callable[[str], str]
    settings: Callable[[Golden], dict[str, Any]]


REFERENCES = {
    "gru4rec": Reference("gru4rec", rename_gru4rec, settings_gru4rec),
    "sasrec": Reference("sasrec", rename_sasrec, settings_sasrec),
    "glintru": Reference("glintru-official", rename_glintru, settings_glintru),
}

CASES = [
    Golden("gru4rec", "main"),
    Golden("gru4rec", "wide"),
    Golden("gru4rec", "l2"),
    Golden("sasrec", "l1"),
    Golden("sasrec", "l2"),
    Golden("glintru", "main"),
    Golden("glintru", "gru2"),
]


def build(golden: Golden, model: str | None = None) -> Recommender:
    reference = REFERENCES[golden.file]
    kind = get(model or reference.model)
    settings = kind.Settings(**reference.settings(golden))
    n_items, length = golden.fact("n_items") - 1, golden.fact("max_len")
    recommender = Recommender(kind, settings, n_items, length).double().eval()
    weights = {reference.rename(name): value for name, value in golden.group("param").items()}
    recommender.load_state_dict(weights, strict=True)
    return recommender


def histories(golden: Golden) -> Batch:
    inputs = golden.group("input")
    return Batch(inputs["item_seq"], inputs["item_seq_len"])


@pytest.mark.parametrize("golden", CASES, ids=lambda g: f"{g.file}-{g.case}")
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    recommender = build(golden)
    batch, out = histories(golden), golden.group("out")
    h_BD = recommender.represent(batch)
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)

    # The reference's soft-max has the pad row as a class; gradients go through the whole table.
    loss = cross_entropy(h_BD, recommender.table.weight, golden.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)
    loss.backward()
    rename = REFERENCES[golden.file].rename
    gradients = {rename(name): value for name, value in golden.group("grad").items()}
    assert "table.weight" in gradients
    for name, parameter in recommender.named_parameters():
        if name not in gradients:
            continue
        assert parameter.grad is not None
        ours, theirs = parameter.grad, gradients.pop(name)
        if name == "table.weight":  # padding_idx=0 keeps the look-up's gradient off the pad row
            ours, theirs = ours[1:], theirs[1:]
        torch.testing.assert_close(ours, theirs, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
    assert not gradients, f"not compared: {sorted(gradients)}"


@pytest.mark.parametrize("golden", CASES[:5], ids=lambda g: f"{g.file}-{g.case}")
def test_prefixes_of_a_causal_model_are_the_states_of_the_reference(golden: Golden) -> None:
    batch = histories(golden)
    h_BLD = build(golden).prefixes(batch)
    mask_BL = batch.mask_BL()
    torch.testing.assert_close(h_BLD[mask_BL], golden.group("out")["hidden"][mask_BL], **EXACT)


@pytest.mark.parametrize("golden", CASES[5:], ids=lambda g: f"{g.file}-{g.case}")
def test_every_slot_of_the_published_window(golden: Golden) -> None:
    recommender = build(golden)
    h_BLD = recommender.encoder.window(recommender.table(histories(golden).items_BL))
    torch.testing.assert_close(h_BLD, golden.group("out")["hidden"], **EXACT)


def test_the_attention_expert_alone_with_its_gradients() -> None:
    from srbench.models.glintru import LinearAttention
    from srbench.models.layers import split_heads

    golden = Golden("glintru", "block_linattn")
    expert = LinearAttention(8, golden.fact("n_heads")).double()
    rename = lambda name: name.replace("LayerNorm", "norm")  # noqa: E731
    expert.load_state_dict({rename(n): v for n, v in golden.group("param").items()})
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
        parameter = expert.get_parameter(rename(name))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, value, **EXACT)


def test_a_zero_pad_row_gives_nan_in_the_published_code_and_not_in_ours() -> None:
    golden = Golden("glintru", "main")
    batch = histories(golden)
    nan_rows = {}
    for model in ("glintru-official", "glintru"):
        recommender = build(golden, model)
        with torch.no_grad():
            for linear in ("query", "key", "value"):
                getattr(recommender.encoder.attention, linear).bias.zero_()
            recommender.table.weight[0] = 0
            nan_rows[model] = recommender.represent(batch).isnan().any(dim=1).tolist()
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
    ours, published = build(golden, "glintru"), build(golden)
    whole = golden.group("out")["last"][:1]  # row 0 fills the window
    torch.testing.assert_close(ours.represent(histories(golden))[:1], whole, **EXACT)
    items_BL = histories(golden).items_BL[:1]
    for length in range(1, 8):
        published.length = length  # a window as long as the history has no pads
        alone = Batch(items_BL[:, :length], torch.tensor([length]))
        torch.testing.assert_close(ours.represent(alone), published.represent(alone), **EXACT)
