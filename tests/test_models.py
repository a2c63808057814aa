"""What every registered model must keep: a new model is tested by being there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin
from zlib import crc32

import pytest
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor

from srbench.contract import CHECKS, LENGTH, N_ITEMS, random_batch, randomised
from srbench.models.base import Batch, ClozeSettings, Encoder, Settings
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
    known = kind.Settings.model_fields.keys() - kind.Settings.without_effect(options).keys()
    settings = {n: v for n, v in narrow.items() if n in known} | options
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


# What decides which events are hidden, or whose kernel runs, and nothing of what a model computes.
OUTSIDE = {*ClozeSettings.model_fields, "scan"}


def others(value: Any, field: FieldInfo) -> Iterator[Any]:
    """Other values of a setting; some may not be allowed."""
    if get_origin(field.annotation) is Literal:
        yield from (other for other in get_args(field.annotation) if other != value)
    elif isinstance(value, bool):
        yield not value
    else:
        step = 1 if isinstance(value, int) else 0.25
        near = (value * 2, value + step, value // 2 if step == 1 else value / 2, 2, step)
        yield from (type(value)(other) for other in near if other != value)


def computed(kind: type[Encoder], settings: Settings) -> tuple[list[Tensor], list[Tensor]]:
    """The weights at the beginning; representations and scores, in training too, with weights that
    depend on their name and shape alone."""
    recommender = randomised(kind, settings)
    torch.manual_seed(0)
    begun = list(Recommender(kind, settings, N_ITEMS, LENGTH).state_dict().values())
    if kind.learns == "gradient":
        for name, weight in recommender.named_parameters():
            generator = torch.Generator().manual_seed(crc32(name.encode()))
            weight.data.copy_(torch.randn(weight.shape, generator=generator) / math.sqrt(8))
    batch, found = random_batch(recommender), []
    for training in (False, True):
        torch.manual_seed(0)
        h_BD = recommender.train(training).represent(batch)
        found += [h_BD, recommender.score(h_BD)]
    return begun, found


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def comparable(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return [a.shape for a in ours] == [b.shape for b in theirs]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_each_setting_has_an_effect_or_is_refused(name: str, options: dict[str, Any]) -> None:
    kind, narrow = get(name), small(name, options).settings
    fields = kind.Settings.model_fields
    given = {n: getattr(narrow, n) for n in narrow.model_fields_set}
    begun, found = computed(kind, narrow)
    for field in fields.keys() - OUTSIDE - options.keys():
        accepted, changed = False, False
        for value in others(getattr(narrow, field), fields[field]):
            try:
                settings = kind.Settings(**given | {field: value})
            except ValidationError:
                continue
            accepted = True
            other_begun, other_found = computed(kind, settings)
            changed |= not same(found, other_found)
            changed |= comparable(begun, other_begun) and not same(begun, other_begun)
            if changed:
                break
        assert changed or not accepted, f"{field} is accepted and changes nothing"


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
