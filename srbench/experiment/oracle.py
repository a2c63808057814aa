"""The best any model can reach on synthetic data: the true next-item distribution, ranked."""

from __future__ import annotations

import numpy as np
import torch

from srbench.data.dataset import Dataset, Split, Targets
from srbench.data.synthetic import is_synthetic, oracle_scores
from srbench.evaluate.metrics import means
from srbench.evaluate.protocol import FULL_DROP, FULL_KEEP
from srbench.evaluate.ranking import ranks_of
from srbench.evaluate.seen import seen_before

USERS = 512  # at a time


def oracle_metrics(dataset: Dataset, split: Split) -> dict[str, float] | None:
    """Test metrics of the oracle under both full protocols; None for real data."""
    if not is_synthetic(dataset.name):
        return None
    ranks = {protocol: np.empty(len(split.test), np.float32) for protocol in (FULL_KEEP, FULL_DROP)}
    for start in range(0, len(split.test), USERS):
        part = slice(start, start + USERS)
        targets = Targets(split.test.users[part], split.test.ends[part])
        scores_BV = torch.from_numpy(oracle_scores(dataset, targets.users, targets.ends))
        answer = ranks_of(
            scores_BV,
            torch.from_numpy(dataset.items[targets.ends].astype(np.int64)),
            torch.from_numpy(seen_before(dataset, targets).padded_BK()),
        )
        for protocol, ranks_N in ranks.items():
            ranks_N[part] = answer.ranks[protocol].numpy()
    return means(ranks, split.name)
