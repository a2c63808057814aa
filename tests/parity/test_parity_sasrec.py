"""SASRec is RecBole's: numbers of the reference in float64."""

from __future__ import annotations

import pytest
from golden import (
    Golden,
    assert_same_outputs_loss_and_gradients,
    assert_same_states,
    build,
    rename_transformer,
)

from srbench.recommender import Recommender

CASES = [Golden("sasrec", case) for case in ("l1", "l2")]


def rename(name: str) -> str:
    return rename_transformer(name).replace("item_embedding.", "table.")


def model(golden: Golden) -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "heads": golden.fact("n_heads"),
        "inner": golden.fact("inner_size"),
    }
    return build(golden, "sasrec", rename, settings)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_prefixes_are_the_states_of_the_reference(golden: Golden) -> None:
    assert_same_states(golden, model(golden))
