"""Items with features: the second case of the MLP models' references.

A batch here has item ids alone, so the models look up no other feature. Their networks take any
number of fields; the look-ups of this case are made by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from golden import EXACT, Golden, Rename, assert_same_gradients, build, histories
from torch import Tensor, nn

from srbench.models.mixing import fields_LFBD
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

TOKENS = "feature_embed_layer.token_embedding_table.item.embedding.weight"
TOKEN_LISTS = "feature_embed_layer.token_seq_embedding_table.item.0.weight"


@dataclass(frozen=True)
class Mixers(Golden):
    """A case whose convolutions of kernel 1 are read as the matrices that they are."""

    def group(self, group: str) -> dict[str, Tensor]:
        found = super().group(group)
        return {
            n: a.squeeze(-1) if group in ("param", "grad") and a.ndim == 3 else a
            for n, a in found.items()
        }


def features(golden: Golden) -> Tensor:
    """Of every item id: one category's vector, and the mean of its tags' vectors, [2, V, D]."""
    shared, weights = Golden(golden.file, "shared").group("input"), golden.group("param")
    tags_VK = shared["feat_tags"]
    there_VK1 = (tags_VK > 0)[..., None]
    sums_VD = (weights[TOKEN_LISTS][tags_VK] * there_VK1).sum(1)
    count_V1 = there_VK1.sum(1).float() + 1e-8  # the reference counts in float32
    return torch.stack([weights[TOKENS][shared["feat_cat"]], sums_VD / count_V1])


def settings(golden: Golden) -> dict[str, Any]:
    return {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "expansion": golden.fact("expansion"),
    }


def build_for_three_fields(
    golden: Golden, model: str, rename: Rename, part: str, make: Callable[[Any], nn.Module]
) -> Recommender:
    """Our model without its own feature, whose `part` is made anew for three fields."""
    kind = get(model)
    chosen = kind.Settings(**settings(golden), item_feature=False)
    n_items, length = golden.fact("n_items") - 1, golden.fact("max_len")
    recommender = Recommender(kind, chosen, n_items, length)
    setattr(recommender.encoder, part, make(chosen))
    weights = {
        rename(name): value
        for name, value in golden.group("param").items()
        if name not in (TOKENS, TOKEN_LISTS)
    }
    recommender.double().eval().load_state_dict(weights, strict=True)
    return recommender


def fields(golden: Golden, recommender: Recommender) -> Tensor:
    """x_LFBD of the input of the reference."""
    items_BL = histories(golden).items_BL
    x_BLD = recommender.table(items_BL)
    if recommender.encoder.features is not None:
        return fields_LFBD(x_BLD, recommender.encoder.features, items_BL)
    own_LBD, others_FLBD = x_BLD.transpose(0, 1), features(golden)[:, items_BL.t()]
    return torch.cat([own_LBD[:, None], others_FLBD.transpose(0, 1)], dim=1)


def assert_same_without_pads(golden: Golden, recommender: Recommender) -> None:
    """The scores of the history that fills the window, row 0; where there are pads, others."""
    s_BV = recommender.score(recommender.represent(histories(golden)))
    expected_BV = golden.group("out")["scores"][:, 1:]
    torch.testing.assert_close(s_BV[0], expected_BV[0], **EXACT)
    assert not torch.allclose(s_BV[1:], expected_BV[1:])


def assert_same_where_pads_are_nothing(
    golden: Golden, model: str, rename: Rename, norm: str
) -> None:
    """One layer, the pad rows and the bias of the norm before the mixing zero: then pads add
    nothing in `-official`."""
    found = []
    for name in (model, f"{model}-official"):
        recommender = build(golden, name, rename, settings(golden) | {"layers": 1})
        with torch.no_grad():
            recommender.table.weight[0] = 0
            recommender.encoder.features.weight[0] = 0
            recommender.encoder.get_submodule(norm).bias.zero_()
        found.append(recommender.represent(histories(golden)))
    torch.testing.assert_close(*found, **EXACT)


def assert_same_slots(golden: Golden, recommender: Recommender) -> None:
    """The item's own field at every slot, before the last norm."""
    batch, encoder = histories(golden), recommender.encoder
    h_LBD = encoder.window(fields(golden, recommender), batch, encoder.layers)[:, 0]
    torch.testing.assert_close(h_LBD.transpose(0, 1), golden.group("out")["hidden"], **EXACT)


def assert_same_scores_loss_and_gradients(
    golden: Golden, recommender: Recommender, rename: Rename
) -> None:
    """The loss runs over all rows of the table: the pad row is a class."""
    batch, out = histories(golden), golden.group("out")
    h_BD = recommender.encoder.represent(fields(golden, recommender), batch)
    if recommender.encoder.features is not None:
        torch.testing.assert_close(h_BD, recommender.represent(batch), rtol=0, atol=0)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    loss = cross_entropy(h_BD, recommender.table.weight, golden.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)
    loss.backward()
    assert_same_gradients(golden, recommender, rename)
