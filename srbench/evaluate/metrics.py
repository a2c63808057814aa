"""Metrics from ranks. One item is relevant, so HR@k is recall@k, and all follow from its rank.

A rank may be half (two tied items share 1.5): it hits if it is at most k, and its gain is the
formula at that rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srbench.config.settings import CUTOFFS
from srbench.evaluate.protocol import Protocol, signature

KS = CUTOFFS

Ranks = NDArray[np.floating[Any]]
PerUser = NDArray[np.float64]


def hit_rate(ranks_N: Ranks, k: int) -> PerUser:
    """For each user 1 if the target's rank is at most k, else 0."""
    return (ranks_N <= k).astype(np.float64)


def ndcg(ranks_N: Ranks, k: int) -> PerUser:
    """For each user 1 / log2(rank + 1) if the rank is at most k, else 0."""
    exact_N = ranks_N.astype(np.float64)
    return np.where(exact_N <= k, 1.0 / np.log2(exact_N + 1.0), 0.0)


def mrr(ranks_N: Ranks, k: int) -> PerUser:
    """For each user 1 / rank if the rank is at most k, else 0."""
    exact_N = ranks_N.astype(np.float64)
    return np.where(exact_N <= k, 1.0 / exact_N, 0.0)


PER_USER: dict[str, Callable[[Ranks, int], PerUser]] = {"hr": hit_rate, "ndcg": ndcg, "mrr": mrr}


def means(
    ranks: Mapping[Protocol, Ranks],
    split: str,
    ks: Sequence[int] = KS,
    users: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Signature -> mean over users, for every protocol, metric and cut-off."""
    return {
        signature(metric, k, protocol, split, users): float(per_user(ranks_N, k).mean())
        for protocol, ranks_N in ranks.items()
        for metric, per_user in PER_USER.items()
        for k in ks
    }
