"""docs/protocol.md: its worked user is run, and what it says in words is held against the code."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from srbench.evaluate.metrics import KS
from srbench.evaluate.protocol import (
    METRICS,
    NEGATIVES,
    NEGATIVES_SEED,
    PROTOCOL_VERSION,
    PROTOCOLS,
    parse_signature,
)

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")


def test_the_worked_user_comes_out_as_printed() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "protocol.md", None, None)
    said: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(page, out=said.append)
    assert results.attempted > 20
    assert results.failed == 0, "".join(said)


def test_the_sums_in_words_are_right() -> None:
    sums = re.findall(r"1 \+ (\d+) \+ (\d+)/2 = (\d+\.\d)", PAGE)
    assert len(sums) == 4
    for greater, equal, rank in sums:
        assert 1 + int(greater) + int(equal) / 2 == float(rank)
    printed = re.findall(r"^(?:full|uni100|pop100)\|seen:\w+ \[([\d.]+)\]$", PAGE, flags=re.M)
    assert [rank for _, _, rank in sums] == printed


def test_the_page_names_what_the_code_does() -> None:
    example = re.search(r"^ {4}(ndcg@\S+)$", PAGE, flags=re.M)
    assert example is not None
    assert parse_signature(example[1]).version == PROTOCOL_VERSION
    for protocol in PROTOCOLS:
        assert f"| `{protocol.candidates}`, `seen:{protocol.seen}` |" in PAGE
    assert f"seed {NEGATIVES_SEED}" in PAGE
    assert f"The {NEGATIVES} negatives" in PAGE
    assert f"| k | {', '.join(map(str, KS))} |" in PAGE
    assert f"| metric | {' '.join(f'`{metric}`' for metric in METRICS)} |" in PAGE


@pytest.mark.parametrize("text", re.findall(r"\b\w+@\d+\|\S+\|v1\b", PAGE))
def test_every_signature_on_the_page_is_one(text: str) -> None:
    assert str(parse_signature(text)) == text
