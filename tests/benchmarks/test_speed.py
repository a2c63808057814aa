"""The arithmetic of the benchmark: medians, ratios, computed epochs, and what is said of them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


def number(table: ModuleType, who: str, samples: list[float], reason: str | None = None) -> Any:
    value = sorted(samples)[len(samples) // 2] if samples else None
    return table.Number(
        who=who, value=value, samples=samples, how="so", reason=reason, gemm_gflops=[]
    )


def line(table: ModuleType, ours: list[float], theirs: list[float]) -> Any:
    return table.Line(
        name="epoch",
        what="an epoch",
        unit="s",
        must_reach=5.0,
        srbench=number(table, "srbench", ours, None if ours else "no data"),
        peers=[number(table, "Peer 1.0", theirs, None if theirs else "left out")],
    )


def test_the_ratio_is_the_peers_number_over_ours(benchmark_file: Load) -> None:
    table = benchmark_file("table")
    found = line(table, [3.0, 4.0, 8.0], [264.0])
    assert found.ratio(found.peers[0]) == 66.0
    assert found.reached is True
    assert line(table, [5.5], [264.0]).reached is False


def test_what_was_not_measured_is_no_number(benchmark_file: Load, tmp_path: Path) -> None:
    table = benchmark_file("table")
    lines = [line(table, [], [264.0]), line(table, [4.0], [])]
    document = table.document(lines, [{"2x2x2": 80.0}], threads=1, load_before=0.25, command="x")
    assert [row["reached"] for row in document["rows"]] == [None, True]
    assert [row["peers"][0]["ratio"] for row in document["rows"]] == [None, None]
    table.write(document, tmp_path)
    text = (tmp_path / "speed.md").read_text()
    assert "| an epoch | 5 s | - | - | Peer 1.0 | 264 s | - |" in text
    assert "| an epoch | 5 s | 4.00 s | yes | Peer 1.0 | - | - |" in text
    assert "srbench no data; Peer 1.0 so." in text
    assert "2x2x2 on it meanwhile: 80 GFLOP/s" in text
    assert json.loads((tmp_path / "speed.json").read_text()) == document


def test_the_warm_up_epoch_is_no_sample(benchmark_file: Load) -> None:
    rows = benchmark_file("rows")
    curve = [{"seconds": seconds} for seconds in (9.0, 4.0, 4.5, 4.2)]
    assert rows.our_epochs({"training": {"curve": curve}}) == [4.0, 4.5, 4.2]


def test_a_missing_measurement_has_a_reason(benchmark_file: Load) -> None:
    rows = benchmark_file("rows")
    peak = rows.our_measurement("memory.process.peak", 1e-9)
    known = {"name": "memory.process.peak", "value": 2.5e9, "reason": None}
    assert peak({"measurements": [known]}) == [2.5]
    with pytest.raises(Exception, match="not told"):
        peak({"measurements": [known | {"value": None, "reason": "not told"}]})
    with pytest.raises(Exception, match=r"no measurement memory\.process\.peak"):
        peak({"measurements": []})


def test_each_row_reads_a_job_that_exists(benchmark_file: Load) -> None:
    rows = benchmark_file("rows")
    sides = [side for row in rows.ROWS for side in (row.ours, *row.peers)]
    assert {side.job for side in sides} == set(rows.JOBS)
    assert set(rows.JOBS) >= rows.LONG


def test_the_clock_of_a_loader_stops_at_the_limit(benchmark_file: Load) -> None:
    recbole = benchmark_file("peer_recbole")
    loader = recbole.TimedLoader([[1, 1], [1, 1], [1]], limit=2)
    assert [sum(batch) for batch in loader] == [2, 2]
    assert loader.targets == [2, 2]
    assert len(loader.marks) == 3
    assert loader.marks == sorted(loader.marks)
    whole = recbole.TimedLoader([[1, 1], [1, 1], [1]], limit=None)
    assert [sum(batch) for batch in whole] == [2, 2, 1]
    assert len(whole.marks) == 4


def test_a_job_that_fails_tells_its_last_words(benchmark_file: Load, tmp_path: Path) -> None:
    jobs = benchmark_file("jobs")
    bench = jobs.Bench(folder=tmp_path, threads=1)
    script = "import sys; print('first', file=sys.stderr); sys.exit('no such dataset')"
    with pytest.raises(jobs.JobFailed, match=r"^no such dataset$"):
        bench.process([sys.executable, "-c", script])


def test_srbench_and_the_peers_get_the_same_threads_and_folders(
    benchmark_file: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = benchmark_file("jobs")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRBENCH_CACHE", "cache")
    environment = jobs.Bench(folder=tmp_path, threads=2).environment()
    assert environment["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in environment
    assert environment["SRBENCH_CACHE"] == str(tmp_path / "cache")


def test_the_peers_get_an_inter_file(
    benchmark_file: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = benchmark_file("jobs")
    monkeypatch.setenv("SRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SRBENCH_DATA", str(tmp_path))
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    rows = [f"{user}\t{item}\t3\t{880000000 + item}" for user in (1, 2) for item in range(1, 6)]
    (folder / "u.data").write_text("\n".join(rows) + "\n")
    bench = jobs.Bench(folder=tmp_path, threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has fewer interactions than are published
        exported = bench.inter_file("ml-100k")
    lines = exported.read_text().splitlines()
    assert lines[:2] == ["user_id:token\titem_id:token\ttimestamp:float", "1\t1\t880000001"]
    assert len(lines) == 11
    (folder / "ml-100k.inter").write_text("\n".join(lines))
    assert bench.inter_file("ml-100k") == folder / "ml-100k.inter"


def test_the_command_that_is_written_names_no_folder(benchmark_file: Load) -> None:
    speed = benchmark_file("speed")
    words = ["--only", "help", "--results", "/somewhere/of mine", "--quick"]
    assert speed.command(words) == "python benchmarks/speed.py --only help --quick"
    assert speed.command(["--results=/mine"]) == "python benchmarks/speed.py"
