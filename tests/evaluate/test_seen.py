from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from srbench.data.dataset import Dataset, Targets
from srbench.data.split import leave_one_out
from srbench.evaluate.seen import history_lengths, seen_before


def test_the_test_history_holds_the_validation_item(dataset: Dataset) -> None:
    seen = seen_before(dataset, leave_one_out(dataset).test)
    assert seen.padded_BK().tolist() == [
        [1, 2, 3, 4, 0, 0, 0, 0],
        [1, 6, 7, 0, 0, 0, 0, 0],  # 2, 2, 6, 1, 2, 7: each once, and not the target 2
        [7, 8, 0, 0, 0, 0, 0, 0],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [3, 4, 0, 0, 0, 0, 0, 0],  # 3, 1, 4 without the target 1
    ]
    assert history_lengths(dataset, leave_one_out(dataset).test).tolist() == [4, 6, 2, 8, 3]


def test_the_validation_history_ends_before_its_target(dataset: Dataset) -> None:
    seen = seen_before(dataset, leave_one_out(dataset).valid)
    assert np.split(seen.items, seen.offsets[1:-1])[0].tolist() == [1, 2, 3]
    assert np.split(seen.items, seen.offsets[1:-1])[1].tolist() == [1, 2, 6]


@given(data=st.data())
def test_seen_is_the_set_of_what_came_before(
    data: st.DataObject,
) -> None:
    sequences = data.draw(
        st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=8), min_size=1, max_size=6)
    )
    offsets = np.cumsum([0, *map(len, sequences)])
    dataset = Dataset(
        name="drawn",
        items=np.concatenate(sequences).astype(np.int32),
        offsets=offsets,
        times=None,
        user_ids=np.array(["u"] * len(sequences)),
        item_ids=np.array(list("abcdef")),
        fingerprint="",
    )
    users = np.array(data.draw(st.lists(st.integers(0, len(sequences) - 1), max_size=5)), dtype=int)
    places = [data.draw(st.integers(0, len(sequences[user]) - 1)) for user in users]
    seen = seen_before(dataset, Targets(users, offsets[users] + np.array(places, dtype=int)))
    rows = [
        sorted(set(sequences[user][:place]) - {sequences[user][place]})
        for user, place in zip(users, places, strict=True)
    ]
    assert [part.tolist() for part in np.split(seen.items, seen.offsets[1:-1])] == (rows or [[]])
    assert seen.rows.tolist() == [row for row, items in enumerate(rows) for _ in items]
    assert [[i for i in row if i] for row in seen.padded_BK().tolist()] == rows


def test_a_user_without_seen_items(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset([[1, 1, 1]], 3)  # only ever the target itself
    seen = seen_before(dataset, leave_one_out(dataset).test)
    assert seen.padded_BK().shape == (1, 0)
