"""Who trains on what, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from srbench.data.dataset import Dataset, Split
from srbench.data.split import (
    last_pair_tied,
    leak,
    leave_one_out,
    make_split,
    temporal,
    tied_share,
)
from srbench.errors import SrbenchError


def dataset_of(*times: list[int], timed: bool = True) -> Dataset:
    """A user for each list; the items are 1, 2, 3, ... in order of the flat array."""
    flat = np.array([time for user in times for time in user], dtype=np.int64)
    return Dataset(
        name="test",
        items=np.arange(1, len(flat) + 1, dtype=np.int32),
        offsets=np.cumsum([0, *map(len, times)]).astype(np.int64),
        times=flat if timed else None,
        user_ids=np.array([f"u{n}" for n in range(len(times))]),
        item_ids=np.array([f"i{n}" for n in range(len(flat))]),
        fingerprint="0" * 16,
    )


def targets(dataset: Dataset, split: Split, which: str) -> list[tuple[int, list[int], int]]:
    """(user, history, item) of each target."""
    part = split.valid if which == "valid" else split.test
    return [
        (user, dataset.items[dataset.offsets[user] : end].tolist(), int(dataset.items[end]))
        for user, end in zip(part.users.tolist(), part.ends.tolist(), strict=True)
    ]


def test_leave_one_out() -> None:
    dataset = dataset_of([1, 2, 3, 4], [5, 6, 7])
    split = leave_one_out(dataset)
    assert split.name == "loo"
    assert split.train_ends.tolist() == [2, 5]
    assert targets(dataset, split, "valid") == [(0, [1, 2], 3), (1, [5], 6)]
    # The history of the test holds the item of the validation.
    assert targets(dataset, split, "test") == [(0, [1, 2, 3], 4), (1, [5, 6], 7)]


def test_temporal() -> None:
    # 20 interactions at the times 0 to 19: at 0.8 training ends before 16, validation before 18.
    dataset = dataset_of(
        [0, 1, 2, 16, 17, 18, 19],  # all three parts; the first of each part is the target
        [3, 4, 5, 6, 7],  # only training
        [8, 9, 10],  # only training
        [11, 12, 13, 14, 15],
    )
    split = temporal(dataset, 0.8)
    assert split.name == "temporal:0.8"
    assert split.train_ends.tolist() == [3, 12, 15, 20]
    assert targets(dataset, split, "valid") == [(0, [1, 2, 3], 4)]
    assert targets(dataset, split, "test") == [(0, [1, 2, 3, 4, 5], 6)]
    assert leak(dataset, split) == 0


def test_temporal_asks_nobody_without_a_history() -> None:
    dataset = dataset_of([0, 1, 2, 8], [3, 4, 5, 9], [8, 8, 9], [9, 9, 9])
    split = temporal(dataset, 0.5)  # cut at 8 and 9
    assert split.train_ends.tolist() == [3, 7, 8, 11]
    assert [user for user, *_ in targets(dataset, split, "valid")] == [0]
    # User 3 begins after the second cut; user 2 has a history by then.
    assert targets(dataset, split, "test") == [(1, [5, 6, 7], 8), (2, [9, 10], 11)]


def test_temporal_that_cannot_be() -> None:
    with pytest.raises(SrbenchError, match="test has no times"):
        temporal(dataset_of([1, 2, 3], timed=False), 0.9)
    for quantile in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(SrbenchError, match="needs a number between 0 and 1"):
            temporal(dataset_of([1, 2, 3]), quantile)
    with pytest.raises(SrbenchError, match="leaves nothing to train on or to predict"):
        temporal(dataset_of([5, 5, 5], [5, 5, 5]), 0.9)


def test_make_split() -> None:
    dataset = dataset_of([0, 1, 2, 16, 17, 18, 19], [3, 4, 5, 6, 7, 8, 9, 10, 11])
    assert make_split(dataset, "loo").name == "loo"
    assert make_split(dataset, "temporal:0.750").name == "temporal:0.75"
    for name in ("lo", "loo:3", "temporal", "temporal:x", ""):
        with pytest.raises(SrbenchError, match=r"it is loo or temporal:0\.9"):
            make_split(dataset, name)


def test_leak() -> None:
    # Tests at 4 and 30: their median is 17; of the training at 1, 2, 20, 21 two are later.
    dataset = dataset_of([1, 2, 3, 4], [20, 21, 22, 30])
    assert leak(dataset, leave_one_out(dataset)) == 0.5
    untimed = dataset_of([1, 2, 3, 4], [20, 21, 22, 30], timed=False)
    assert leak(untimed, leave_one_out(untimed)) is None


def test_ties() -> None:
    # Equal times of two users are no tie.
    dataset = dataset_of([1, 1, 2, 2], [2, 3, 4], [5, 5, 5, 6], [7, 8, 9, 9])
    assert tied_share(dataset) == 9 / 15
    assert last_pair_tied(dataset) == 2 / 4
    untimed = dataset_of([1, 1, 1], timed=False)
    assert tied_share(untimed) is None
    assert last_pair_tied(untimed) is None
