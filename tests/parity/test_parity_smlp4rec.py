"""SMLP4Rec is the published code: numbers of the reference in float64.

`smlp4rec-official` is held against them as they are, `smlp4rec` where there are no pads.
"""

from __future__ import annotations

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

from srbench.models.smlp4rec import Block
from srbench.recommender import Recommender

CASES = [Mixers("smlp4rec", case) for case in ("itemid", "feats")]


def rename(name: str) -> str:
    for theirs, ours in {
        "item_embedding.": "table.",
        "feature_embed_layer.token_embedding_table.item.embedding.": "encoder.features.",
        "layers.0.c.0.": "encoder.block.fields.first.",
        "layers.0.c.3.": "encoder.block.fields.second.",
        "layers.0.h.0.": "encoder.block.positions.first.",
        "layers.0.h.3.": "encoder.block.positions.second.",
        "layers.0.w.0.": "encoder.block.channels.first.",
        "layers.0.w.3.": "encoder.block.channels.second.",
        "layers.0.norm2.": "encoder.block.norm.",
        "LayerNorm.": "encoder.norm.",
    }.items():
        if name.startswith(theirs):
            return name.replace(theirs, ours)
    return name


def model(golden: Mixers, name: str = "smlp4rec-official") -> Recommender:
    def block(chosen: object) -> nn.Module:
        return Block(chosen, 3, golden.fact("max_len"))  # type: ignore[arg-type]

    if golden.case == "feats":
        return build_for_three_fields(golden, name, rename, "block", block)
    return build(golden, name, rename, settings(golden))


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_every_slot_of_the_published_window(golden: Mixers) -> None:
    assert_same_slots(golden, model(golden))


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_scores_loss_and_gradients_are_those_of_the_reference(golden: Mixers) -> None:
    assert_same_scores_loss_and_gradients(golden, model(golden), rename)


def test_smlp4rec_is_the_published_model_where_there_are_no_pads() -> None:
    assert_same_without_pads(CASES[0], model(CASES[0], "smlp4rec"))


def test_smlp4rec_is_the_published_model_where_its_pads_are_nothing() -> None:
    assert_same_where_pads_are_nothing(CASES[0], "smlp4rec", rename, "block.norm")
