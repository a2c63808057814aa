"""Parameters, counted by hand."""

from __future__ import annotations

from srbench import registry
from srbench.measure.parameters import parameters
from srbench.recommender import Recommender


def test_gru4rec_by_hand() -> None:
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(width=4, hidden=6, layers=2), 10, 5)
    found = parameters(recommender)
    first = 3 * 6 * (4 + 6)
    second = 3 * 6 * (6 + 6)
    dense = 6 * 4 + 4
    assert found.table == 11 * 4
    assert found.encoder == first + second + dense
    assert found.total == found.table + found.encoder


def test_a_counting_model_holds_its_counts() -> None:
    model = registry.get("pop")
    found = parameters(Recommender(model, model.Settings(), 10, 5))
    assert (found.total, found.table, found.encoder) == (11, 11, 0)
