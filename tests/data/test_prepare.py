"""Filters, order and numbering, against small literal cases and an obvious reference."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srbench.data.dataset import Dataset, Step
from srbench.data.interactions import Interactions
from srbench.data.prepare import fingerprint, prepare
from srbench.errors import SrbenchError

Row = tuple[str, str, float]


def settings(k_core: int = 0, duplicates: str = "keep", time_ties: str = "row") -> Any:
    return SimpleNamespace(k_core=k_core, duplicates=duplicates, time_ties=time_ties)


def interactions_of(rows: list[Row], *, timed: bool = True) -> Interactions:
    users = list(dict.fromkeys(user for user, _, _ in rows))
    items = list(dict.fromkeys(item for _, item, _ in rows))
    return Interactions(
        np.array([users.index(user) for user, _, _ in rows], dtype=np.int32),
        np.array([items.index(item) for _, item, _ in rows], dtype=np.int32),
        np.array([time for _, _, time in rows]) if timed else None,
        np.array(users, dtype=object),
        np.array(items, dtype=object),
        "test",
    )


def prepared(rows: list[Row], *, timed: bool = True, **chosen: Any) -> Dataset:
    return prepare("test", interactions_of(rows, timed=timed), settings(**chosen))


def sequences(dataset: Dataset) -> dict[str, list[str]]:
    return {
        str(dataset.user_ids[user]): [
            str(dataset.item_ids[item - 1])
            for item in dataset.items[dataset.offsets[user] : dataset.offsets[user + 1]]
        ]
        for user in range(dataset.n_users)
    }


def of_one_user(*items_and_times: tuple[str, float]) -> list[Row]:
    return [("u", item, time) for item, time in items_and_times]


def test_arrays() -> None:
    rows = [
        ("b", "x", 9),
        ("a", "y", 5),
        ("b", "y", 3),
        ("a", "x", 4),
        ("b", "z", 7),
        ("a", "z", 6),
    ]
    dataset = prepared(rows)
    # b and x come first in the file, so they are user 0 and item 1.
    assert dataset.user_ids.tolist() == ["b", "a"]
    assert dataset.item_ids.tolist() == ["x", "y", "z"]
    assert dataset.items.tolist() == [2, 3, 1, 1, 2, 3]
    assert dataset.offsets.tolist() == [0, 3, 6]
    assert dataset.times is not None and dataset.times.tolist() == [3, 7, 9, 4, 5, 6]
    assert [array.dtype for array in (dataset.items, dataset.offsets, dataset.times)] == [
        np.int32, np.int64, np.int64
    ]  # fmt: skip
    assert dataset.user_ids.dtype.kind == dataset.item_ids.dtype.kind == "U"
    assert dataset.fingerprint == fingerprint(dataset.items, dataset.offsets, dataset.times)
    assert dataset.steps == (
        Step("read", 2, 3, 6),
        Step("users with fewer than 3 dropped", 2, 3, 6),
    )


def test_without_times_the_file_is_the_order() -> None:
    rows = [
        ("a", "z", 3),
        ("b", "x", 2),
        ("a", "x", 1),
        ("b", "y", 9),
        ("a", "y", 2),
        ("b", "z", 1),
    ]
    for ties in ("row", "item", "shuffle:3"):
        dataset = prepared(rows, timed=False, time_ties=ties)
        assert dataset.times is None
        assert sequences(dataset) == {"a": ["z", "x", "y"], "b": ["x", "y", "z"]}


TIED = of_one_user(("10", 5), ("9", 5), ("z", 4), ("2", 5), ("1", 6))


def test_ties_by_row() -> None:
    assert sequences(prepared(TIED)) == {"u": ["z", "10", "9", "2", "1"]}


def test_ties_by_item_as_text() -> None:
    assert sequences(prepared(TIED, time_ties="item")) == {"u": ["z", "10", "2", "9", "1"]}


def test_ties_by_item_as_numbers() -> None:
    rows = [(user, item.replace("z", "77"), time) for user, item, time in TIED]
    assert sequences(prepared(rows, time_ties="item")) == {"u": ["77", "2", "9", "10", "1"]}


def test_ties_by_item_where_a_digit_is_no_number() -> None:
    rows = [(user, item.replace("z", "²"), time) for user, item, time in TIED]
    assert sequences(prepared(rows, time_ties="item")) == {"u": ["²", "10", "2", "9", "1"]}


def test_ties_shuffled() -> None:
    rows = of_one_user(("first", 0), *((f"i{n}", 5) for n in range(20)), ("last", 9))
    one, again, other = (prepared(rows, time_ties=f"shuffle:{seed}") for seed in (1, 1, 2))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    (order,) = sequences(one).values()
    assert (order[0], order[-1]) == ("first", "last")
    assert sorted(order) == sorted(item for _, item, _ in rows)
    assert order != [item for _, item, _ in rows]
    assert one.time_ties == "shuffle:1"


def test_numbering_does_not_depend_on_ties() -> None:
    ids = [
        prepared(TIED, time_ties=ties).item_ids.tolist() for ties in ("row", "item", "shuffle:1")
    ]
    assert ids[0] == ids[1] == ids[2] == ["10", "9", "z", "2", "1"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("keep", ["a", "b", "a", "c", "b"]), ("first", ["a", "b", "c"]), ("last", ["a", "c", "b"])],
)
def test_duplicates(policy: str, expected: list[str]) -> None:
    rows = of_one_user(("b", 5), ("a", 1), ("b", 2), ("a", 3), ("c", 4))
    dataset = prepared(rows, duplicates=policy)
    assert sequences(dataset) == {"u": expected}
    counted = [step for step in dataset.steps if step.name == f"duplicates: {policy}"]
    assert counted == ([] if policy == "keep" else [Step(f"duplicates: {policy}", 1, 3, 3)])


def test_duplicates_of_other_users_are_none() -> None:
    rows = [(user, item, 0.0) for user in "ab" for item in "xyz"]
    assert len(prepared(rows, duplicates="first").items) == 6


def test_core_is_a_fixpoint() -> None:
    # v goes (once), so E has two left and goes, so w has two left and goes, so D and F go.
    baskets = {"D": "xyw", "E": "xwv", "F": "yzw", "A": "xyz", "B": "xyz", "C": "xyz"}
    rows = [(user, item, float(n)) for user in baskets for n, item in enumerate(baskets[user])]
    dataset = prepared(rows, k_core=3)
    assert sequences(dataset) == {user: ["x", "y", "z"] for user in "ABC"}
    assert dataset.k_core == 3
    assert dataset.steps == (
        Step("read", 6, 5, 18),
        Step("3-core", 3, 3, 9),
        Step("users with fewer than 3 dropped", 3, 3, 9),
    )


def test_short_users_are_counted_and_dropped() -> None:
    rows = [("long", item, n) for n, item in enumerate("xyz")] + [("short", "w", 1.0)]
    dataset = prepared(rows)
    assert sequences(dataset) == {"long": ["x", "y", "z"]}
    assert dataset.item_ids.tolist() == ["x", "y", "z"]
    assert dataset.steps == (
        Step("read", 2, 4, 4),
        Step("users with fewer than 3 dropped", 1, 3, 3),
    )


def test_nothing_left() -> None:
    rows = [("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 1.0)]
    with pytest.raises(SrbenchError, match="none of its 2 users has 3 interactions"):
        prepared(rows)
    with pytest.raises(SrbenchError, match="nothing is left of 3 interactions after the 5-core"):
        prepared(rows, k_core=5)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"time_ties": "rows"}, "Did you mean row?"),
        ({"time_ties": "shuffle"}, "it is row, item or shuffle:SEED"),
        ({"time_ties": "row:1"}, "it is row, item or shuffle:SEED"),
        ({"duplicates": "frist"}, "Did you mean first?"),
    ],
)
def test_unknown_policies(chosen: dict[str, str], sentence: str) -> None:
    with pytest.raises(SrbenchError, match=sentence.replace("?", r"\?")):
        prepared(TIED, **chosen)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([978300760, 978300761, 978300762], [978300760, 978300761, 978300762]),
        ([978300760_500, 978300760_600, 978300762_000], [978300760, 978300760, 978300762]),
        ([978300760_500_000] * 3, [978300760] * 3),
        ([978300760_500_000_000] * 3, [978300760] * 3),
        ([2.75, 2.5, 1.5], [1, 2, 2]),
        ([-5, 0, 5], [-5, 0, 5]),
    ],
    ids=["seconds", "milli", "micro", "nano", "fractions", "before 1970"],
)
def test_times_are_kept_as_seconds(times: list[float], seconds: list[int]) -> None:
    dataset = prepared(of_one_user(*((str(n), time) for n, time in enumerate(times))))
    assert dataset.times is not None and dataset.times.tolist() == seconds
    assert dataset.times.dtype == np.int64


def test_fractions_of_a_second_are_ordered() -> None:
    rows = of_one_user(("late", 2.75), ("soon", 2.5), ("now", 2.25))
    assert sequences(prepared(rows)) == {"u": ["now", "soon", "late"]}


def test_the_fingerprint_sees_everything_that_decides() -> None:
    items = np.array([1, 2, 3], dtype=np.int32)
    offsets = np.array([0, 3], dtype=np.int64)
    times = np.array([1, 2, 3], dtype=np.int64)
    known = {
        fingerprint(items, offsets, times),
        fingerprint(items, offsets, None),
        fingerprint(items[::-1], offsets, times),
        fingerprint(items, np.array([0, 1, 3]), times),
        fingerprint(items, offsets, times[::-1]),
        fingerprint(items, offsets, np.array([], dtype=np.int64)),
    }
    assert len(known) == 6
    assert all(len(digits) == 16 for digits in known)
    # The same on every machine, whatever its byte order.
    assert fingerprint(items.astype(">i4"), offsets.astype(">i8"), times) in known
    assert fingerprint(items, offsets, times) == "ad7862a1f3e34646"


def reference(
    rows: list[Row], timed: bool, k_core: int, duplicates: str, time_ties: str
) -> dict[str, list[tuple[str, float]]]:
    """The same in plain Python, as one would say it."""
    by_item = time_ties == "item" and timed
    rows = sorted(rows, key=lambda row: (row[2] if timed else 0, row[1] if by_item else ""))
    if duplicates != "keep":
        kept: dict[tuple[str, str], int] = {}
        for place, (user, item, _) in enumerate(rows):
            if duplicates == "last" or (user, item) not in kept:
                kept[user, item] = place
        rows = [rows[place] for place in sorted(kept.values())]
    while True:
        users = Counter(user for user, _, _ in rows)
        items = Counter(item for _, item, _ in rows)
        left = [row for row in rows if users[row[0]] >= k_core and items[row[1]] >= k_core]
        if len(left) == len(rows):
            break
        rows = left
    users = Counter(user for user, _, _ in rows)
    found: dict[str, list[tuple[str, float]]] = {}
    for user, item, time in rows:
        if users[user] >= 3:
            found.setdefault(user, []).append((item, time))
    return found


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("vwxyz"), st.integers(0, 4)),
        min_size=1,
        max_size=60,
    ),
    timed=st.booleans(),
    fractions=st.booleans(),
    k_core=st.integers(0, 4),
    duplicates=st.sampled_from(["keep", "first", "last"]),
    time_ties=st.sampled_from(["row", "item"]),
)
def test_against_the_reference(
    rows: list[Row],
    timed: bool,
    fractions: bool,
    k_core: int,
    duplicates: str,
    time_ties: str,
) -> None:
    if fractions:
        rows = [(user, item, time / 2) for user, item, time in rows]
    expected = reference(rows, timed, k_core, duplicates, time_ties)
    chosen = {"k_core": k_core, "duplicates": duplicates, "time_ties": time_ties}
    if not expected:
        with pytest.raises(SrbenchError):
            prepared(rows, timed=timed, **chosen)
        return
    dataset = prepared(rows, timed=timed, **chosen)
    assert sequences(dataset) == {
        user: [item for item, _ in events] for user, events in expected.items()
    }
    if timed:
        assert dataset.times is not None
        events = [expected[user] for user in dataset.user_ids.tolist()]
        assert dataset.times.tolist() == [int(time) for user in events for _, time in user]
    in_file = [item for _, item, _ in rows]
    firsts = [in_file.index(item) for item in dataset.item_ids.tolist()]
    assert firsts == sorted(firsts)
    assert sorted(set(dataset.items.tolist())) == list(range(1, dataset.n_items + 1))
    assert dataset.steps[-1] == Step(
        "users with fewer than 3 dropped",
        len(expected),
        len({item for events in expected.values() for item, _ in events}),
        sum(map(len, expected.values())),
    )
