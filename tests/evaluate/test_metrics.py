"""Metrics against closed forms, golden values of other libraries, and two libraries live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from srbench.evaluate.metrics import KS, PER_USER, hit_rate, means, mrr, ndcg
from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP
from srbench.evaluate.ranking import ranks_of

GOLDEN = dict(np.load(Path(__file__).parent.parent / "golden" / "metrics.npz"))
UNTIED = ~GOLDEN["target_tied"]


@pytest.fixture(scope="module")
def golden_ranks() -> np.ndarray:
    # Row 49 holds masked items at -inf, which we refuse; any score below all others ranks alike.
    scores = np.where(np.isneginf(GOLDEN["scores"]), -1e6, GOLDEN["scores"])
    ranked = ranks_of(torch.from_numpy(scores), torch.from_numpy(GOLDEN["target"]) + 1)
    assert ranked.tied_B.tolist() == GOLDEN["target_tied"].tolist()
    return ranked.ranks[FULL_KEEP].numpy()


def test_metrics_of_whole_and_half_ranks() -> None:
    ranks = np.array([1, 1.5, 5, 5.5, 10, 11], dtype=np.float32)
    assert hit_rate(ranks, 5).tolist() == [1, 1, 1, 0, 0, 0]
    assert ndcg(ranks, 10).tolist() == [
        1.0,
        1 / np.log2(2.5),
        1 / np.log2(6),
        1 / np.log2(6.5),
        1 / np.log2(11),
        0.0,
    ]
    assert mrr(ranks, 5).tolist() == [1.0, 1 / 1.5, 1 / 5, 0.0, 0.0, 0.0]


def test_means_carry_their_signatures() -> None:
    ranks = {
        FULL_KEEP: np.array([1, 3], dtype=np.float32),
        FULL_DROP: np.array([1, 1], dtype=np.float32),
    }
    assert means(ranks, "loo", ks=(1,), users=(2, 9)) == {
        "hr@1|full|seen:keep|ties:half|loo|v1|users:2of9": 0.5,
        "ndcg@1|full|seen:keep|ties:half|loo|v1|users:2of9": 0.5,
        "mrr@1|full|seen:keep|ties:half|loo|v1|users:2of9": 0.5,
        "hr@1|full|seen:drop|ties:half|loo|v1|users:2of9": 1.0,
        "ndcg@1|full|seen:drop|ties:half|loo|v1|users:2of9": 1.0,
        "mrr@1|full|seen:drop|ties:half|loo|v1|users:2of9": 1.0,
    }
    assert KS == (1, 5, 10, 20, 50)
    assert len(means(ranks, "loo")) == 2 * 3 * 5


def test_golden_ranks(golden_ranks: np.ndarray) -> None:
    assert golden_ranks.tolist() == GOLDEN["rank/mean"].tolist()


@pytest.mark.parametrize(
    ("metric", "golden"),
    [
        *[("hr", f"hit/{source}") for source in ("optimistic", "recbole", "ranx")],
        *[("ndcg", f"ndcg/{source}") for source in ("recbole", "ranx", "sklearn_tie_averaged")],
        ("ndcg", "ndcg/trec_eval"),
        *[("mrr", f"mrr/{source}") for source in ("optimistic", "recbole", "ranx")],
    ],
)
def test_golden_metrics_without_ties(golden_ranks: np.ndarray, metric: str, golden: str) -> None:
    ours = np.stack([PER_USER[metric](golden_ranks, k) for k in GOLDEN["k"]], axis=1)
    assert UNTIED.sum() == 32
    np.testing.assert_allclose(ours[UNTIED], GOLDEN[golden][UNTIED], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("metric", "golden"), [("hr", "hit"), ("ndcg", "ndcg"), ("mrr", "mrr")])
def test_ties_count_between_the_best_and_the_worst_case(
    golden_ranks: np.ndarray, metric: str, golden: str
) -> None:
    ours = np.stack([PER_USER[metric](golden_ranks, k) for k in GOLDEN["k"]], axis=1)
    assert (ours <= GOLDEN[f"{golden}/optimistic"] + 1e-12).all()
    assert (ours >= GOLDEN[f"{golden}/pessimistic"] - 1e-12).all()
    constant = 46
    assert (ours[constant] == 0).all()
    assert (GOLDEN[f"{golden}/optimistic"][constant] == 1).all()


def test_ranx_and_scikit_learn_agree_without_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling ranx takes longer than all our tests
    import ranx

    random = np.random.default_rng(7)
    n_users, n_items = 30, 60
    scores = np.argsort(random.random((n_users, n_items)), axis=1).astype(np.float64)  # no ties
    targets = random.integers(1, n_items + 1, n_users)
    ranked = ranks_of(torch.from_numpy(scores), torch.from_numpy(targets))
    ours = means({FULL_KEEP: ranked.ranks[FULL_KEEP].numpy()}, "loo", ks=(1, 5, 10, 20))

    wanted = ranx.Qrels({f"u{u}": {f"i{i}": 1} for u, i in enumerate(targets)})
    given = ranx.Run(
        {
            f"u{u}": {f"i{i}": scores[u, i - 1] for i in range(1, n_items + 1)}
            for u in range(n_users)
        }
    )
    relevant = np.zeros_like(scores)
    relevant[np.arange(n_users), targets - 1] = 1
    for k in (1, 5, 10, 20):
        theirs = ranx.evaluate(wanted, given, [f"hit_rate@{k}", f"ndcg@{k}", f"mrr@{k}"])
        for metric, name in (("hr", "hit_rate"), ("ndcg", "ndcg"), ("mrr", "mrr")):
            value = ours[f"{metric}@{k}|full|seen:keep|ties:half|loo|v1"]
            assert value == pytest.approx(theirs[f"{name}@{k}"], abs=1e-12)
        learn = ndcg_score(relevant, scores, k=k, ignore_ties=True)
        assert ours[f"ndcg@{k}|full|seen:keep|ties:half|loo|v1"] == pytest.approx(learn, abs=1e-12)
