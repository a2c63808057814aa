"""What is written, to the letter, and that it reads back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srbench.data.dataset import Dataset
from srbench.data.export import export
from srbench.data.prepare import prepare
from srbench.data.readers import read
from srbench.data.split import leave_one_out
from srbench.data.summary import summary
from srbench.data.synthetic import generate
from srbench.errors import SrbenchError

SETTINGS: Any = SimpleNamespace(k_core=0, duplicates="keep", time_ties="row")
SHOP = Dataset(
    name="shop",
    items=np.array([2, 1, 1, 3], dtype=np.int32),
    offsets=np.array([0, 3, 4], dtype=np.int64),
    times=np.array([86_400, 86_400, 200_000, 5], dtype=np.int64),
    user_ids=np.array(["zoe", "7"]),
    item_ids=np.array(["a", 'b, "c"', "d"]),
    fingerprint="0" * 16,
)


def written(dataset: Dataset, tmp_path: Path, format: Any, ids: Any) -> str:
    path = tmp_path / "out" / "file"
    export(dataset, path, format, ids)
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("format", "ids", "text"),
    [
        ("sasrec", "dense", "1 2\n1 1\n1 1\n2 3\n"),
        ("inter", "dense", "user_id:token\titem_id:token\ttimestamp:float\n"
         "1\t2\t86400\n1\t1\t86400\n1\t1\t200000\n2\t3\t5\n"),
        ("csv", "dense", "user,item,time\n1,2,86400\n1,1,86400\n1,1,200000\n2,3,5\n"),
        ("inter", "original", "user_id:token\titem_id:token\ttimestamp:float\n"
         'zoe\tb, "c"\t86400\nzoe\ta\t86400\nzoe\ta\t200000\n7\td\t5\n'),
        ("csv", "original", 'user,item,time\nzoe,"b, ""c""",86400\nzoe,a,86400\n'
         "zoe,a,200000\n7,d,5\n"),
    ],
)  # fmt: skip
def test_text(tmp_path: Path, format: str, ids: str, text: str) -> None:
    assert written(SHOP, tmp_path, format, ids) == text


def test_without_times(tmp_path: Path) -> None:
    untimed = replace(SHOP, times=None)
    assert written(untimed, tmp_path, "csv", "dense") == "user,item\n1,2\n1,1\n1,1\n2,3\n"


@pytest.mark.parametrize("format", ["sasrec", "inter", "csv"])
@pytest.mark.parametrize("ids", ["original", "dense"])
def test_what_is_written_reads_back(
    tmp_path: Path, format: Any, ids: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srbench.data.export._ROWS", 1000)  # several pieces
    dataset = generate("synthetic:users=200,items=50,length=12")
    path = tmp_path / "file"
    export(dataset, path, format, ids)
    again = prepare("again", read(path), SETTINGS)
    assert again.offsets.tolist() == dataset.offsets.tolist()
    known = dataset.item_ids if ids == "original" else np.arange(1, 51).astype(str)
    assert (again.item_ids[again.items - 1] == known[dataset.items - 1]).all()
    if ids == "original":
        assert again.user_ids.tolist() == dataset.user_ids.tolist()
    if format != "sasrec":
        assert again.times is not None and dataset.times is not None
        assert again.times.tolist() == dataset.times.tolist()


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(SrbenchError, match="has white space, which the format sasrec cannot hold"):
        export(SHOP, path, "sasrec", "original")
    tabbed = replace(SHOP, user_ids=np.array(["a\tb", "7"]))
    with pytest.raises(SrbenchError, match="has white space, which the format inter cannot hold"):
        export(tabbed, path, "inter", "original")
    with pytest.raises(SrbenchError, match="Did you mean sasrec"):
        export(SHOP, path, "sasrek")  # type: ignore[arg-type]
    with pytest.raises(SrbenchError, match="Did you mean dense"):
        export(SHOP, path, "csv", "dens")  # type: ignore[arg-type]
    assert not path.exists()
    path.mkdir()
    with pytest.raises(SrbenchError, match="Cannot write"):
        export(SHOP, path, "csv")


def test_summary() -> None:
    dataset = Dataset(
        name="shop",
        items=np.array([1, 2, 3, 2, 3, 1, 2], dtype=np.int32),
        offsets=np.array([0, 4, 7], dtype=np.int64),
        times=np.array([0, 0, 86_400, 172_800, 5, 6, 6], dtype=np.int64),
        user_ids=np.array(["a", "b"]),
        item_ids=np.array(["x", "y", "z"]),
        fingerprint="0123456789abcdef",
        k_core=2,
        time_ties="item",
    )
    assert summary(dataset, leave_one_out(dataset)) == {
        "name": "shop",
        "fingerprint": "0123456789abcdef",
        "users": 2,
        "items": 3,
        "interactions": 7,
        "density": 7 / 6,
        "length": {"shortest": 3, "median": 3.5, "mean": 3.5, "longest": 4},
        "first": "1970-01-01",
        "last": "1970-01-03",
        "k_core": 2,
        "time_ties": "item",
        "tied_share": 4 / 7,
        "last_pair_tied": 0.5,
        "split": "loo",
        "training": 3,
        "valid": 2,
        "test": 2,
        "leak": 0.0,
        "steps": [],
    }
    untimed = replace(dataset, times=None)
    facts = summary(untimed, leave_one_out(untimed))
    for name in ("first", "last", "tied_share", "last_pair_tied", "leak"):
        assert facts[name] is None
    odd = replace(dataset, times=dataset.items.astype(np.int64) * 10**16)
    assert summary(odd, leave_one_out(odd))["last"] is None
