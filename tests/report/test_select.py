"""What may stand in one table, and what tells its rows apart."""

from __future__ import annotations

import pytest

from srbench.evaluate.protocol import FULL_DROP
from srbench.record.schema import Record
from srbench.report.select import comparables, labels, signature_tail


def test_unequal_data_splits_and_signatures_are_kept_apart(make) -> None:
    records = [
        make("a", 0.1),
        make("b", 0.2, data={"fingerprint": "ffffffffffffffff"}),
        make("c", 0.3, tail="ties:half|loo|v2"),
        make("d", 0.4, tail="ties:half|loo|v1|users:10of50"),
        make("e", 0.5, data={"split": "temporal:0.9"}, tail="ties:half|temporal:0.9|v1"),
        make("f", 0.6),
    ]
    groups = comparables(records)
    assert [[r.model.name for r in group.records] for group in groups] == [
        ["a", "f"],
        ["b"],
        ["c"],
        ["d"],
        ["e"],
    ]
    assert groups[3].number(records[3], "ndcg@10", FULL_DROP) == pytest.approx(0.4)
    assert groups[3].tail == "ties:half|loo|v1|users:10of50"


def test_a_run_without_numbers_stands_with_its_data(make) -> None:
    failed = make("a", None, status="failed", reason="NaN")
    other = make("b", 0.1, data={"fingerprint": "ffffffffffffffff"})
    groups = comparables([failed, other, make("c", 0.2)])
    names = [[r.model.name for r in group.records] for group in groups]
    assert names == [["b"], ["c", "a"]]
    (alone,) = comparables([failed])
    assert alone.tail is None


def test_a_record_of_mixed_meaning_is_a_mistake_of_ours() -> None:
    mixed = {
        "ndcg@10|full|seen:drop|ties:half|loo|v1": 0.1,
        "hr@10|full|seen:drop|ties:half|loo|v2": 0.1,
    }
    with pytest.raises(ValueError, match="different meaning"):
        signature_tail(mixed)


def test_the_oracle(make) -> None:
    (group,) = comparables([make("a", 0.1), make("b", 0.2, oracle=0.4)])
    assert group.oracle("ndcg@10", FULL_DROP) == pytest.approx(0.4)
    assert group.oracle("ndcg@1", FULL_DROP) is None
    (group,) = comparables([make("a", 0.1)])
    assert group.oracle("ndcg@10", FULL_DROP) is None


def test_labels_name_the_settings_that_differ(four: list[Record]) -> None:
    assert labels(four) == ["pop", "glintru kernel=3", "glintru kernel=5", "sasrec"]


def test_labels_of_seeds_and_of_settings_of_the_harness(make) -> None:
    records = [make("a", 0.1, seed=0), make("a", 0.1, seed=1), make("b", 0.1, seed=0)]
    assert labels(records) == ["a seed=0", "a seed=1", "b"]
    assert labels(records, seeds=False) == ["a", "a", "b"]
    slow = make("b", 0.1, seed=0).model_copy(update={"settings": {"train": {"lr": 0.1}}})
    fast = make("b", 0.1, seed=0).model_copy(update={"settings": {"train": {"lr": 0.2}}})
    assert labels([slow, fast]) == ["b lr=0.1", "b lr=0.2"]
