"""MLP4Rec is the published code: numbers of the reference in float64.

`mlp4rec-official` is held against them as they are, `mlp4rec` where there are no pads.
"""

from __future__ import annotations

from typing import Any

import pytest
from fields import (
    Mixers,
    assert_same_scores_loss_and_gradients,
    assert_same_slots,
    assert_same_where_pads_are_nothing,
    assert_same_without_pads,
    build_for_three_fields,
    settings,
)
from golden import build
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
    assert_same_without_pads(CASES[0], model(CASES[0], "mlp4rec"))


def test_mlp4rec_is_the_published_model_where_its_pads_are_nothing() -> None:
    assert_same_where_pads_are_nothing(CASES[0], "mlp4rec", rename, "norm_positions")
