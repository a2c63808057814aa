"""Catalogue coverage: the share of the items that stand among anyone's first k.

An item stands among a user's first k if its own rank, ties half, is at most k, as for a target. So
a constant scorer recommends nothing, and neither the order of the items nor that of a sort matters.
"""

from __future__ import annotations

import torch
from torch import Tensor

Top = tuple[Tensor, Tensor]  # best scores, descending, and their items (column + 1): [B, 2k]


class Coverage:
    """Collects the recommended items batch by batch.

    A rank of 1 + greater + equal / 2 is at most k only if greater + equal < 2k, so the best 2k
    scores decide: where equal scores run on behind them, their rank is above k already.
    """

    def __init__(self, n_items: int, k: int, device: torch.device | str = "cpu") -> None:
        self.k = k
        self._recommended_V = torch.zeros(n_items, dtype=torch.bool, device=device)

    def best(self, scores_BC: Tensor, start: int, before: Top | None = None) -> Top:
        """The best 2k of a chunk of the catalogue and of what the chunks before it gave."""
        scores_BK, columns_BK = scores_BC.topk(min(2 * self.k, scores_BC.shape[1]), dim=1)
        items_BK = columns_BK + (start + 1)
        if before is None:
            return scores_BK, items_BK
        scores_BK = torch.cat([before[0], scores_BK], dim=1)
        items_BK = torch.cat([before[1], items_BK], dim=1)
        scores_BK, chosen_BK = scores_BK.topk(min(2 * self.k, scores_BK.shape[1]), dim=1)
        return scores_BK, items_BK.gather(1, chosen_BK)

    def add(self, top: Top) -> None:
        """Marks the items whose rank is at most k."""
        scores_BK, items_BK = top
        ascending_BK = scores_BK.neg()
        greater_BK = torch.searchsorted(ascending_BK, ascending_BK)
        others_BK = torch.searchsorted(ascending_BK, ascending_BK, right=True) - greater_BK - 1
        recommended_BK = 2 + 2 * greater_BK + others_BK <= 2 * self.k
        self._recommended_V[items_BK[recommended_BK] - 1] = True

    def share(self) -> float:
        """Recommended items over all items of the catalogue."""
        return float(self._recommended_V.float().mean())
