"""Ranks by counting: 1 + the items scored higher + half of the items scored equal.

Nothing is sorted. The target's score comes out of the same row of the same product that gives the
scores of the others, so equal scores are equal, and a constant scorer ties with the catalogue. All
protocols are counts over the same scores: seen items are counted once more and taken off, sampled
items are gathered.
    B  users      V  items of the catalogue      C  items of a chunk of it      K  items chosen
Column j of the scores is item j + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from srbench.evaluate.coverage import Coverage
from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP, Protocol

ScoreRange = Callable[[int, int], Tensor]  # (start, stop) -> scores of the items start + 1 .. stop


@dataclass
class Counts:
    """Items scored higher than a user's target, and others scored equal: int64 [B] each."""

    greater_B: Tensor
    equal_B: Tensor

    @staticmethod
    def none(like_B: Tensor) -> Counts:
        return Counts(like_B.new_zeros(len(like_B)), like_B.new_zeros(len(like_B)))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.greater_B + other.greater_B, self.equal_B + other.equal_B)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.greater_B - other.greater_B, self.equal_B - other.equal_B)

    def ranks(self) -> Tensor:
        """float32 [B]; halves are exact below 8 million items."""
        return (2 + 2 * self.greater_B + self.equal_B).to(torch.float32) / 2


@dataclass
class Ranked:
    """What one batch of users gives.

    ranks: float32 [B] under each protocol. tied_B: bool, does another item of the catalogue have
    the target's score? bad_B: int64, scores that are not finite; a user's ranks hold where it is 0.
    """

    ranks: dict[Protocol, Tensor]
    tied_B: Tensor
    bad_B: Tensor


def rank_users(
    score: ScoreRange,
    n_items: int,
    targets_B: Tensor,
    *,
    seen_BK: Tensor | None = None,
    sampled: Mapping[Protocol, Tensor] | None = None,
    chunk: int | None = None,
    coverage: Coverage | None = None,
) -> Ranked:
    """The ranks of one target a user under full with history kept and all that is asked beyond it.

    score: gives the scores of a range of the catalogue. targets_B: int64 item ids.
    seen_BK: distinct items of each history without the target, 0 behind the end; None: not masked.
    sampled: the items a target is ranked against, for each sampled protocol; repeats count again.
    chunk: items scored at once. With several chunks each is scored twice, because a target's score
    must be known before the first comparison.
    """
    chunks = list(_chunks(n_items, chunk or n_items))
    lists = {FULL_DROP: seen_BK} if seen_BK is not None else {}
    lists |= dict(sampled or {})
    full = Counts.none(targets_B)
    gathered = {protocol: Counts.none(targets_B) for protocol in lists}
    bad_B = torch.zeros_like(targets_B)
    scores_BC, target_B1 = _target_scores(score, chunks, targets_B)
    top = None
    for start, stop in chunks:
        if len(chunks) > 1:
            scores_BC = score(start, stop)
        bad_B += _not_finite(scores_BC)
        # The targets themselves are taken off by the very comparison that counted them.
        full += count(scores_BC, target_B1)
        full -= count_items(scores_BC, target_B1, targets_B[:, None], start)
        for protocol, items_BK in lists.items():
            gathered[protocol] += count_items(scores_BC, target_B1, items_BK, start)
        if coverage is not None:
            top = coverage.best(scores_BC, start, top)
    if coverage is not None and top is not None:
        coverage.add(top)
    if FULL_DROP in gathered:
        gathered[FULL_DROP] = full - gathered[FULL_DROP]
    ranks = {protocol: counts.ranks() for protocol, counts in gathered.items()}
    return Ranked({FULL_KEEP: full.ranks()} | ranks, full.equal_B > 0, bad_B)


def ranks_of(scores_BV: Tensor, targets_B: Tensor, seen_BK: Tensor | None = None) -> Ranked:
    """`rank_users` for scores that are there already."""
    return rank_users(
        lambda start, stop: scores_BV[:, start:stop],
        scores_BV.shape[1],
        targets_B,
        seen_BK=seen_BK,
    )


def count(scores_BC: Tensor, target_B1: Tensor) -> Counts:
    """How all the scores compare with the target's."""
    # Ones as float32, whose sums are exact below 2^24: five times as fast as summing booleans.
    ones_BC = torch.empty_like(scores_BC, dtype=torch.float32)
    greater_B = torch.gt(scores_BC, target_B1, out=ones_BC).sum(1).to(torch.int64)
    at_least_B = torch.ge(scores_BC, target_B1, out=ones_BC).sum(1).to(torch.int64)
    return Counts(greater_B, at_least_B - greater_B)


def count_items(scores_BC: Tensor, target_B1: Tensor, items_BK: Tensor, start: int) -> Counts:
    """How the scores of chosen items compare; item 0 and items outside the chunk do not count."""
    columns_BK = items_BK - (start + 1)
    inside_BK = (columns_BK >= 0) & (columns_BK < scores_BC.shape[1])
    chosen_BK = scores_BC.gather(1, columns_BK.where(inside_BK, 0))
    return count(chosen_BK.where(inside_BK, -torch.inf), target_B1)


def _chunks(n_items: int, chunk: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_items, chunk):
        yield start, min(start + chunk, n_items)


def _target_scores(
    score: ScoreRange, chunks: list[tuple[int, int]], targets_B: Tensor
) -> tuple[Tensor, Tensor]:
    """The scores of the last chunk, and each target's score out of the chunk it falls in."""
    target_B: Tensor | None = None
    for start, stop in chunks:
        scores_BC = score(start, stop)
        columns_B = (targets_B - (start + 1)).clamp(0, stop - start - 1)
        own_B = scores_BC.gather(1, columns_B[:, None])[:, 0]
        inside_B = (targets_B > start) & (targets_B <= stop)
        target_B = own_B if target_B is None else own_B.where(inside_B, target_B)
    assert target_B is not None
    return scores_BC, target_B[:, None]


def _not_finite(scores_BC: Tensor) -> Tensor:
    """How many scores of each row are NaN or infinite."""
    # A sum is finite only if all its terms are; it may overflow where they are, so then we count.
    if bool(scores_BC.sum(1).isfinite().all()):
        return torch.zeros(len(scores_BC), dtype=torch.int64, device=scores_BC.device)
    return (~scores_BC.isfinite()).sum(1)
