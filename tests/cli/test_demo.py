"""`srbench demo`, on data small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srbench.cli import demo
from srbench.cli.app import main
from srbench.config import resolve


@pytest.mark.parametrize("model", demo.MODELS)
def test_the_settings_are_valid(model: str) -> None:
    settings = demo.MODELS[model]
    resolved = resolve(model, "synthetic", overrides=[f"{k}={v}" for k, v in settings.items()])
    assert resolved.settings.data.length == 50


@pytest.mark.slow
def test_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    few = {"data.length": "10", "train.epochs": "2"}
    monkeypatch.setattr(demo, "MODELS", {"pop": {"data.length": "10"}, "gru4rec": few})
    results = tmp_path / "results"
    dataset = "synthetic:users=60,items=150,length=8"
    assert main(["demo", "--results", str(results), "--dataset", dataset]) == 0
    shown = capfd.readouterr()
    assert f"figure: {results}/figures/demo.png" in shown.out
    for row in ("pop", "gru4rec", "oracle"):
        assert any(line.split()[:1] == [row] for line in shown.out.splitlines()), row
    assert f"$ srbench run --model pop --dataset {dataset}" in shown.err
    assert "epoch 2/2" in shown.err
    assert (results / "figures" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert (results / "figures" / "demo.pdf").read_bytes().startswith(b"%PDF")
    records = [json.loads(path.read_text("utf-8")) for path in results.glob("*/*.json")]
    assert sorted(record["model"]["name"] for record in records) == ["gru4rec", "pop"]


def test_a_run_that_cannot_begin_ends_the_demo(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--results", str(tmp_path), "--dataset", "synthetic:users=0"]) == 1
    told = capfd.readouterr().err
    assert "is too small" in told
    assert "The run of pop ended with exit code 2; see above." in told
