"""Records to be reported: the golden one, with other models, numbers and fates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from srbench.evaluate.protocol import PROTOCOLS
from srbench.record.schema import Record

GOLDEN = Path(__file__).parent.parent / "record" / "golden_record.json"
FACTORS = dict(zip(PROTOCOLS, (0.5, 1.0, 3.0, 2.0), strict=True))

MakeRecord = Callable[..., Record]


@pytest.fixture
def make() -> MakeRecord:
    """make("sasrec", 0.18): NDCG@10 0.18 under full|seen:drop, HR@10 twice that, MRR@10 half."""

    def build(
        model: str,
        ndcg: float | None = 0.2,
        *,
        tail: str = "ties:half|loo|v1",
        settings: Mapping[str, object] = {},
        curve: tuple[float, ...] = (0.1, 0.15),
        oracle: float | None = None,
        data: Mapping[str, object] = {},
        environment: Mapping[str, object] = {},
        **changes: Any,
    ) -> Record:
        document = json.loads(GOLDEN.read_text(encoding="utf-8"))
        document["model"] |= {"name": model, "settings": dict(settings)}
        factors = {"ndcg": 1.0, "hr": 2.0, "mrr": 0.5}

        def numbers(value: float) -> dict[str, float]:
            return {
                f"{metric}@{k}|{protocol}|{tail}": value * factor * FACTORS[protocol] * k / 10
                for protocol in PROTOCOLS
                for metric, factor in factors.items()
                for k in (5, 10, 20)
            }

        document["test"] = {} if ndcg is None else numbers(ndcg)
        document["coverage"] = {}
        if ndcg is not None:
            document["coverage"] = {f"coverage@10|full|seen:keep|{tail}": 0.75}
        document["data"] |= {"oracle": oracle and numbers(oracle)} | dict(data)
        document["environment"] |= environment
        epoch = document["training"]["curve"][0]
        document["training"]["curve"] = [
            epoch | {"epoch": n + 1, "steps": 4 * (n + 1), "validation": numbers(value)}
            for n, value in enumerate(curve)
        ]
        return Record.model_validate(document | changes)

    return build


@pytest.fixture
def four(make: MakeRecord) -> list[Record]:
    """Two settings of one model, another model, and one that failed; with an oracle."""
    return [
        make("pop", 0.02, oracle=0.4, training=None),
        make("glintru", 0.1884, settings={"kernel": 3}, key="000000000001"),
        make("glintru", 0.1872, settings={"kernel": 5}, key="000000000002"),
        make(
            "sasrec",
            None,
            status="out of memory",
            reason="2 GiB were asked for",
            training=None,
            measurements=[],
        ),
    ]
