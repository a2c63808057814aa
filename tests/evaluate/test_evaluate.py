from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from srbench.data.dataset import Dataset, Split, Targets
from srbench.data.split import leave_one_out
from srbench.errors import RunFailed, SrbenchError
from srbench.evaluate import evaluate as room
from srbench.evaluate.evaluate import evaluate
from srbench.evaluate.negatives import draw, popularity_weights, uniform_weights
from srbench.evaluate.protocol import FULL, FULL_DROP, FULL_KEEP, POP100, PROTOCOLS, UNI100
from srbench.evaluate.seen import seen_before
from srbench.models.base import Batch, Encoder

Make = Callable[..., Any]


@pytest.fixture
def rankable(make_dataset: Make) -> Dataset:
    """Like `dataset`, with items enough that everyone has negatives."""
    random = np.random.default_rng(5)
    lengths = [3, 4, 4, 5, 7, 9, 12, 20]
    return make_dataset([random.integers(1, 16, n).tolist() for n in lengths], 30)


def expected_ranks(
    recommender: Any, dataset: Dataset, split: Split, length: int, mid_rank: Make
) -> dict[Any, list[float]]:
    """One user at a time, by sorting: the obvious way."""
    table = recommender.table.weight.detach().numpy()
    weights = {UNI100: uniform_weights(dataset), POP100: popularity_weights(dataset, split)}
    ranks: dict[Any, list[float]] = {protocol: [] for protocol in PROTOCOLS}
    for user, end in zip(split.test.users, split.test.ends, strict=True):
        history = dataset.items[dataset.offsets[user] : end].tolist()
        target = int(dataset.items[end])
        scores = (table[1:] @ table[history[-length:]].sum(0)).tolist()
        ranks[FULL_KEEP].append(mid_rank(scores, target))
        ranks[FULL_DROP].append(mid_rank(scores, target, history))
        for stream, protocol in enumerate((UNI100, POP100)):
            one = Targets(np.array([user]), np.array([end]))
            seen = seen_before(dataset, one)
            drawn = draw(seen, np.array([target]), one.ends, weights[protocol], stream)[0]
            candidates = [scores[target - 1], *(scores[item - 1] for item in drawn)]
            ranks[protocol].append(mid_rank(candidates, 1))
    return ranks


def test_one_pass_gives_the_ranks_of_the_obvious_way(
    rankable: Dataset, make_recommender: Make, rank_by_sorting: Make
) -> None:
    split, length = leave_one_out(rankable), 5
    recommender = make_recommender(rankable, length)
    expected = expected_ranks(recommender, rankable, split, length, rank_by_sorting)
    evaluation = evaluate(recommender, rankable, split, "test", length=length)
    assert {p: ranks.tolist() for p, ranks in evaluation.ranks.items()} == expected
    assert all(ranks.dtype == np.float32 for ranks in evaluation.ranks.values())
    assert evaluation.targets is split.test
    hits = np.mean([rank <= 5 for rank in expected[FULL_DROP]])
    assert 0 < hits < 1
    assert evaluation.metrics["hr@5|full|seen:drop|ties:half|loo|v1"] == hits
    assert evaluation["hr@5|full|seen:drop"] == hits
    assert len(evaluation.metrics) == 4 * 3 * 5


@pytest.mark.parametrize("batch_tokens", [1, 7, 10_000])
@pytest.mark.parametrize("catalogue_chunk", [4, 29, 1 << 20])
def test_batches_and_chunks_change_nothing(
    rankable: Dataset,
    make_recommender: Make,
    batch_tokens: int,
    catalogue_chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = leave_one_out(rankable)
    recommender = make_recommender(rankable, 5)
    once = evaluate(recommender, rankable, split, "test", length=5)
    monkeypatch.setattr(room, "SEEN", 12)
    widest = 0
    score_range = recommender.score_range

    def watched(h_BD: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        nonlocal widest
        widest = max(widest, stop - start)
        return score_range(h_BD, start, stop)

    recommender.score_range = watched
    again = evaluate(
        recommender,
        rankable,
        split,
        "test",
        length=5,
        batch_tokens=batch_tokens,
        catalogue_chunk=catalogue_chunk,
    )
    assert widest == min(catalogue_chunk, 30)
    assert again.metrics == once.metrics
    assert again.coverage == once.coverage
    assert again.tied == once.tied
    for protocol in PROTOCOLS:
        assert again.ranks[protocol].tolist() == once.ranks[protocol].tolist()


def test_the_order_of_the_users_changes_nothing(rankable: Dataset, make_recommender: Make) -> None:
    split = leave_one_out(rankable)
    order = np.array([3, 0, 7, 5, 1, 2, 6, 4])
    moved = Targets(split.test.users[order], split.test.ends[order])
    recommender = make_recommender(rankable, 5)
    straight = evaluate(recommender, rankable, split, "test", length=5)
    shuffled = evaluate(
        recommender,
        rankable,
        Split("loo", split.train_ends, split.valid, moved),
        "test",
        length=5,
    )
    for protocol in PROTOCOLS:
        assert shuffled.ranks[protocol].tolist() == straight.ranks[protocol][order].tolist()


def test_test_histories_hold_the_validation_item_and_batches_keep_their_budget(
    dataset: Dataset, make_recommender: Make
) -> None:
    recommender = make_recommender(dataset, 4)
    evaluate(recommender, dataset, leave_one_out(dataset), "test", length=4, protocols=FULL)
    rows = [row for batch in recommender.encoder.batches for row in batch.items_BL.tolist()]
    assert sorted(rows) == [[1, 2, 3, 4], [3, 1, 4, 0], [5, 4, 3, 2], [6, 1, 2, 7], [7, 8, 0, 0]]
    recommender.encoder.batches.clear()
    evaluate(
        recommender,
        dataset,
        leave_one_out(dataset),
        "valid",
        length=4,
        protocols=FULL,
        batch_tokens=8,
    )
    shapes = [tuple(batch.items_BL.shape) for batch in recommender.encoder.batches]
    assert shapes == [(2, 4), (2, 3), (1, 1)]


def test_a_model_that_sees_pads_gets_no_larger_batches(
    dataset: Dataset, make_recommender: Make, integer_sum: type[Encoder]
) -> None:
    class SeesPads(integer_sum):  # type: ignore[misc, valid-type]
        pad_invariant = False

    recommender = make_recommender(dataset, 4, SeesPads)
    evaluate(
        recommender,
        dataset,
        leave_one_out(dataset),
        length=4,
        protocols=FULL,
        batch_tokens=8,
    )
    assert [len(batch) for batch in recommender.encoder.batches] == [2, 2, 1]


def test_validation_asks_only_for_what_it_needs(
    dataset: Dataset, make_recommender: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: Any, **__: Any) -> None:
        raise AssertionError("negatives were drawn")

    monkeypatch.setattr(room, "draw", unwanted)
    evaluation = evaluate(
        make_recommender(dataset, 4),
        dataset,
        leave_one_out(dataset),
        length=4,
        protocols=FULL,
        ks=(10,),
        coverage_at=None,
    )
    assert set(evaluation.ranks) == set(FULL)
    assert evaluation.which == "valid"
    assert evaluation.coverage == {}
    assert len(evaluation.metrics) == 2 * 3


def test_a_limited_evaluation_says_so_and_takes_the_same_users(
    rankable: Dataset, make_recommender: Make
) -> None:
    split = leave_one_out(rankable)
    recommender = make_recommender(rankable, 5)
    whole = evaluate(recommender, rankable, split, "test", length=5)
    part = evaluate(recommender, rankable, split, "test", length=5, limit=3)
    assert len(part.targets) == 3
    for protocol in PROTOCOLS:
        expected = whole.ranks[protocol][part.targets.users]
        assert part.ranks[protocol].tolist() == expected.tolist()
    assert all(text.endswith("|loo|v1|users:3of8") for text in part.metrics | part.coverage)
    assert set(evaluate(recommender, rankable, split, "test", length=5, limit=8).metrics) == set(
        whole.metrics
    )
    fewer = evaluate(recommender, rankable, split, "test", length=5, limit=2)
    assert set(fewer.targets.users) < set(part.targets.users)


class Fails(Encoder):
    """NaN for histories of one length, zero for all others."""

    width = 2
    fails_at = 0

    def __init__(self, settings: Any, n_items: int, length: int) -> None:
        super().__init__()

    def init_table(self, table_VD: torch.Tensor) -> None:
        table_VD.fill_(1.0)

    def forward(self, x_BLD: torch.Tensor, batch: Batch) -> torch.Tensor:
        h_BD = torch.zeros(len(batch), 2)
        h_BD[batch.lengths_B == self.fails_at] = torch.nan
        return h_BD


def test_scores_that_are_nan_end_the_run_in_one_sentence(
    dataset: Dataset, make_recommender: Make
) -> None:
    recommender = make_recommender(dataset, 6, Fails)
    recommender.encoder.fails_at = 6
    recommender.train()
    with pytest.raises(RunFailed, match=r"^18 of 45 scores, of 2 of 5 users, are NaN or infinite"):
        evaluate(recommender, dataset, leave_one_out(dataset), "test", length=6, protocols=FULL)
    assert recommender.training


def test_a_constant_scorer_gains_nothing_and_is_told(
    dataset: Dataset, make_recommender: Make
) -> None:
    recommender = make_recommender(dataset, 6, Fails)
    recommender.eval()
    split = leave_one_out(dataset)
    evaluation = evaluate(recommender, dataset, split, "test", length=6, protocols=FULL, ks=(1,))
    assert evaluation.ranks[FULL_KEEP].tolist() == [5.0] * 5  # the middle of nine items
    assert evaluation.ranks[FULL_DROP].tolist() == [3.0, 3.5, 4.0, 1.0, 4.0]
    assert evaluation["hr@1|full|seen:keep"] == 0
    assert evaluation.tied == 1.0
    [(what, advice)] = evaluation.warnings
    assert what.startswith("100 % of users have tied targets")
    assert "collapsed" in advice
    assert evaluation.coverage == {"coverage@10|full|seen:keep|ties:half|loo|v1": 1.0}
    assert not recommender.training


def test_a_model_without_ties_is_not_warned_about(
    make_dataset: Make, make_recommender: Make, integer_sum: type[Encoder]
) -> None:
    class Powers(integer_sum):  # type: ignore[misc, valid-type]
        width = 1

        def init_table(self, table_VD: torch.Tensor) -> None:
            table_VD.copy_(2.0 ** torch.arange(len(table_VD))[:, None])

    data = make_dataset([[1, 2, 3, 4], [5, 4, 6]], 7)
    evaluation = evaluate(
        make_recommender(data, 4, Powers), data, leave_one_out(data), "test", length=4
    )
    assert evaluation.ranks[FULL_KEEP].tolist() == [4.0, 2.0]
    assert evaluation.tied == 0.0
    assert evaluation.warnings == ()


def test_a_name_must_mean_one_metric(dataset: Dataset, make_recommender: Make) -> None:
    evaluation = evaluate(
        make_recommender(dataset, 4), dataset, leave_one_out(dataset), length=4, protocols=FULL
    )
    full = "ndcg@10|full|seen:keep|ties:half|loo|v1"
    assert evaluation["ndcg@10|full|seen:keep"] == evaluation.metrics[full] == evaluation[full]
    for name in ("ndcg@10", "ndcg@10|full|seen:kee", "ndcg@10|pop100|seen:drop"):
        with pytest.raises(KeyError):
            evaluation[name]


def test_nothing_to_rank_is_one_sentence(dataset: Dataset, make_recommender: Make) -> None:
    split = leave_one_out(dataset)
    nobody = Targets(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    with pytest.raises(SrbenchError, match="No user of literal has an event in the test part"):
        evaluate(
            make_recommender(dataset, 4),
            dataset,
            Split("loo", split.train_ends, split.valid, nobody),
            "test",
            length=4,
        )


@pytest.mark.gpu
def test_a_gpu_gives_the_ranks_of_the_cpu(rankable: Dataset, make_recommender: Make) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    split = leave_one_out(rankable)
    recommender = make_recommender(rankable, 5)
    cpu = evaluate(recommender, rankable, split, "test", length=5)
    gpu = evaluate(recommender.to("cuda"), rankable, split, "test", length=5, device="cuda")
    assert gpu.metrics == cpu.metrics
    assert gpu.coverage == cpu.coverage
    for protocol in PROTOCOLS:
        assert gpu.ranks[protocol].tolist() == cpu.ranks[protocol].tolist()
