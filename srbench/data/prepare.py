"""From interactions as read to sequences: duplicates, k-core, order, ids, each step counted."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Step
from srbench.data.interactions import Interactions, Times
from srbench.errors import SrbenchError, did_you_mean

# Leave-one-out needs one interaction to train on, one to select by and one to report.
MINIMUM_LENGTH = 3


class PrepareSettings(Protocol):
    """What preparation asks of the settings (`srbench.config.DataSettings` has more)."""

    @property
    def k_core(self) -> int: ...
    @property
    def duplicates(self) -> str: ...
    @property
    def time_ties(self) -> str: ...


def prepare(name: str, interactions: Interactions, settings: PrepareSettings) -> Dataset:
    """Filter, order and number the interactions.

    1. Duplicates (the same user and item again): `keep` all, or only the `first` or `last` in time.
    2. k-core: users and items with fewer than k interactions are dropped until none is left.
    3. Users with fewer than three interactions are dropped, and counted.
    4. Each user's interactions are sorted by time. Equal times stay in the order of the file
       (`row`), or are ordered by original item id, numerically where all ids are whole numbers
       (`item`), or are shuffled with a seed (`shuffle:SEED`). Without times the order of the file
       is the order.
    5. Users and items are numbered by their first appearance in the file, so that the numbering
       does not depend on how ties are ordered.

    Errors: an unknown policy, no user left.
    """
    steps = [_step("read", interactions.users, interactions.items)]
    order = _time_order(interactions, settings.time_ties)
    users, items = interactions.users[order], interactions.items[order]
    times = None if interactions.times is None else interactions.times[order]
    del order

    def keep(mask: NDArray[np.bool_]) -> None:
        nonlocal users, items, times
        if not mask.all():
            users, items = users[mask], items[mask]
            times = None if times is None else times[mask]

    if settings.duplicates != "keep":
        keep(_without_duplicates(users, items, settings.duplicates))
        steps.append(_step(f"duplicates: {settings.duplicates}", users, items))
    if settings.k_core > 1:
        keep(_core(users, items, settings.k_core))
        steps.append(_step(f"{settings.k_core}-core", users, items))
    keep(np.bincount(users, minlength=1)[users] >= MINIMUM_LENGTH)
    steps.append(_step(f"users with fewer than {MINIMUM_LENGTH} dropped", users, items))
    if len(users) == 0:
        raise SrbenchError(_nothing_left(name, steps, settings.k_core))

    users, user_codes = _renumber(users, len(interactions.user_ids))
    items, item_codes = _renumber(items, len(interactions.item_ids))
    items += 1  # 0 is the pad
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users))]).astype(np.int64)
    seconds = None if times is None else _seconds(times)
    return Dataset(
        name=name,
        items=items,
        offsets=offsets,
        times=seconds,
        user_ids=interactions.user_ids[user_codes].astype(np.str_),
        item_ids=interactions.item_ids[item_codes].astype(np.str_),
        fingerprint=fingerprint(items, offsets, seconds),
        time_ties=settings.time_ties,
        k_core=settings.k_core,
        steps=tuple(steps),
    )


def fingerprint(
    items: NDArray[np.int32], offsets: NDArray[np.int64], times: NDArray[np.int64] | None
) -> str:
    """16 hex digits over everything that decides a result."""
    digest = hashlib.sha256()
    for label, values in (("items", items), ("offsets", offsets), ("times", times)):
        digest.update(f"{label}:{-1 if values is None else len(values)};".encode())
        if values is not None:
            little = values.astype(values.dtype.newbyteorder("<"), copy=False)
            digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()[:16]


def _step(name: str, users: NDArray[np.int32], items: NDArray[np.int32]) -> Step:
    return Step(name, _distinct(users), _distinct(items), len(users))


def _distinct(codes: NDArray[np.int32]) -> int:
    return int(np.count_nonzero(np.bincount(codes))) if len(codes) else 0


def _time_order(interactions: Interactions, time_ties: str) -> NDArray[np.int64]:
    """Rows by user, then time; equal times by the rule `time_ties`."""
    kind, _, seed = time_ties.partition(":")
    if kind not in ("row", "item", "shuffle") or (kind == "shuffle") != seed.isdecimal():
        raise SrbenchError(
            f"--time-ties {time_ties!r} is not a rule for equal times: it is row, item or "
            f"shuffle:SEED.{did_you_mean(kind, ['row', 'item', 'shuffle'])}"
        )
    users, times = interactions.users, interactions.times
    if times is None:
        return np.argsort(users, kind="stable")
    key = _by_user_and_time(users, times)
    if kind == "row":
        return _stable(key)
    # Sorting is stable: rows brought into the order of the rule keep it where times are equal.
    if kind == "item":
        before = np.argsort(_ranks(interactions.item_ids)[interactions.items], kind="stable")
    else:
        before = np.random.default_rng(int(seed)).permutation(len(users))
    return before[_stable(tuple(part[before] for part in key))]


def _by_user_and_time(users: NDArray[np.int32], times: Times) -> tuple[NDArray[Any], ...]:
    """What to sort by, least important first: one number where it can hold both."""
    if times.dtype.kind == "i":
        first, last = int(times.min()), int(times.max())
        bits = (last - first).bit_length()
        if bits + int(users.max()).bit_length() <= 63:
            since: NDArray[np.int64] = times.astype(np.int64) - first
            return ((users.astype(np.int64) << bits) | since,)
    return (times, users)


def _stable(key: tuple[NDArray[Any], ...]) -> NDArray[np.int64]:
    return np.argsort(key[0], kind="stable") if len(key) == 1 else np.lexsort(key)


def _ranks(ids: NDArray[np.object_]) -> NDArray[np.int32]:
    """The place of each id among all, numerically where all are whole numbers."""
    numeric = all(text.isdecimal() for text in ids)  # "²" is a digit, but no number
    order = sorted(range(len(ids)), key=lambda n: int(ids[n]) if numeric else ids[n])
    ranks = np.empty(len(ids), dtype=np.int32)
    ranks[order] = np.arange(len(ids), dtype=np.int32)
    return ranks


def _without_duplicates(
    users: NDArray[np.int32], items: NDArray[np.int32], which: str
) -> NDArray[np.bool_]:
    """Rows to keep: the first or the last of each (user, item). Rows are in time order."""
    if which not in ("first", "last"):
        raise SrbenchError(
            f"--duplicates {which!r} is not a policy: it is keep, first or last."
            f"{did_you_mean(which, ['keep', 'first', 'last'])}"
        )
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    order = np.argsort(pairs, kind="stable")
    new = np.diff(pairs[order]) != 0
    edge = np.concatenate([[True], new] if which == "first" else [new, [True]])
    mask = np.zeros(len(users), dtype=np.bool_)
    mask[order[edge]] = True
    return mask


def _core(users: NDArray[np.int32], items: NDArray[np.int32], k: int) -> NDArray[np.bool_]:
    """Rows left when users and items with fewer than k rows are dropped until none is."""
    alive = np.arange(len(users))
    while len(alive):
        u, i = users[alive], items[alive]
        good = (np.bincount(u)[u] >= k) & (np.bincount(i)[i] >= k)
        if good.all():
            break
        alive = alive[good]
    mask = np.zeros(len(users), dtype=np.bool_)
    mask[alive] = True
    return mask


def _renumber(
    codes: NDArray[np.int32], n_codes: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Codes without gaps in the same order, and which old code each new one was."""
    present = np.bincount(codes, minlength=n_codes) > 0
    return (np.cumsum(present, dtype=np.int32) - 1)[codes].astype(np.int32), np.flatnonzero(present)


def _seconds(times: Times) -> NDArray[np.int64]:
    """Unix seconds; sources in milli-, micro- or nanoseconds are recognised by their size."""
    largest = float(np.abs(times).max())
    for limit, divisor in ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3)):
        if largest >= limit:
            return (times // divisor).astype(np.int64)
    return np.floor(times).astype(np.int64) if times.dtype.kind == "f" else times.astype(np.int64)


def _nothing_left(name: str, steps: list[Step], k_core: int) -> str:
    before = steps[-2]
    if before.interactions == 0:
        return (
            f"{name}: nothing is left of {steps[0].interactions} interactions after the "
            f"{k_core}-core: ask for a smaller one with --set data.k_core=0."
        )
    return (
        f"{name}: none of its {before.users} users has {MINIMUM_LENGTH} interactions, which "
        "leave-one-out needs: check which columns are the user and the item."
    )
