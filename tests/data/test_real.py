"""The published datasets come out at their published sizes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srbench.data import load
from srbench.data.dataset import Dataset
from srbench.data.export import export
from srbench.data.locate import find_local
from srbench.data.split import last_pair_tied, leave_one_out, tied_share


def loaded(real_data: Path, name: str, k_core: int, time_ties: str = "row") -> Dataset:
    if find_local(name, real_data) is None:
        pytest.skip(f"SRBENCH_DATA has no {name}")
    settings: Any = SimpleNamespace(k_core=k_core, duplicates="keep", time_ties=time_ties)
    return load(name, settings, data_dir=real_data)


@pytest.mark.parametrize(
    ("name", "k_core", "sizes", "median_length", "tied", "last_tied"),
    [
        ("ml-1m", 5, (6040, 3416, 999_611), None, 0.76, 0.41),
        ("ml-1m", 0, (6040, 3706, 1_000_209), 96, 0.76, None),
        ("ml-100k", 0, (943, 1682, 100_000), 65, 0.76, None),
        ("amazon-beauty", 5, (22_363, 12_101, 198_502), 6, 0.58, 0.43),
        ("amazon-video-games", 5, (24_303, 10_672, 231_780), 7, None, None),
    ],
)
def test_sizes(
    real_data: Path,
    name: str,
    k_core: int,
    sizes: tuple[int, int, int],
    median_length: float | None,
    tied: float | None,
    last_tied: float | None,
) -> None:
    dataset = loaded(real_data, name, k_core)
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == sizes
    if median_length is not None:
        assert np.median(dataset.lengths) == median_length
    if tied is not None:
        assert tied_share(dataset) == pytest.approx(tied, abs=0.005)
    if last_tied is not None:
        assert last_pair_tied(dataset) == pytest.approx(last_tied, abs=0.005)


def test_the_order_of_ties_decides_the_test_item_of_a_quarter_of_users(real_data: Path) -> None:
    by_row, by_item = (loaded(real_data, "ml-1m", 5, ties) for ties in ("row", "item"))
    assert by_row.item_ids.tolist() == by_item.item_ids.tolist()
    ends = leave_one_out(by_row).test.ends
    differ = np.mean(by_row.items[ends] != by_item.items[ends])
    assert differ == pytest.approx(0.258, abs=0.002)


def test_the_export_reads_back(real_data: Path, tmp_path: Path) -> None:
    dataset = loaded(real_data, "ml-1m", 5)
    path = tmp_path / "exported.txt"
    export(dataset, path)
    settings: Any = SimpleNamespace(k_core=0, duplicates="keep", time_ties="row")
    again = load(str(path), settings)
    assert again.user_ids.tolist() == dataset.user_ids.tolist()
    assert again.offsets.tolist() == dataset.offsets.tolist()
    original = dataset.item_ids[dataset.items - 1]
    assert (again.item_ids[again.items - 1] == original).all()
