"""Sequences drawn from a known law, so that the best that any model can reach is known too."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Step
from srbench.data.prepare import MINIMUM_LENGTH, fingerprint
from srbench.errors import SrbenchError, did_you_mean

# How the next item is chosen: after the last one, by the user's taste, or by what is popular.
FOLLOW, TASTE, POPULAR = 0.4, 0.5, 0.1
_SUCCESSOR_WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
_TASTES = 8
_LONGEST = 200
_FIRST_SECOND = 1_577_836_800  # 2020-01-01
_SECONDS_A_YEAR = 365 * 86_400
_CHUNK = 2048


@dataclass(frozen=True)
class Spec:
    """What decides a synthetic dataset; `length` is the mean number of items a user has."""

    users: int = 2000
    items: int = 500
    length: int = 30
    seed: int = 0


@dataclass(frozen=True)
class Law:
    """The law the next item follows, given the user's taste z and the items so far.

    p(j | z, last item i) is, before removing items the user already has,
    FOLLOW * sum_k weight_k [j = successors[i, k]] + TASTE * taste[z, j] + POPULAR * popular[j].

    successors: int64 [V, K]. taste: float64 [Z, V]. popular: float64 [V]. Items count from 0.
    """

    successors_VK: NDArray[np.int64]
    taste_ZV: NDArray[np.float64]
    popular_V: NDArray[np.float64]


def is_synthetic(name: str) -> bool:
    return name == "synthetic" or name.startswith("synthetic:")


def parse(name: str) -> Spec:
    """`synthetic` or `synthetic:users=2000,items=500,length=30,seed=1`.

    Errors: an unknown key, a value that is no whole number or too small.
    """
    known = [field.name for field in fields(Spec)]
    chosen: dict[str, int] = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, _, value = part.strip().partition("=")
        if key not in known:
            raise SrbenchError(
                f"A synthetic dataset has no setting {key!r}.{did_you_mean(key, known)}"
            )
        if not value.isdecimal():
            raise SrbenchError(f"synthetic: {key} needs a whole number, not {value!r}.")
        chosen[key] = int(value)
    spec = Spec(**chosen)
    if spec.users < 1 or spec.items < 20 or spec.length < 5:
        raise SrbenchError(
            f"{name} is too small: it needs at least 1 user, 20 items and a length of 5."
        )
    return spec


def generate(name: str = "synthetic") -> Dataset:
    """The synthetic dataset of that name; the same name always gives the same data.

    No user has an item twice, and no two interactions of a user share their time. Nothing is
    filtered: every item belongs to the catalogue, drawn or not, as the oracle counts it.

    Errors: as `parse`.
    """
    spec = parse(name)
    law = _law(spec)
    rng = np.random.default_rng([spec.seed, 1])
    lengths = _lengths(spec, rng)
    items_UL = _draw(law, rng, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    filled = np.arange(items_UL.shape[1]) < lengths[:, None]
    items = (items_UL[filled] + 1).astype(np.int32)
    times = _times(rng, lengths, filled)
    return Dataset(
        name=name,
        items=items,
        offsets=offsets,
        times=times,
        user_ids=np.array([f"u{n}" for n in range(1, spec.users + 1)], dtype=np.str_),
        item_ids=np.array([f"i{n}" for n in range(1, spec.items + 1)], dtype=np.str_),
        fingerprint=fingerprint(items, offsets, times),
        steps=(Step("generated", spec.users, spec.items, len(items)),),
    )


def oracle_scores(
    dataset: Dataset, users: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The true probability of each item coming next, given the history before each end.

    users: int64 [N]. ends: int64 [N], positions in `dataset.items`. Returns s_NV, float64, where
    column j is item j + 1; an item of the history has probability 0. Ranking by it is the best
    that can be done for HR, NDCG and MRR. The taste is not given away: it is what the history
    tells (Bayes' rule), so the oracle knows the law but no more of the user than a model does.

    Errors: a dataset that is not synthetic.
    """
    if not is_synthetic(dataset.name):
        raise SrbenchError(f"{dataset.name} has no oracle: only synthetic datasets have one.")
    law = _law(parse(dataset.name))
    scores = np.empty((len(users), dataset.n_items))
    for first in range(0, len(users), _CHUNK):
        part = slice(first, first + _CHUNK)
        scores[part] = _next(law, dataset, dataset.offsets[users[part]], ends[part])
    return scores


@lru_cache(maxsize=4)
def _law(spec: Spec) -> Law:
    rng = np.random.default_rng([spec.seed, 0])
    zipf = 1.0 / np.arange(1, spec.items + 1)
    zipf /= zipf.sum()
    taste = np.stack([zipf[rng.permutation(spec.items)] for _ in range(_TASTES)])
    popular = zipf[rng.permutation(spec.items)]
    # Steps around the catalogue: never 0, so that no item follows itself, and distinct.
    steps = rng.integers(1, spec.items, (spec.items, len(_SUCCESSOR_WEIGHTS)))
    while (again := (np.diff(np.sort(steps, axis=1), axis=1) == 0).any(axis=1)).any():
        steps[again] = rng.integers(1, spec.items, (int(again.sum()), steps.shape[1]))
    return Law((np.arange(spec.items)[:, None] + steps) % spec.items, taste, popular)


def _lengths(spec: Spec, rng: np.random.Generator) -> NDArray[np.int64]:
    """Geometric above 5 with the mean asked for; most users are short, some are long."""
    shortest = 5
    longest = min(_LONGEST, spec.items // 2)
    lengths = shortest - 1 + rng.geometric(1 / (spec.length - shortest + 1), spec.users)
    return np.clip(lengths, MINIMUM_LENGTH, longest)


def _draw(law: Law, rng: np.random.Generator, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Items of every user, [U, longest], from 0; -1 behind the end.

    An item that the user already has is drawn again, which is the law without those items.
    """
    n_users, n_items = len(lengths), len(law.popular_V)
    items_UL = np.full((n_users, int(lengths.max())), -1, dtype=np.int64)
    tastes_U = rng.integers(len(law.taste_ZV), size=n_users)
    # One line for all tastes: taste z lies between z and z + 1.
    taste_line = (np.cumsum(law.taste_ZV, axis=1) + np.arange(_TASTES)[:, None]).ravel()
    popular_line = np.cumsum(law.popular_V)
    weights_line = np.cumsum(_SUCCESSOR_WEIGHTS)
    for t in range(items_UL.shape[1]):
        pending = np.flatnonzero(lengths > t)
        while len(pending):
            # The first item follows nothing.
            why = FOLLOW * (t == 0) + rng.random(len(pending)) * (1 - FOLLOW * (t == 0))
            which = rng.random(len(pending))
            tastes = tastes_U[pending]
            by_taste = np.searchsorted(taste_line, tastes + which, side="right") - tastes * n_items
            by_popularity = np.searchsorted(popular_line, which, side="right")
            drawn = np.where(why < FOLLOW + TASTE, by_taste, by_popularity)
            drawn = np.clip(drawn, 0, n_items - 1)  # the sums may end a rounding below 1
            if t > 0:
                place = np.minimum(
                    np.searchsorted(weights_line, which, side="right"), len(weights_line) - 1
                )
                following = law.successors_VK[items_UL[pending, t - 1], place]
                drawn = np.where(why < FOLLOW, following, drawn)
            seen = (items_UL[pending, :t] == drawn[:, None]).any(axis=1)
            items_UL[pending[~seen], t] = drawn[~seen]
            pending = pending[seen]
    return items_UL


def _times(
    rng: np.random.Generator, lengths: NDArray[np.int64], filled_UL: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Users begin within one year; about three days lie between two of their interactions."""
    starts_U = _FIRST_SECOND + rng.integers(_SECONDS_A_YEAR, size=len(lengths))
    gaps_UL = 1 + rng.exponential(3 * 86_400, filled_UL.shape).astype(np.int64)
    times: NDArray[np.int64] = (starts_U[:, None] + np.cumsum(gaps_UL, axis=1))[filled_UL]
    return times


def _next(
    law: Law, dataset: Dataset, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    """p(next item | history) of a few users, [N, V]."""
    lengths = ends - starts
    rows = np.arange(len(starts))
    places_NL = starts[:, None] + np.arange(max(int(lengths.max(initial=0)), 1))
    inside_NL = places_NL < ends[:, None]
    history_NL = np.where(inside_NL, dataset.items[np.where(inside_NL, places_NL, 0)] - 1, -1)

    log_tastes_NZ = np.zeros((len(starts), _TASTES))
    had_NZ = np.zeros((len(starts), _TASTES))  # mass of the items so far, but for FOLLOW's part
    for t in range(history_NL.shape[1]):
        on = rows[inside_NL[:, t]]
        item = history_NL[on, t]
        apart_NZ = (TASTE * law.taste_ZV[:, item] + POPULAR * law.popular_V[item]).T
        if t == 0:
            chance_NZ = apart_NZ / (TASTE + POPULAR)
        else:
            after_NK = law.successors_VK[history_NL[on, t - 1]]
            followed_N = (after_NK == item[:, None]) @ _SUCCESSOR_WEIGHTS
            left_NZ = 1 - had_NZ[on] - FOLLOW * _had(after_NK, history_NL[on, :t])[:, None]
            chance_NZ = (apart_NZ + FOLLOW * followed_N[:, None]) / left_NZ
        log_tastes_NZ[on] += np.log(chance_NZ)
        had_NZ[on] += apart_NZ

    tastes_NZ = np.exp(log_tastes_NZ - log_tastes_NZ.max(axis=1, keepdims=True))
    tastes_NZ /= tastes_NZ.sum(axis=1, keepdims=True)
    after_NK = law.successors_VK[history_NL[rows, np.maximum(lengths - 1, 0)]]
    follow_N = np.where(lengths > 0, FOLLOW, 0.0)
    left_NZ = TASTE + POPULAR + (follow_N * (1 - _had(after_NK, history_NL)))[:, None] - had_NZ
    share_NZ = tastes_NZ / left_NZ
    chances_NV: NDArray[np.float64] = TASTE * (share_NZ @ law.taste_ZV)
    total_N = share_NZ.sum(axis=1)
    chances_NV += POPULAR * total_N[:, None] * law.popular_V
    chances_NV[rows[:, None], after_NK] += (follow_N * total_N)[:, None] * _SUCCESSOR_WEIGHTS
    row, place = np.nonzero(inside_NL)
    chances_NV[row, history_NL[row, place]] = 0
    return chances_NV


def _had(after_NK: NDArray[np.int64], history_NL: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weight of those successors that the history already holds, [N]."""
    held_NK = (history_NL[:, :, None] == after_NK[:, None, :]).any(axis=1)
    weight: NDArray[np.float64] = held_NK @ _SUCCESSOR_WEIGHTS
    return weight
