"""Every target once, from the history it may see; in an order that its seed decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from srbench.data.batches import Sequences, TrainingBatches
from srbench.data.dataset import Dataset, Split, Targets
from srbench.errors import SrbenchError
from srbench.models.base import ClozeSettings


def dataset_of(*sequences: list[int]) -> Dataset:
    """Users with these items; the time of an event is its place."""
    items = np.array([item for sequence in sequences for item in sequence], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, sequences)]).astype(np.int64)
    names = np.array([str(i) for i in range(1, int(items.max()) + 1)])
    users = np.array([str(i) for i in range(len(sequences))])
    return Dataset("tiny", items, offsets, np.arange(len(items)), users, names, "0" * 16)


def leave_one_out(dataset: Dataset) -> Split:
    users, last = np.arange(dataset.n_users), dataset.offsets[1:] - 1
    return Split("loo", last - 1, Targets(users, last - 1), Targets(users, last))


def asked(batches: TrainingBatches, epoch: int = 1) -> list[tuple[tuple[int, ...], int]]:
    """(history, target) of everything that an epoch asks, sorted."""
    found = []
    for batch in batches.epoch(epoch):
        items, targets = batch.batch.items_BL.tolist(), batch.targets.tolist()
        for row, length in enumerate(batch.batch.lengths_B.tolist()):
            if batches.supervision == "last":
                found.append((tuple(items[row][:length]), targets[row]))
                continue
            for position, target in enumerate(targets[row]):
                if target:
                    assert position < length
                    found.append((tuple(items[row][: position + 1]), target))
    return sorted(found)


TINY = dataset_of([1, 2, 3, 4, 5, 6, 7], [8, 9, 1], [2, 3, 4, 5])


def make(supervision: str = "all", dataset: Dataset = TINY, **options: object) -> TrainingBatches:
    given_options = {"length": 3, "tokens": 8} | options
    return TrainingBatches(
        dataset,
        leave_one_out(dataset),
        supervision=supervision,
        **given_options,  # type: ignore[arg-type]
    )


def test_all_positions_end_to_end() -> None:
    # User 0 trains on 1 2 3 4 5: windows 2 3 4 and, before it, 1. User 1 has no target, user 2 one.
    assert asked(make("all")) == [
        ((1,), 2),
        ((2,), 3),
        ((2,), 3),
        ((2, 3), 4),
        ((2, 3, 4), 5),
    ]


def test_a_stride_gives_targets_more_history() -> None:
    assert asked(make("all", stride=1)) == [
        ((1,), 2),
        ((1, 2), 3),
        ((1, 2, 3), 4),
        ((2,), 3),
        ((2, 3, 4), 5),
    ]


def test_the_last_of_every_prefix() -> None:
    assert asked(make("last")) == asked(make("all", stride=1))


def test_some_prefixes_of_each_user_differ_from_epoch_to_epoch() -> None:
    batches = make("last", prefixes_per_user=1)
    assert batches.targets_per_epoch == 2
    epochs = [asked(batches, epoch) for epoch in range(1, 30)]
    everything = set(asked(make("last")))
    assert all(len(epoch) == 2 and set(epoch) <= everything for epoch in epochs)
    assert {target for epoch in epochs for target in epoch} == everything


sequences = st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=14), min_size=1, max_size=9)


@given(
    sequences=sequences,
    length=st.integers(1, 8),
    stride=st.none() | st.integers(1, 8),
    tokens=st.integers(1, 30),
    users=st.none() | st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_every_target_is_asked_once_after_what_came_before_it(
    sequences: list[list[int]],
    length: int,
    stride: int | None,
    tokens: int,
    users: int | None,
    seed: int,
) -> None:
    assume(any(len(sequence) > 3 for sequence in sequences))
    stride = None if stride is None else min(stride, length)
    dataset = dataset_of(*sequences)
    batches = make(
        "all", dataset, length=length, stride=stride, tokens=tokens, users=users, seed=seed
    )
    expected = Counter(item for s in sequences for item in s[1:-2])
    found = asked(batches)
    assert Counter(target for _, target in found) == expected
    assert len(found) == batches.targets_per_epoch
    for history, target in found:
        assert len(history) <= length
        assert any(
            tuple(s[i - len(history) : i]) == history and s[i] == target
            for s in sequences
            for i in range(len(history), len(s) - 2)
        )
    for batch in batches.epoch(1):
        rows, positions = batch.batch.items_BL.shape
        assert rows == 1 or rows * positions <= tokens
        assert users is None or rows <= users
        assert batch.count == int((batch.targets > 0).sum())


def test_users_without_targets_are_an_error_in_a_sentence() -> None:
    with pytest.raises(SrbenchError, match="No user of tiny has two events to train on"):
        make(dataset=dataset_of([1, 2, 3], [3, 2, 1]))


def test_the_order_is_of_the_seed_and_the_epoch_alone() -> None:
    dataset = dataset_of(*([[1, 2, 3, 4, 5]] * 40))

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in make(dataset=dataset, seed=seed).plan(epoch)]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_models_that_pads_change_are_planned_at_full_length() -> None:
    assert {len(rows) for rows in make("last", tokens=6, padded=True).plan(1)} <= {1, 2}


def test_histories_are_the_last_events_before_the_end() -> None:
    batch = Sequences(TINY).histories(np.array([0, 1]), np.array([6, 9]), 3, TINY.offsets)
    assert batch.items_BL.tolist() == [[4, 5, 6], [8, 9, 0]]
    assert batch.lengths_B.tolist() == [3, 2]
    assert batch.times_BL is not None
    assert batch.times_BL.tolist() == [[3, 4, 5], [7, 8, 0]]


@pytest.mark.parametrize("length", [1, 2, 50])
def test_a_history_never_holds_its_target_or_another_users_event(length: int) -> None:
    sequences = Sequences(TINY)
    ends = TINY.offsets[1:] - 1
    batch = sequences.histories(np.arange(3), ends, length, TINY.offsets)
    whole = [[1, 2, 3, 4, 5, 6], [8, 9], [2, 3, 4]]
    for row, history in enumerate(whole):
        kept = history[-length:]
        assert batch.items_BL[row, : len(kept)].tolist() == kept
        assert batch.items_BL[row, len(kept) :].sum() == 0


def test_the_time_of_the_target_is_that_of_the_event_behind_the_history() -> None:
    # The time of an event is its place, and user 0 trains on the places 0 to 4.
    for supervision in ("all", "last"):
        for one in make(supervision, stride=1 if supervision == "all" else None).epoch(1):
            batch = one.batch
            assert batch.times_BL is not None and batch.target_times_B is not None
            last = batch.times_BL.gather(1, batch.lengths_B[:, None] - 1).squeeze(1)
            assert torch.equal(batch.target_times_B, last + 1)
            items = Sequences(TINY).items[batch.target_times_B]
            asked_last = one.targets
            if supervision == "all":
                asked_last = asked_last.gather(1, batch.lengths_B[:, None] - 1).squeeze(1)
            assert torch.equal(items.long(), asked_last)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_the_time_of_the_target_in_evaluation(part: str) -> None:
    targets = getattr(leave_one_out(TINY), part)
    batch = Sequences(TINY).histories(targets.users, targets.ends, 3, TINY.offsets)
    assert batch.target_times_B is not None
    assert batch.target_times_B.tolist() == targets.ends.tolist()
    assert torch.equal(batch.padded(9).target_times_B, batch.target_times_B)


def test_without_times_nothing_has_a_time() -> None:
    timeless = replace(TINY, times=None)
    batches = [one.batch for one in make("all", timeless).epoch(1)]
    batches.append(Sequences(timeless).histories(np.array([0]), np.array([6]), 3, TINY.offsets))
    for batch in batches:
        assert batch.times_BL is None and batch.target_times_B is None
        assert batch.padded(9).target_times_B is None


def hidden(batches: TrainingBatches, epoch: int = 1) -> list[tuple[tuple[int, ...], list[int]]]:
    """(window with 0 where an event is hidden, the hidden items) of an epoch, sorted."""
    found = []
    for one in batches.epoch(epoch):
        targets = one.targets.tolist()
        assert one.count == len(targets) == int(one.batch.hidden_BL().sum()) > 0
        for items, length in zip(
            one.batch.items_BL.tolist(), one.batch.lengths_B.tolist(), strict=True
        ):
            window = tuple(items[:length])
            assert not any(items[length:])
            found.append((window, [targets.pop(0) for item in window if item == 0]))
        assert not targets
    return sorted(found)


@pytest.mark.parametrize("stride", [None, 1])
def test_cloze_that_hides_the_last_event_of_a_history_cut_anywhere(stride: int | None) -> None:
    # User 0 trains on 1 2 3 4 5, in windows from the end; user 1 on one event, so not at all.
    batches = make("cloze", cloze=ClozeSettings(mask_last=1.0), stride=stride)
    found: Counter[tuple[tuple[int, ...], int]] = Counter()
    for epoch in range(1, 40):
        whole = hidden(batches, epoch)
        assert len(whole) == batches.targets_per_epoch == (3 if stride is None else 4)
        found.update((window, *targets) for window, targets in whole)
    expected = {((1, 0), 2), ((2, 0), 3), ((3, 0), 4), ((3, 4, 0), 5)}
    if stride == 1:  # the windows 1 2 3, 2 3 4 and 3 4 5
        expected |= {((1, 2, 0), 3), ((2, 3, 0), 4)}
    assert set(found) == expected


def test_cloze_hides_anew_each_epoch_and_the_targets_are_what_is_missing() -> None:
    batches = make("cloze", cloze=ClozeSettings(mask_ratio=0.5, mask_last=0.0))
    whole = [(1, 2), (2, 3), (3, 4, 5)]
    epochs = [hidden(batches, epoch) for epoch in range(1, 60)]
    missing: Counter[int] = Counter()
    for epoch in epochs:
        filled = []
        for window, targets in epoch:
            missing.update(targets)
            rest = iter(targets)
            filled.append(tuple(item or next(rest) for item in window))
        assert sorted(filled) == whole
    assert epochs[0] == hidden(batches, 1)
    assert len({str(epoch) for epoch in epochs}) > 30
    assert set(missing) == {1, 2, 3, 4, 5}  # the first event too
    assert batches.targets_per_epoch == round(0.5 * 7)


@pytest.mark.parametrize("mask_last", [0.0, 0.5])
def test_cloze_hides_as_many_events_as_it_says(mask_last: float) -> None:
    dataset = dataset_of(*([list(range(1, 23))] * 300))
    settings = ClozeSettings(mask_ratio=0.2, mask_last=mask_last)
    batches = make("cloze", dataset, length=20, tokens=100, cloze=settings)
    counts = [sum(batch.count for batch in batches.epoch(epoch)) for epoch in range(1, 11)]
    assert np.mean(counts) == pytest.approx(batches.targets_per_epoch, rel=0.05)


def test_a_batch_in_which_chance_hides_nothing_hides_the_last_events() -> None:
    settings = ClozeSettings(mask_ratio=1e-9, mask_last=0.0)
    expected = [((1, 0), [2]), ((2, 0), [3]), ((3, 4, 0), [5])]
    assert hidden(make("cloze", cloze=settings)) == expected


def test_cloze_knows_no_time_of_an_event_to_come() -> None:
    whole = Split(
        "all", TINY.offsets[1:], Targets(*[np.arange(0)] * 2), Targets(*[np.arange(0)] * 2)
    )
    batches = TrainingBatches(TINY, whole, supervision="cloze", length=9, tokens=99)
    (one,) = batches.epoch(1)
    assert one.batch.times_BL is not None and one.batch.target_times_B is None
