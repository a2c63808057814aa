"""How many numbers a model holds."""

from __future__ import annotations

from srbench.recommender import Recommender
from srbench.record.schema import Parameters


def parameters(recommender: Recommender) -> Parameters:
    """Parameters of the item table (its pad row included) and of the encoder; shared ones once."""
    total = sum(weight.numel() for weight in recommender.parameters())
    table = recommender.table.weight.numel()
    return Parameters(total=total, table=table, encoder=total - table)
