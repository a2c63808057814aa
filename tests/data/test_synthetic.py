"""The data follow the law, the oracle knows it, and nothing is better than the oracle."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from srbench.data.split import leave_one_out
from srbench.data.synthetic import (
    FOLLOW,
    POPULAR,
    TASTE,
    Law,
    Spec,
    _law,
    generate,
    oracle_scores,
    parse,
)
from srbench.errors import SrbenchError

SMALL = "synthetic:users=40,items=20,length=6,seed=3"
WEIGHTS = [0.4, 0.3, 0.2, 0.1]


def test_names() -> None:
    assert parse("synthetic") == Spec(users=2000, items=500, length=30, seed=0)
    assert parse("synthetic:seed=7, items=50") == Spec(items=50, seed=7)
    for name, sentence in [
        ("synthetic:user=5", "Did you mean users"),
        ("synthetic:users=five", "users needs a whole number, not 'five'"),
        ("synthetic:users", "users needs a whole number, not ''"),
        ("synthetic:items=-5", "items needs a whole number"),
        ("synthetic:items=19", "is too small"),
        ("synthetic:users=0", "is too small"),
    ]:
        with pytest.raises(SrbenchError, match=sentence):
            generate(name)


def test_the_same_name_gives_the_same_data() -> None:
    # Should a version of NumPy draw otherwise, results on both sides are not comparable.
    assert generate("synthetic").fingerprint == "9cebeda37886ab11"
    assert generate(SMALL).fingerprint != generate(SMALL.replace("seed=3", "seed=4")).fingerprint


def test_shape() -> None:
    dataset = generate()
    assert (dataset.n_users, dataset.n_items) == (2000, 500)
    assert dataset.lengths.mean() == pytest.approx(30, rel=0.05)
    assert dataset.lengths.min() >= 3
    assert dataset.times is not None
    for user in range(dataset.n_users):
        part = slice(dataset.offsets[user], dataset.offsets[user + 1])
        assert len(set(dataset.items[part].tolist())) == dataset.lengths[user]
        assert (np.diff(dataset.times[part]) > 0).all()
    assert (dataset.items.min(), dataset.items.max()) == (1, 500)


def next_item(law: Law, taste: int, history: list[int]) -> NDArray[np.float64]:
    """The law, as its docstring says it: one user, one taste."""
    chance = TASTE * law.taste_ZV[taste] + POPULAR * law.popular_V
    if history:
        for weight, item in zip(WEIGHTS, law.successors_VK[history[-1]], strict=True):
            chance[item] += FOLLOW * weight
        chance[history] = 0
    normal: NDArray[np.float64] = chance / chance.sum()
    return normal


def oracle_of(law: Law, history: list[int]) -> NDArray[np.float64]:
    """Bayes' rule over tastes, one step after the other."""
    tastes = np.ones(len(law.taste_ZV))
    for t, item in enumerate(history):
        tastes *= [next_item(law, taste, history[:t])[item] for taste in range(len(tastes))]
    tastes /= tastes.sum()
    mixed: NDArray[np.float64] = sum(  # type: ignore[assignment]
        share * next_item(law, taste, history) for taste, share in enumerate(tastes)
    )
    return mixed


def test_the_oracle_is_bayes_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srbench.data.synthetic._CHUNK", 16)  # several chunks, one of them uneven
    dataset = generate(SMALL)
    law = _law(parse(SMALL))
    users = np.repeat(np.arange(dataset.n_users), 2)
    starts = dataset.offsets[users]
    ends = starts + np.tile([0, 4], dataset.n_users) % dataset.lengths[users]
    ends[1] = dataset.offsets[1]  # a whole history, too
    scores = oracle_scores(dataset, users, ends)
    assert scores.shape == (80, 20)
    for n in range(len(users)):
        history = (dataset.items[starts[n] : ends[n]] - 1).tolist()
        np.testing.assert_allclose(scores[n], oracle_of(law, history), atol=1e-12)


def test_probabilities() -> None:
    dataset = generate()
    split = leave_one_out(dataset)
    scores = oracle_scores(dataset, split.test.users, split.test.ends)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    for user in range(0, dataset.n_users, 50):
        history = dataset.items[dataset.offsets[user] : split.test.ends[user]]
        assert (scores[user, history - 1] == 0).all()
        assert scores[user, dataset.items[split.test.ends[user]] - 1] > 0


def test_the_data_follow_the_oracle() -> None:
    """Items to which it gives a chance between p and q come next between p and q of the time."""
    dataset = generate("synthetic:users=8000,items=60,length=12,seed=1")
    test = leave_one_out(dataset).test
    scores = oracle_scores(dataset, test.users, test.ends)
    came = np.zeros_like(scores, dtype=bool)
    came[np.arange(len(test)), dataset.items[test.ends] - 1] = True
    edges = [0.001, 0.005, 0.01, 0.03, 0.06, 0.1, 0.15, 0.25, 1]
    for low, high in pairwise(edges):
        among = (scores >= low) & (scores < high)
        expected, seen = scores[among].sum(), came[among].sum()
        assert expected > 100
        assert abs(seen - expected) < 4 * np.sqrt(expected), (low, high)


def ndcg(scores: NDArray[np.float64], items: NDArray[np.int32]) -> float:
    """NDCG@10, ties half."""
    own = scores[np.arange(len(items)), items - 1][:, None]
    ranks = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean())


def test_popularity_is_far_below_counting_and_counting_below_the_oracle() -> None:
    dataset = generate()
    split = leave_one_out(dataset)
    popular = np.zeros(dataset.n_items)
    follows = np.zeros((dataset.n_items, dataset.n_items))
    for start, end in zip(dataset.offsets[:-1], split.train_ends, strict=True):
        items = dataset.items[start:end] - 1
        np.add.at(popular, items, 1)
        np.add.at(follows, (items[:-1], items[1:]), 1)
    last = dataset.items[split.test.ends - 1] - 1
    counted = follows[last] / (1 + follows[last].sum(axis=1, keepdims=True))
    counted += 0.3 * popular / popular.sum()
    by_popularity = np.tile(popular, (dataset.n_users, 1))
    for user, (start, end) in enumerate(zip(dataset.offsets[:-1], split.test.ends, strict=True)):
        seen = dataset.items[start:end] - 1
        counted[user, seen] = by_popularity[user, seen] = -1
    oracle = oracle_scores(dataset, split.test.users, split.test.ends)
    wanted = dataset.items[split.test.ends]
    assert ndcg(by_popularity, wanted) < 0.06
    assert 0.30 < ndcg(counted, wanted) < ndcg(oracle, wanted) - 0.03
    assert ndcg(oracle, wanted) < 0.5


def test_real_data_have_no_oracle() -> None:
    from dataclasses import replace

    dataset = replace(generate(SMALL), name="ml-1m")
    with pytest.raises(SrbenchError, match="ml-1m has no oracle"):
        oracle_scores(dataset, np.array([0]), np.array([1]))
