"""`srbench data`: what is listed, shown, prepared, imported and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srbench.cli.app import main
from srbench.data.catalogue import CATALOGUE

ROWS = [(user, item, 10 * item) for user in (1, 2, 3, 4) for item in (1, 2, 3, 4, 5)]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SRBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    lines = ["user,item,time", *(f"u{user},i{item},{time}" for user, item, time in ROWS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_fits_and_is_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    listed = {line.split()[0] for line in lines if line.strip()}
    assert {*CATALOGUE, "synthetic"} <= listed
    assert any(row.split()[:5] == ["ml-1m", "6,040", "3,706", "1,000,209", "download"]
               for row in lines)  # fmt: skip


def test_the_list_says_what_is_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sets" / "ml-1m" / "ml-1m.csv"
    file.parent.mkdir(parents=True)
    file.write_text("user,item,time\n", encoding="utf-8")
    assert main(["data", "list", "--data-dir", str(tmp_path / "sets"), "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert (listed["ml-1m"]["where"], listed["ml-1m"]["path"]) == ("here", str(file))
    assert (listed["ml-20m"]["where"], listed["ml-20m"]["path"]) == ("download", None)
    assert listed["yelp2018"]["where"] == "by hand"
    assert listed["amazon-toys"]["where"] == "download, unverified"


def test_show_counts_every_step(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(shop), "--k-core", "4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    prepared = shown["prepared"]
    assert [step["name"] for step in prepared["steps"]][:2] == ["read", "4-core"]
    assert prepared["steps"][0] == {"name": "read", "users": 4, "items": 5, "interactions": 20}
    assert (prepared["split"], prepared["test"], prepared["training"]) == ("loo", 4, 12)


@pytest.mark.parametrize("width", [80, 120])
def test_show_as_text(
    shop: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["data", "show", str(shop), "--k-core", "0", "--time-ties", "item"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines]
    assert ["read", "4", "5", "20"] in rows
    assert ["density", "100.000%"] in rows
    assert "12 train, 4 select, 4 are reported" in " ".join(lines)


def test_show_takes_a_split(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = "synthetic:users=60,items=40,length=8"
    assert main(["data", "show", dataset, "--split", "temporal:0.5", "--json"]) == 0
    prepared = json.loads(capsys.readouterr().out)["prepared"]
    assert prepared["split"] == "temporal:0.5"
    assert prepared["leak"] == 0.0


def test_show_downloads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "ml-1m"]) == 0
    shown = capsys.readouterr().out
    assert "srbench data prepare ml-1m downloads it" in shown
    assert "6,040 users, 3,706 items, 1,000,209 interactions" in shown
    assert main(["data", "show", "yelp2018"]) == 0
    assert "not here; get it from the homepage" in capsys.readouterr().out


def test_import_shows_five_rows_and_the_name_works(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "import", str(shop), "mine", "--columns", "user,item,time"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["u1", "i1", "10"] in rows
    assert sum(row[:1] == ["u1"] for row in rows) == 5
    assert main(["data", "prepare", "mine", "--k-core", "0"]) == 0
    assert "mine is ready, fingerprint" in capsys.readouterr().out
    assert main(["data", "import", str(shop), "mine"]) == 2
    assert "choose another name or --replace" in capsys.readouterr().err
    assert main(["data", "import", str(shop), "mine", "--replace"]) == 0


def test_export(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "export", str(shop), "--k-core", "0"]
    assert main([*arguments, "--ids", "dense"]) == 0
    assert (tmp_path / "shop.txt").read_text("utf-8").splitlines()[:2] == ["1 1", "1 2"]
    assert capsys.readouterr().out == ""
    out = tmp_path / "deep" / "x.csv"
    assert main([*arguments, "--format", "csv", "--out", str(out)]) == 0
    assert out.read_text("utf-8").splitlines()[:2] == ["user,item,time", "u1,i1,10"]
    assert main([*arguments, "--format", "inter"]) == 0
    assert (tmp_path / "shop.inter").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "ml-1n"], "Did you mean ml-1m"),
        (["show", "nowhere/x.csv"], "does not exist"),
        (["show", "synthetic", "--time-ties", "rows"], 'data.time_ties = "rows" (flag)'),
        (["show", "synthetic", "--split", "random"], 'data.split = "random" (flag)'),
        (["prepare", "synthetic", "--k-core", "-1"], "data.k_core = -1 (flag)"),
        (["prepare", "synthetic", "--duplicates", "all"], "one of keep, first, last"),
        (["export", "synthetic", "--format", "sasrek"], "Did you mean sasrec"),
        (["export", "synthetic", "--ids", "desne"], "Did you mean dense"),
        (["import", "missing.csv", "mine"], "missing.csv does not exist"),
        (["list", "--data-dir", "nowhere"], "--data-dir names nowhere, which is no folder"),
    ],
)
def test_bad_input(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
