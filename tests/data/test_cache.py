"""What is kept on disk is believed only when it is whole, and never needed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest

from srbench.data import load
from srbench.data.dataset import Dataset
from srbench.data.synthetic import generate

CSV = "user,item,time\n" + "".join(f"{u},{i},{u + i}\n" for u in range(4) for i in range(5))


def settings(**chosen: Any) -> Any:
    return SimpleNamespace(**({"k_core": 0, "duplicates": "keep", "time_ties": "row"} | chosen))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "prepared").glob("*"))


def assert_equal(one: Dataset, other: Dataset) -> None:
    for name in ("items", "offsets", "times", "user_ids", "item_ids"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.dtype == right.dtype
            assert left.tolist() == right.tolist()
    for name in ("name", "fingerprint", "time_ties", "k_core", "steps"):
        assert getattr(one, name) == getattr(other, name)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("it was prepared again")


@pytest.mark.parametrize("timed", [True, False])
def test_the_second_load_prepares_nothing(
    shop: Path, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = None if timed else "user,item"
    first = load(str(shop), settings(k_core=3), columns=columns)
    assert (first.times is not None) == timed
    monkeypatch.setattr("srbench.data.readers.read", never)
    second = load(str(shop), settings(k_core=3), columns=columns)
    assert_equal(first, second)


def test_loading_from_the_cache_needs_no_pandas(shop: Path) -> None:
    load(str(shop), settings())
    code = (
        "import sys; from types import SimpleNamespace as S; from srbench.data import load; "
        f"load({str(shop)!r}, S(k_core=0, duplicates='keep', time_ties='row')); "
        "print([name for name in ('pandas', 'pooch', 'torch', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "chosen",
    [{"k_core": 2}, {"duplicates": "first"}, {"time_ties": "item"}, {"time_ties": "shuffle:2"}],
)
def test_other_settings_are_kept_apart(shop: Path, tmp_path: Path, chosen: dict[str, Any]) -> None:
    load(str(shop), settings())
    load(str(shop), settings(**chosen))
    assert len(kept(tmp_path)) == 2


def test_a_changed_file_is_prepared_again(shop: Path) -> None:
    before = load(str(shop), settings())
    shop.write_text(CSV.replace("3,4,7", "3,4,2"), encoding="utf-8")
    os.utime(shop, ns=(1, 1))  # as when a clock is coarse: the size alone would not tell
    after = load(str(shop), settings())
    assert before.fingerprint != after.fingerprint


def flip(place: int) -> Callable[[bytes], bytes]:
    def flipped(data: bytes) -> bytes:
        return data[:place] + bytes([data[place] ^ 1]) + data[place:][1:]

    return flipped


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:200],
        lambda data: data[:-64],
        lambda data: data + b"\x00" * 64,
        lambda data: b"\x00" * len(data),
        flip(3),
        flip(12),
        flip(100),
    ],
    ids=["empty", "no header", "half a header", "cut off", "longer", "zeros", "magic", "length",
         "header"],
)  # fmt: skip
def test_a_damaged_cache_is_made_anew(
    shop: Path, tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    first = load(str(shop), settings())
    (path,) = kept(tmp_path)
    good = path.read_bytes()
    path.write_bytes(harm(good))
    with pytest.warns(UserWarning, match=r"is damaged .* and is made anew"):
        second = load(str(shop), settings())
    assert_equal(first, second)
    assert path.read_bytes() == good


def test_every_bit_of_every_array_is_checked(shop: Path, tmp_path: Path) -> None:
    first = load(str(shop), settings())
    (path,) = kept(tmp_path)
    good = path.read_bytes()
    arrays = (first.items, first.offsets, first.times, first.user_ids, first.item_ids)
    for array in arrays:
        assert array is not None
        place = good.find(array.tobytes())
        assert place > 0
        path.write_bytes(flip(place + array.nbytes - 1)(good))
        with pytest.warns(UserWarning, match="do not match their checksum"):
            assert_equal(first, load(str(shop), settings()))


class FullDisk:
    """A file on a disk that has no room left."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_only_the_cache(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = opened(self, mode, *args, **kwargs)
        return FullDisk(file) if "x" in mode else file

    monkeypatch.setattr(Path, "open", full)
    with pytest.warns(UserWarning, match=r"the disk is full.*will be prepared anew each time"):
        dataset = load(str(shop), settings())
    assert dataset.n_users == 4
    assert kept(tmp_path) == []


def test_a_folder_that_cannot_be_written_costs_only_the_cache(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, where the folder should be", encoding="utf-8")
    for _ in range(2):
        with pytest.warns(UserWarning, match="will be prepared anew each time") as warned:
            assert load(str(shop), settings()).n_users == 4
        assert len(warned) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_costs_only_the_cache(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.warns(UserWarning, match=r"may not be written to.*SRBENCH_CACHE"):
        assert load(str(shop), settings()).n_users == 4


def test_the_arrays_lie_on_the_file_and_do_not_change_it(shop: Path, tmp_path: Path) -> None:
    load(str(shop), settings())
    dataset = load(str(shop), settings())
    assert not dataset.items.flags.owndata
    (path,) = kept(tmp_path)
    before = path.read_bytes()
    dataset.items[0] = 99
    assert path.read_bytes() == before


def test_synthetic_data_is_not_kept(tmp_path: Path) -> None:
    name = "synthetic:users=5,items=20,length=5"
    assert_equal(load(name, settings(k_core=5)), generate(name))
    assert kept(tmp_path) == []


def test_ids_of_any_script(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("user,item\n" + "".join(f"müller-é,{c}\n" for c in "日本語"), encoding="utf-8")
    first, second = (load(str(path), settings()) for _ in range(2))
    assert second.user_ids.tolist() == ["müller-é"]
    assert second.item_ids.tolist() == ["日", "本", "語"]
    assert_equal(first, second)
    assert isinstance(second.item_ids, np.ndarray)
