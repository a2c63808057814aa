"""Which interactions train, which select, which are reported."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Split, Targets
from srbench.errors import SrbenchError, did_you_mean


def make_split(dataset: Dataset, name: str) -> Split:
    """`loo` or `temporal:QUANTILE`. Errors: an unknown name, a quantile outside (0, 1)."""
    kind, _, value = name.partition(":")
    if name == "loo":
        return leave_one_out(dataset)
    if kind == "temporal":
        try:
            return temporal(dataset, float(value))
        except ValueError:
            pass
    raise SrbenchError(
        f"--split {name!r} is not a split: it is loo or temporal:0.9."
        f"{did_you_mean(kind, ['loo', 'temporal'])}"
    )


def leave_one_out(dataset: Dataset) -> Split:
    """Each user's last interaction is the test, the one before it the validation.

    The history of the test target is everything before it, so it contains the validation item.
    """
    users = np.arange(dataset.n_users, dtype=np.int64)
    last = dataset.offsets[1:] - 1
    return Split("loo", last - 1, Targets(users, last - 1), Targets(users, last))


def temporal(dataset: Dataset, quantile: float) -> Split:
    """One moment for all users: what comes after it was the future when the model was trained.

    Two moments, at `quantile` and half-way from it to the end of all interactions in time, cut
    training, validation and test. Everything before the first trains; each user's first
    interaction between them, and each user's first after the second, is to be predicted from
    all that user did before it. Users with no earlier interaction have no history and are no
    targets.

    Errors: no times, a quantile outside (0, 1), nothing to train on or to predict.
    """
    if dataset.times is None:
        raise SrbenchError(
            f"{dataset.name} has no times, so it cannot be split by time: use --split loo."
        )
    if not 0 < quantile < 1:
        raise SrbenchError(f"--split temporal:{quantile:g} needs a number between 0 and 1.")
    moments = np.quantile(dataset.times, [quantile, (1 + quantile) / 2], method="higher")
    train_ends = _first_at(dataset, moments[0])
    test_starts = _first_at(dataset, moments[1])
    valid = _targets(dataset, train_ends, test_starts)
    test = _targets(dataset, test_starts, dataset.offsets[1:])
    if len(valid) == 0 or len(test) == 0 or (train_ends == dataset.offsets[:-1]).all():
        raise SrbenchError(
            f"{dataset.name} split at {quantile:g} of its interactions leaves nothing to train "
            "on or to predict: choose another quantile."
        )
    return Split(f"temporal:{quantile:g}", train_ends, valid, test)


def leak(dataset: Dataset, split: Split) -> float | None:
    """Share of training interactions later than the median test interaction; None without times.

    Leave-one-out cuts each user's own time line, so a model trains on what other users did after
    a test interaction happened. 0 means that it cannot.
    """
    if dataset.times is None or len(split.test) == 0:
        return None
    starts = dataset.offsets[:-1]
    training = np.zeros(dataset.n_interactions + 1, dtype=np.int8)
    np.add.at(training, starts, 1)
    np.add.at(training, split.train_ends, -1)
    trains = np.cumsum(training[:-1]) > 0
    if not trains.any():
        return None
    return float(np.mean(dataset.times[trains] > np.median(dataset.times[split.test.ends])))


def tied_share(dataset: Dataset) -> float | None:
    """Share of interactions whose time equals that of another one of the same user."""
    if dataset.times is None:
        return None
    same = _same_as_before(dataset)
    tied = same.copy()
    tied[:-1] |= same[1:]
    return float(tied.mean())


def last_pair_tied(dataset: Dataset) -> float | None:
    """Share of users whose last two interactions share their time: ties decide their test item."""
    if dataset.times is None:
        return None
    return float(_same_as_before(dataset)[dataset.offsets[1:] - 1].mean())


def _same_as_before(dataset: Dataset) -> NDArray[np.bool_]:
    assert dataset.times is not None
    same = np.zeros(dataset.n_interactions, dtype=np.bool_)
    same[1:] = dataset.times[1:] == dataset.times[:-1]
    same[dataset.offsets[:-1]] = False
    return same


def _first_at(dataset: Dataset, moment: np.int64) -> NDArray[np.int64]:
    """Position of each user's first interaction at or after `moment` (the end where none is)."""
    assert dataset.times is not None
    before = np.concatenate([[0], np.cumsum(dataset.times < moment)])
    counts: NDArray[np.int64] = before[dataset.offsets[1:]] - before[dataset.offsets[:-1]]
    return dataset.offsets[:-1] + counts


def _targets(dataset: Dataset, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Targets:
    users = np.flatnonzero((starts < stops) & (starts > dataset.offsets[:-1]))
    return Targets(users, starts[users])
