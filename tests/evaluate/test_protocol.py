from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srbench.errors import SrbenchError
from srbench.evaluate.protocol import (
    FULL_DROP,
    FULL_KEEP,
    METRICS,
    POP100,
    PROTOCOLS,
    UNI100,
    Signature,
    parse_signature,
    protocol_named,
    signature,
)


def test_signatures_read_as_documented() -> None:
    assert signature("ndcg", 10, FULL_KEEP, "loo") == "ndcg@10|full|seen:keep|ties:half|loo|v1"
    assert signature("hr", 5, FULL_DROP, "loo") == "hr@5|full|seen:drop|ties:half|loo|v1"
    assert (
        signature("mrr", 20, UNI100, "temporal:0.9")
        == "mrr@20|uni100|seen:drop|ties:half|temporal:0.9|v1"
    )
    assert (
        signature("ndcg", 10, POP100, "loo", users=(1000, 6040))
        == "ndcg@10|pop100|seen:drop|ties:half|loo|v1|users:1000of6040"
    )


@given(
    st.builds(
        Signature,
        metric=st.sampled_from(METRICS),
        k=st.integers(1, 10**6),
        protocol=st.sampled_from(PROTOCOLS),
        split=st.just("loo")
        | st.floats(0.001, 0.999).map(lambda quantile: f"temporal:{quantile:g}"),
        users=st.none() | st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)),
        version=st.integers(1, 99).map(lambda number: f"v{number}"),
    )
)
def test_parsing_gives_back_what_was_written(written: Signature) -> None:
    assert parse_signature(str(written)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ndcg@10",
        "ndcg@10|full|seen:keep|ties:mean|loo|v1",  # unknown tie rule
        "ndcg@0|full|seen:keep|ties:half|loo|v1",
        "ndcg@10|uni100|seen:keep|ties:half|loo|v1",  # no such protocol
        "auc@10|full|seen:keep|ties:half|loo|v1",
        "ndcg@10|full|seen:keep|ties:half|loo|v1|users:5",
        "ndcg@10|full|seen:keep|ties:half|loo|v1 ",
    ],
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(SrbenchError, match="one reads ndcg@10"):
        parse_signature(text)


def test_protocols_have_names() -> None:
    assert [protocol_named(str(protocol)) for protocol in PROTOCOLS] == list(PROTOCOLS)
    with pytest.raises(SrbenchError, match=r"Did you mean .*full\|seen:keep"):
        protocol_named("full|seen:keeps")
