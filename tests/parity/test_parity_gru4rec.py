"""GRU4Rec is RecBole's: numbers of the reference in float64."""

from __future__ import annotations

import pytest
from golden import Golden, assert_same_outputs_loss_and_gradients, assert_same_states, build

from srbench.recommender import Recommender

CASES = [Golden("gru4rec", case) for case in ("main", "wide", "l2")]


def rename(name: str) -> str:
    name = name.replace("gru_layers.", "encoder.gru.").replace("dense.", "encoder.dense.")
    return name.replace("item_embedding.", "table.")


def model(golden: Golden) -> Recommender:
    settings = {
        "width": golden.fact("embedding_size"),
        "hidden": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
    }
    return build(golden, "gru4rec", rename, settings)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_prefixes_are_the_states_of_the_reference(golden: Golden) -> None:
    assert_same_states(golden, model(golden))
