"""Negatives for the sampled protocols: the same for a target whenever and wherever it is ranked.

A draw is a function of the protocol's seed, the target's place in the dataset and the number of the
draw (a counter-based generator), so batches, order and the choice of users cannot change it. It
falls on the items outside the history by the inverse of their distribution, cut out exactly:
nothing is rejected, so a user who has seen nearly everything costs what all others cost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Split, Targets
from srbench.errors import SrbenchError
from srbench.evaluate.protocol import NEGATIVES, NEGATIVES_SEED
from srbench.evaluate.seen import Seen, history_lengths, seen_before

Int64 = NDArray[np.int64]


def uniform_weights(dataset: Dataset) -> Int64:
    """The same weight for every item: int64 [n_items]."""
    return np.ones(dataset.n_items, dtype=np.int64)


def popularity_weights(dataset: Dataset, split: Split) -> Int64:
    """The training interactions of every item: int64 [n_items]."""
    edges = np.zeros(dataset.n_interactions + 1, dtype=np.int8)
    np.add.at(edges, dataset.offsets[:-1], 1)
    np.add.at(edges, split.train_ends, -1)
    trains = np.cumsum(edges[:-1], dtype=np.int8).astype(bool)
    return np.bincount(dataset.items[trains], minlength=dataset.n_items + 1)[1:].astype(np.int64)


def draw(
    seen: Seen, targets_B: Int64, ends_B: Int64, weights_V: Int64, stream: int, n: int = NEGATIVES
) -> Int64:
    """int64 [B, n] items outside each history and other than its target, with replacement.

    seen, targets_B, ends_B: the seen items, target item and place in the dataset of each target.
    weights_V: item i is drawn in proportion to weights_V[i - 1]; a user to whom no item of positive
    weight is left draws from all that are left, uniformly. stream: 0, 1, ... for independent draws.

    Raises SrbenchError where a user has seen the whole catalogue.
    """
    rows_B, row_span = np.arange(len(targets_B)), len(weights_V) + 1
    at_B = np.searchsorted(seen.rows * row_span + seen.items, rows_B * row_span + targets_B)
    rows, items = np.insert(seen.rows, at_B, rows_B), np.insert(seen.items, at_B, targets_B)
    offsets = seen.offsets + np.arange(len(seen.offsets))  # one item more in each row: the target

    random_Bn = random_words(ends_B, n, stream)
    drawn_Bn, left_B = _inverse(rows, items, offsets, random_Bn, weights_V)
    poor_B = left_B == 0
    if poor_B.any():
        mine = poor_B[rows]
        counts = np.diff(offsets)[poor_B]
        drawn_Bn[poor_B], left = _inverse(
            np.repeat(np.arange(len(counts)), counts),
            items[mine],
            np.concatenate([[0], np.cumsum(counts)]),
            random_Bn[poor_B],
            np.ones_like(weights_V),
        )
        if (left == 0).any():
            raise SrbenchError(_whole_catalogue(int((left == 0).sum())))
    return drawn_Bn


def require_candidates(dataset: Dataset, targets: Targets) -> None:
    """Raises SrbenchError if no negative can be drawn for some target; cheap, so ask it early."""
    lengths_N = history_lengths(dataset, targets)
    long = np.flatnonzero(lengths_N >= dataset.n_items - 1)
    seen = seen_before(dataset, Targets(targets.users[long], targets.ends[long]))
    none_left = int((np.diff(seen.offsets) >= dataset.n_items - 1).sum())
    if none_left:
        raise SrbenchError(_whole_catalogue(none_left))


def _whole_catalogue(users: int) -> str:
    have = "user has" if users == 1 else "users have"
    return (
        f"{users:,} {have} seen every item of the catalogue but the target, so no negative is left "
        "for uni100 and pop100; filter such users out or use a larger catalogue."
    )


def _inverse(
    rows: Int64, items: Int64, offsets: Int64, random_Bn: NDArray[np.uint64], weights_V: Int64
) -> tuple[Int64, Int64]:
    """The items at random places of the weights that the given items leave; what they leave.

    All weights stand on a line, item after item. Taking a row's items out shortens the line; `cuts`
    are the places where they stood on the shorter line. A place at or behind a cut moves back
    behind the weight cut out there. Integers throughout, so nothing is rounded.
    """
    line_V = np.cumsum(weights_V)
    weights = weights_V[items - 1]
    before = np.concatenate([[0], np.cumsum(weights)])  # cut out before, over all rows
    left_B = line_V[-1] - np.diff(before[offsets])
    places_Bn = (random_Bn % np.maximum(left_B, 1).astype(np.uint64)[:, None]).astype(np.int64)

    cuts = line_V[items - 1] - weights - (before[:-1] - before[offsets[rows]])
    span = line_V[-1] + 1
    shifts_B = np.arange(len(left_B))[:, None] * span
    passed_Bn = np.searchsorted(cuts + rows * span, places_Bn + shifts_B, side="right")
    places_Bn += before[passed_Bn] - before[offsets[:-1], None]
    return np.searchsorted(line_V, places_Bn, side="right") + 1, left_B


def random_words(ends_B: Int64, n: int, stream: int) -> NDArray[np.uint64]:
    """uint64 [B, n], a function of the seed, the stream, each end and the number of the draw."""
    seed = np.array([NEGATIVES_SEED, stream], dtype=np.uint64)
    key_B: NDArray[np.uint64] = _mix(seed[:1] + _mix(seed[1:])) + ends_B.astype(np.uint64)
    word_Bn: NDArray[np.uint64] = _mix(key_B)[:, None] + np.arange(n).astype(np.uint64)
    return _mix(word_Bn)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of SplitMix64 (Steele, Lea, Flood 2014): its increment and its finaliser."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
