from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srbench.data.dataset import Dataset, Targets
from srbench.data.split import leave_one_out
from srbench.errors import SrbenchError
from srbench.evaluate.negatives import (
    draw,
    popularity_weights,
    random_words,
    require_candidates,
    uniform_weights,
)
from srbench.evaluate.seen import Seen, seen_before


def draw_for(
    dataset: Dataset, targets: Targets, weights: np.ndarray, stream: int = 0
) -> np.ndarray:
    items = dataset.items[targets.ends].astype(np.int64)
    return draw(seen_before(dataset, targets), items, targets.ends, weights, stream)


def rows_of(rows: list[list[int]]) -> Seen:
    counts = [len(row) for row in rows]
    return Seen(
        np.repeat(np.arange(len(rows)), counts),
        np.array([item for row in rows for item in row], dtype=np.int64),
        np.cumsum([0, *counts], dtype=np.int64),
    )


def test_popularity_counts_training_interactions_only(dataset: Dataset) -> None:
    # Training parts: 1 2 3 | 2 2 6 1 2 | 7 | 9 8 7 6 5 4 3 | 3 1.
    weights = popularity_weights(dataset, leave_one_out(dataset))
    assert weights.tolist() == [3, 4, 3, 1, 1, 2, 2, 1, 1]
    assert uniform_weights(dataset).tolist() == [1] * 9


@pytest.mark.parametrize("popular", [False, True])
def test_negatives_lie_outside_the_history_and_are_not_the_target(
    dataset: Dataset, popular: bool
) -> None:
    split = leave_one_out(dataset)
    targets = Targets(split.test.users[[0, 1, 2, 4]], split.test.ends[[0, 1, 2, 4]])
    weights = popularity_weights(dataset, split) if popular else uniform_weights(dataset)
    drawn = draw_for(dataset, targets, weights)
    assert drawn.shape == (4, 100)
    assert [sorted(set(row)) for row in drawn.tolist()] == [
        [6, 7, 8, 9],
        [3, 4, 5, 8, 9],
        [1, 2, 3, 4, 5, 6],
        [2, 5, 6, 7, 8, 9],
    ]


def test_negatives_do_not_depend_on_who_else_is_drawn_for(dataset: Dataset) -> None:
    test = leave_one_out(dataset).test
    order = np.array([4, 2, 0, 1])
    weights = uniform_weights(dataset)
    together = draw_for(dataset, Targets(test.users[order], test.ends[order]), weights)
    for row, user in enumerate(order):
        alone = draw_for(dataset, Targets(test.users[[user]], test.ends[[user]]), weights)
        assert alone[0].tolist() == together[row].tolist()


def test_streams_and_targets_draw_differently() -> None:
    ends = np.array([10, 11], dtype=np.int64)
    words = np.concatenate([random_words(ends, 3, 0), random_words(ends, 3, 1)])
    assert len(np.unique(words)) == 12


def test_the_draws_of_version_1_stay_what_they_are() -> None:
    # A change here changes published numbers: it needs another protocol version.
    drawn = draw(
        rows_of([[1, 3], []]), np.array([2, 1]), np.array([7, 1_000_000]), np.ones(50, int), 0, n=8
    )
    assert drawn.tolist() == [
        [29, 38, 39, 45, 28, 16, 36, 39],
        [30, 48, 39, 33, 13, 34, 46, 5],
    ]


@given(data=st.data())
def test_draws_are_those_of_walking_through_what_is_left(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(2, 10))
    item = st.integers(1, n_items)
    targets = data.draw(st.lists(item, min_size=1, max_size=5))
    seen = [sorted(data.draw(st.sets(item, max_size=n_items - 2)) - {t}) for t in targets]
    weights = np.array(data.draw(st.lists(st.integers(0, 5), min_size=n_items, max_size=n_items)))
    ends = np.array(data.draw(st.lists(st.integers(0, 2**40), min_size=5, max_size=5)))[
        : len(targets)
    ]
    drawn = draw(rows_of(seen), np.array(targets), ends, weights, stream=1, n=6)
    for row, words in enumerate(random_words(ends, 6, 1).tolist()):
        left = [i for i in range(1, n_items + 1) if i not in {*seen[row], targets[row]}]
        line = [i for i in left for _ in range(weights[i - 1])] or left
        assert drawn[row].tolist() == [line[word % len(line)] for word in words]


def test_draws_follow_the_weights() -> None:
    weights = np.array([1, 2, 3, 4, 5, 6])
    drawn = draw(rows_of([[6]]), np.array([5]), np.array([0]), weights, 0, n=100_000)
    shares = np.bincount(drawn[0], minlength=7)[1:] / 100_000
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0.4, 0, 0], atol=0.005)


def test_a_user_with_one_item_left_gets_it_a_hundred_times() -> None:
    everything_but_7 = [i for i in range(1, 1001) if i not in (7, 500)]
    drawn = draw(rows_of([everything_but_7]), np.array([500]), np.array([3]), np.ones(1000, int), 0)
    assert drawn.tolist() == [[7] * 100]


def test_where_only_unpopular_items_are_left_they_are_drawn_uniformly() -> None:
    weights = np.array([5, 5, 0, 0])
    drawn = draw(rows_of([[1], [1, 4]]), np.array([2, 3]), np.array([1, 2]), weights, 1)
    assert set(drawn[0]) == {3, 4}
    assert set(drawn[1]) == {2}


def test_no_item_left_is_one_sentence(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset([[1, 2, 3], [1, 1, 2]], 3)
    test = leave_one_out(dataset).test
    for call in (
        lambda: draw_for(dataset, test, uniform_weights(dataset)),
        lambda: require_candidates(dataset, test),
    ):
        with pytest.raises(SrbenchError, match=r"^1 user has seen every item .* but the target"):
            call()
    require_candidates(dataset, leave_one_out(dataset).valid)
