"""What is cut out of texts before they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from srbench.record.private import without_paths


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("file /home/ada/work/mine.toml", "file mine.toml"),
        ("cannot open '/data/x/y.npz': no such file", "cannot open 'y.npz': no such file"),
        ("/data/models/mine.py:Net", "mine.py:Net"),
        ("srbench run --results=/tmp/x/y --seed 1", "srbench run --results=y --seed 1"),
        ("/home/ada", "~"),
        ("/Users/ada/x.csv", "x.csv"),
        ("~/work/x.csv", "x.csv"),
        ("ndcg@10|full|seen:keep|ties:half|loo|v1", "ndcg@10|full|seen:keep|ties:half|loo|v1"),
        ("3400 targets/s, 1/2, a / b, ../a/b.csv", "3400 targets/s, 1/2, a / b, ../a/b.csv"),
        ("see https://example.org/a/b/c", "see https://example.org/a/b/c"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text: str, kept: str) -> None:
    assert without_paths(text) == kept


def test_the_home_folder_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/root"))
    assert (
        without_paths("in /root and /root/a.toml, not /rootless") == "in ~ and a.toml, not rootless"
    )


def test_nested() -> None:
    value = {"a": ["/x/y.csv", 1, None, True], "b": {"c": "/x/y/z"}}
    assert without_paths(value) == {"a": ["y.csv", 1, None, True], "b": {"c": "z"}}
