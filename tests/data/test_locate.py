"""Where a name is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import gzip
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from srbench.data import load
from srbench.data.catalogue import CATALOGUE, NAMES, describe
from srbench.data.imports import import_file
from srbench.data.locate import find, find_local, imported
from srbench.errors import SrbenchError

CSV = "user,item,time\n" + "".join(f"{u},{i},{u + i}\n" for u in range(4) for i in range(5))
SETTINGS: Any = SimpleNamespace(k_core=0, duplicates="keep", time_ties="row")


def put(path: Path, content: str = CSV) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry has a mirror, as if none answered."""
    for name, entry in CATALOGUE.items():
        monkeypatch.setitem(CATALOGUE, name, replace(entry, mirrors=(), unverified="no network"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ml-1m", "ml-1m/ml-1m.inter.gz"),
        ("ml-1m", "ml-1m/ratings.dat"),
        ("ml-1m", "ml-1m.zip"),
        ("ml-1m", "ml-1m.txt"),
        ("ml-100k", "ml-100k/u.data"),
        ("ml-20m", "ml-20m/ratings.csv"),
        ("amazon-beauty", "reviews_Beauty_5.json.gz"),
        ("amazon-toys", "amazon-toys/reviews_Toys_and_Games_5.json"),
        ("amazon-video-games", "amazon-video-games/amazon-video-games.txt.gz"),
        ("steam", "steam.inter"),
        ("my-own", "my-own/my-own.parquet"),
    ],
)
def test_names_of_files(tmp_path: Path, name: str, file: str) -> None:
    path = put(tmp_path / "sets" / file)
    assert find_local(name, tmp_path / "sets") == path
    assert find_local(name) is None


def test_a_file_that_says_nothing_needs_its_folder(tmp_path: Path) -> None:
    put(tmp_path / "ratings.csv")
    assert find_local("ml-20m", tmp_path) is None


def test_the_order_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = put(tmp_path / "cache" / "data" / "ml-1m" / "ml-1m.inter")
    assert find_local("ml-1m") == kept
    named = put(tmp_path / "named" / "ml-1m" / "ml-1m.inter")
    monkeypatch.setenv("SRBENCH_DATA", str(tmp_path / "named"))
    assert find_local("ml-1m") == named
    asked = put(tmp_path / "asked" / "ml-1m" / "ml-1m.inter")
    assert find_local("ml-1m", tmp_path / "asked") == asked
    asked.unlink()
    assert find_local("ml-1m", tmp_path / "asked") == named


def test_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SrbenchError, match=r"--data-dir names .*nowhere, which is no folder"):
        find("ml-1m", data_dir=tmp_path / "nowhere")
    monkeypatch.setenv("SRBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SrbenchError, match=r"SRBENCH_DATA names .*nowhere, which is no folder"):
        find("ml-1m")


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "shop.events.csv.gz")
    found = find(str(path), columns="user,item")
    assert (found.name, found.path, found.columns) == ("shop.events", path, "user,item")
    monkeypatch.chdir(tmp_path)
    assert find("shop.events.csv.gz").path == Path("shop.events.csv.gz")
    assert load("./shop.events.csv.gz", SETTINGS).name == "shop.events"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ml1m", r"There is no dataset named 'ml1m'. Did you mean ml-1m"),
        ("sinthetic", "Did you mean synthetic"),
        ("amazon-game", "Did you mean amazon-"),
        ("", "There is no dataset named ''. Known: amazon-beauty, "),
        ("./none.csv", "none.csv does not exist"),
        ("none.csv", "none.csv does not exist"),
        ("../ml-1m", "does not exist"),
        ("/", "is a folder"),
    ],
)
def test_names_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SrbenchError, match=sentence):
        load(name, SETTINGS)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", NAMES)
def test_a_missing_dataset_says_where_to_put_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(SrbenchError) as error:
        load(name, SETTINGS)
    sentence = str(error.value)
    assert f"{name} is not on this machine and could not be downloaded (no network)" in sentence
    assert describe(name).homepage in sentence
    assert str(tmp_path / "cache" / "data" / name) in sentence
    assert "SRBENCH_DATA" in sentence
    assert not (tmp_path / "cache" / "data" / name).exists()


def test_another_version_of_a_known_dataset_is_said(tmp_path: Path) -> None:
    put(tmp_path / "ml-1m" / "ml-1m.csv")
    for _ in range(2):  # also when it comes from the cache
        with pytest.warns(
            UserWarning, match="has 20 interactions where ml-1m is published with 1,000,"
        ):
            load("ml-1m", SETTINGS, data_dir=tmp_path)


def test_import(tmp_path: Path) -> None:
    assert imported() == ()
    path = put(tmp_path / "events.dat", CSV.replace("user,item", "who,what"))
    first = import_file(path, "shop", "who,what,time")
    assert first.rows[1] == ("0", "1", 1)
    path.unlink()
    assert imported() == ("shop",)
    assert find("shop").columns == "who,what,time"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load("shop", SETTINGS)
    assert (dataset.name, dataset.n_users, dataset.n_items) == ("shop", 4, 5)
    assert load("shop", SETTINGS, columns="who,what").times is None


def test_import_does_not_replace_unasked(tmp_path: Path) -> None:
    import_file(put(tmp_path / "one.csv"), "shop")
    other = put(tmp_path / "other.txt.gz", "1 2\n1 3\n1 4\n")
    with pytest.raises(SrbenchError, match=r"shop is there already \(.*shop.csv\)"):
        import_file(other, "shop")
    assert load("shop", SETTINGS).n_users == 4
    import_file(other, "shop", replace=True)
    assert load("shop", SETTINGS).n_users == 1
    assert sorted(path.name for path in (tmp_path / "cache" / "data" / "shop").iterdir()) == [
        "shop.txt.gz", "shop.txt.gz.columns.json"
    ]  # fmt: skip


def test_import_puts_a_known_dataset_in_place(tmp_path: Path) -> None:
    import_file(put(tmp_path / "downloaded"), "ml-20m")
    assert find("ml-20m").path == tmp_path / "cache" / "data" / "ml-20m" / "ml-20m.txt"
    assert imported() == ()


@pytest.mark.parametrize("name", ["../up", "a/b", "synthetic", "", ".hidden", "with space"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(SrbenchError, match="cannot name a dataset"):
        import_file(put(tmp_path / "one.csv"), name)


def test_what_is_no_dataset_is_not_imported(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match="is not a dataset"):
        import_file(put(tmp_path / "notes.txt", "only some\nwords, you see\n"), "notes")
    assert not (tmp_path / "cache").exists()


def test_damaged_columns(tmp_path: Path) -> None:
    import_file(put(tmp_path / "one.csv"), "shop")
    sidecar = tmp_path / "cache" / "data" / "shop" / "shop.csv.columns.json"
    sidecar.write_text("{", encoding="utf-8")
    with pytest.raises(SrbenchError, match=r"is damaged .*: import the dataset again"):
        load("shop", SETTINGS)


def test_the_catalogue() -> None:
    assert set(NAMES) == {
        "ml-100k", "ml-1m", "ml-20m", "amazon-beauty", "amazon-video-games", "amazon-toys",
        "amazon-sports", "amazon-books", "steam", "yelp2018",
    }  # fmt: skip
    for name in NAMES:
        entry = describe(name)
        assert entry.name == name
        assert entry.terms and entry.citation and entry.homepage.startswith("https://")
        assert entry.verified == any(mirror.checksum for mirror in entry.mirrors)
        for mirror in entry.mirrors:
            assert mirror.kind == "wheel" or mirror.address.startswith("https://")
            assert mirror.file in entry.files or mirror.file.startswith(name)
            assert find_local(name) is None
    with pytest.raises(SrbenchError, match="Did you mean ml-100k"):
        describe("ml-100")
