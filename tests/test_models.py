"""What every registered model must keep: a new model is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from srbench.contract import CHECKS, LENGTH, N_ITEMS, random_batch, randomised
from srbench.models.base import Batch, Encoder
from srbench.recommender import Recommender
from srbench.registry import get, names

# Beside the small model: every option that changes the computation.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "bert4rec": [{"layers": 1}, {"heads": 1}],
    "fmlprec": [{"layers": 1}, {"filters": False}, {"filters": False, "layers": 1}],
    "fmlprec-official": [{"layers": 1}],
    "glintru": [
        {"kernel": 1},
        {"kernel": 5},
        {"kernel": 7, "layers": 2},
        {"layers": 3},
        {"selective_gate": False},
        {"attention": False},
        {"gated_mlp": False},
    ],
    "gru4rec": [{"layers": 2}, {"hidden": 5}],
    "itemknn": [{"recent": 1}, {"recent": 20, "decay": 0.5, "neighbours": 2}],
    "lightsans": [{"layers": 1}, {"interests": 1, "layers": 3}, {"heads": 1}],
    "lightsans-official": [{"layers": 1}],
    "linrec": [{"keys": "history"}, {"layers": 1}, {"heads": 1}],
    "linrec-official": [{"keys": "history"}, {"layers": 1}],
    "hstu": [
        {"target_time": True},
        {"time": False},
        {"concat_ua": True, "dqk": 3, "dv": 5},
        {"layers": 3},
    ],
    "lrurec": [{"layers": 1}, {"layers": 3}],
    "mamba4rec": [{"layers": 2}, {"taps": 1, "states": 3}, {"taps": 6, "expand": 1}],
    "mlp4rec": [{"layers": 1}, {"layers": 1, "item_feature": False}, {"item_feature": False}],
    "mlp4rec-official": [{"layers": 1}, {"item_feature": False}],
    "mingru4rec": [{"layers": 2}, {"cell": "minlstm"}, {"expansion": 1.5, "layers": 2}],
    "recblr": [{"layers": 1}, {"expand": 1.5, "taps": 3}, {"taps": 1, "layers": 3}],
    "recblr-official": [{"layers": 1}, {"taps": 1}],
    "sasrec": [{"layers": 1}, {"heads": 1}],
    "sigma": [{"layers": 2}, {"kept": 0}, {"kept": 2, "taps": 2}],
    "sigma-official": [{"layers": 2}, {"flipped": 3}],
    "smlp4rec": [{"layers": 2}, {"item_feature": False}, {"layers": 3, "expansion": 1}],
    "smlp4rec-official": [{"layers": 2}, {"item_feature": False}],
    "tim4rec": [{"layers": 1}, {"time": False}, {"pointwise_gate": True, "taps": 2}],
    "tim4rec-official": [{"layers": 1}, {"pointwise_gate": True}, {"activation": "silu"}],
    "sligru4rec": [{"cell": "ligru"}, {"layers": 2, "affine": True}, {"activation": "tanh"}],
}
CASES = [(name, {}) for name in names()]
CASES += [(name, options) for name, variants in VARIANTS.items() for options in variants]


def small(name: str, options: dict[str, Any]) -> Recommender:
    """The model at width 8 with random weights everywhere, norms and biases too."""
    kind = get(name)
    narrow = {"width": 8, "heads": 2, "hidden": 8, "inner": 16}
    settings = {n: v for n, v in narrow.items() if n in kind.Settings.model_fields} | options
    return randomised(kind, kind.Settings(**settings))


@pytest.fixture(params=CASES, ids=lambda c: "-".join([c[0], *map(str, c[1].items())]))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return small(*request.param)


@pytest.mark.parametrize("kept", CHECKS.values(), ids=list(CHECKS))
def test_contract(recommender: Recommender, kept: Callable[[Recommender], None]) -> None:
    kept(recommender)


def test_dropout_only_in_training(recommender: Recommender) -> None:
    batch = random_batch(recommender)
    before = recommender.represent(batch)
    torch.testing.assert_close(recommender.represent(batch), before, rtol=0, atol=0)
    if type(recommender.encoder).learns == "gradient":
        assert not torch.allclose(recommender.train().represent(batch), before)


@pytest.mark.parametrize("name", names())
def test_a_model_explains_itself(name: str) -> None:
    kind = get(name)
    assert issubclass(kind, Encoder)
    assert kind.info.family in ("RNN", "Transformer", "MLP", "SSM", "reference")
    assert kind.info.summary.endswith(".")
    assert kind.__doc__
    for field in kind.Settings.model_fields.values():
        assert field.description


@pytest.mark.parametrize("name", names())
def test_equal_seeds_make_equal_models(name: str) -> None:
    kind = get(name)
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(Recommender(kind, kind.Settings(), N_ITEMS, LENGTH).state_dict())
    for ours, theirs in zip(weights[0].values(), weights[1].values(), strict=True):
        if kind.learns == "gradient":
            assert torch.equal(ours, theirs)


def test_popularity_counts_the_training_part() -> None:
    recommender = Recommender(get("pop"), get("pop").Settings(), 4, LENGTH)
    recommender.fit_by_counting(torch.tensor([1, 2, 2, 4, 2, 1]), torch.tensor([0, 3, 6]))
    s_BV = recommender.score(recommender.represent(Batch(torch.tensor([[3]]), torch.tensor([1]))))
    assert s_BV.tolist() == [[2.0, 3.0, 0.0, 1.0]]


def test_initialisation_is_that_of_the_reference() -> None:
    torch.manual_seed(0)
    sasrec = Recommender(get("sasrec"), get("sasrec").Settings(), 999, 50)
    assert sasrec.table.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert sasrec.encoder.blocks[0].ffn.dense_1.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for name in ("gru4rec", "glintru"):
        narrow = {"width": 64, "heads": 8} if name == "glintru" else {}
        recommender = Recommender(get(name), get(name).Settings(**narrow), 999, 50)
        xavier = (2 / (1000 + 64)) ** 0.5
        assert recommender.table.weight.std().item() == pytest.approx(xavier, rel=0.02)
        in_layer = recommender.encoder.gru.weight_ih_l0
        bound = (6 / sum(in_layer.shape)) ** 0.5
        assert in_layer.abs().max().item() == pytest.approx(bound, rel=0.01)
