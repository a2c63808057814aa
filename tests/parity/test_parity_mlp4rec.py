"""MLP4Rec is the published code: numbers of the reference in float64.

`mlp4rec-official` is held against them as they are, `mlp4rec` where there are no pads.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fields import (
    Mixers,
    assert_same_scores_loss_and_gradients,
    assert_same_slots,
    build_for_three_fields,
    settings,
)
from golden import EXACT, build, histories
from torch import nn

from srbench.models.mixing import Mixer
from srbench.recommender import Recommender

CASES = [Mixers("mlp4rec", case) for case in ("itemid", "feats")]


def rename(name: str) -> str:
    for theirs, ours in {
        "item_embedding.": "table.",
        "feature_embed_layer.token_embedding_table.item.embedding.": "encoder.features.",
        "sequenceMixer.": "encoder.positions.",
        "channelMixer.": "encoder.channels.",
        "featureMixer.": "encoder.fields.",
        "LayerNorm.": "encoder.norm.",
    }.items():
        if name.startswith(theirs):
            name = name.replace(theirs, ours)
            break
    place, _, rest = name.partition(".norm.")
    if rest and place.startswith("encoder."):
        return name.replace(f"{place}.norm.", place.replace(".", ".norm_") + ".")
    return name.replace("fn.0.", "first.").replace("fn.3.", "second.")


def model(golden: Mixers, name: str = "mlp4rec-official") -> Recommender:
    def mixer(chosen: Any) -> nn.Module:
        return Mixer(3, chosen.expansion, chosen.dropout, bias=True)

    if golden.case == "feats":
        return build_for_three_fields(golden, name, rename, "fields", mixer)
    return build(golden, name, rename, settings(golden))


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_every_slot_of_the_published_window(golden: Mixers) -> None:
    assert_same_slots(golden, model(golden))


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_scores_loss_and_gradients_are_those_of_the_reference(golden: Mixers) -> None:
    assert_same_scores_loss_and_gradients(golden, model(golden), rename)


def test_mlp4rec_is_the_published_model_where_there_are_no_pads() -> None:
    golden = CASES[0]
    ours = model(golden, "mlp4rec")
    s_BV = ours.score(ours.represent(histories(golden)))
    torch.testing.assert_close(s_BV[0], golden.group("out")["scores"][0, 1:], **EXACT)
    assert not torch.allclose(s_BV[1:], golden.group("out")["scores"][1:, 1:])  # these have pads


def test_mlp4rec_is_the_published_model_where_its_pads_are_nothing() -> None:
    """One layer, pad rows and the norm's bias zero: then pads add nothing in the published code."""
    golden, found = CASES[0], []
    for name in ("mlp4rec", "mlp4rec-official"):
        recommender = build(golden, name, rename, settings(golden) | {"layers": 1})
        with torch.no_grad():
            recommender.table.weight[0] = 0
            recommender.encoder.features.weight[0] = 0
            recommender.encoder.norm_positions.bias.zero_()
        found.append(recommender.represent(histories(golden)))
    torch.testing.assert_close(*found, **EXACT)
