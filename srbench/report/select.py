"""Which records may stand in one table, and what tells them apart there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from srbench.evaluate.protocol import Protocol, parse_signature
from srbench.record.schema import Metrics, Record
from srbench.report.rows import row


@dataclass(frozen=True)
class Comparable:
    """Records whose numbers may be compared: same data, same split, same meaning of a metric.

    tail: what all their signatures end in behind the protocol, `ties:half|loo|v1`; None where none
    of the runs came to a metric.
    """

    dataset: str
    fingerprint: str
    tail: str | None
    records: tuple[Record, ...]

    def number(self, record: Record, metric: str, protocol: Protocol) -> float | None:
        """The test number of `metric`, such as "ndcg@10"; None where the run has none."""
        return record.test.get(self.signature(metric, protocol))

    def signature(self, metric: str, protocol: Protocol) -> str:
        return f"{metric}|{protocol}|{self.tail}"

    def oracle(self, metric: str, protocol: Protocol) -> float | None:
        """The best that any model can reach here; None for data whose law nobody knows."""
        for record in self.records:
            value = (record.data.oracle or {}).get(self.signature(metric, protocol))
            if value is not None:
                return value
        return None


def comparables(records: Iterable[Record]) -> list[Comparable]:
    """Sorts records into groups that may be compared, in the order in which they first appear.

    A run without metrics stands in the first group of its data and split.
    """
    groups: dict[tuple[str, str, str, str | None], list[Record]] = {}
    without: list[Record] = []
    for record in records:
        tail = signature_tail(record.test)
        if tail is None:
            without.append(record)
        else:
            groups.setdefault((*_where(record), tail), []).append(record)
    for record in without:
        same = [key for key in groups if key[:3] == _where(record)]
        groups.setdefault(same[0] if same else (*_where(record), None), []).append(record)
    return [
        Comparable(dataset, fingerprint, tail, tuple(members))
        for (dataset, fingerprint, _, tail), members in groups.items()
    ]


def signature_tail(metrics: Metrics) -> str | None:
    """What the signatures of one record share behind the protocol; None where there are none."""
    tails = set()
    for text in metrics:
        found = parse_signature(text)
        tails.add(text.removeprefix(f"{found.metric}@{found.k}|{found.protocol}|"))
    if len(tails) > 1:
        raise ValueError(f"one record holds numbers of different meaning: {sorted(tails)}")
    return tails.pop() if tails else None


def labels(records: Sequence[Record], *, seeds: bool = True) -> list[str]:
    """A name for each record: the model, and the settings in which runs of one model differ.

    `["sasrec", "glintru kernel=3", "glintru kernel=5"]`. The seed is a setting among them, unless
    `seeds` is False: then runs that differ in the seed alone have one name.
    """
    rows = [row(record) for record in records]
    names = []
    for own in rows:
        same = [other for other in rows if other["model"] == own["model"]]
        differing = [
            f"{name.removeprefix('model.').removeprefix('train.')}={own[name]}"
            for name in own
            if (name == "seed" and seeds) or name.startswith(("model.", "data.", "train."))
            if any(other.get(name) != own[name] for other in same)
        ]
        names.append(" ".join([str(own["model"]), *differing]))
    return names


def _where(record: Record) -> tuple[str, str, str]:
    return record.data.name, record.data.fingerprint, record.data.split
