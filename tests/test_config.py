"""Settings: layers, origins, bounds, and the sentence for each thing that can be wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from srbench import registry
from srbench.config import (
    DataSettings,
    EvaluateSettings,
    RunSettings,
    TrainSettings,
    allowed,
    data_settings,
    presets,
    resolve,
)
from srbench.config.layers import _literal
from srbench.config.settings import SECTIONS
from srbench.errors import SrbenchError

ROOT = Path(__file__).resolve().parent.parent


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- layers


def test_the_later_layer_wins(tmp_path: Path) -> None:
    file = written(tmp_path, "seed = 5\n[train]\nlr = 0.5\nepochs = 7\n[model]\nwidth = 32\n")
    resolved = resolve(
        "glintru",
        "ml-1m",
        file,
        overrides=["train.lr=0.25", "model.heads=4"],
        flags={"train.epochs": 3, "data.length": None},
    )
    settings, origins = resolved.settings, resolved.origins
    assert (settings.train.lr, origins["train.lr"]) == (0.25, "--set")
    assert (settings.train.epochs, origins["train.epochs"]) == (3, "flag")
    assert (settings.seed, origins["seed"]) == (5, "file mine.toml")
    assert (settings.settings["width"], origins["model.width"]) == (32, "file mine.toml")
    assert (settings.settings["heads"], origins["model.heads"]) == (4, "--set")
    assert (settings.data.length, origins["data.length"]) == (200, "preset glintru/ml-1m")
    assert (settings.settings["dropout"], origins["model.dropout"]) == (0.2, "preset glintru/any")
    assert (settings.data.k_core, origins["data.k_core"]) == (5, "default")


def test_a_preset_of_a_dataset_is_for_that_dataset() -> None:
    assert resolve("glintru", "synthetic").origins["data.length"] == "default"


def test_a_file_is_never_taken_for_a_named_dataset() -> None:
    assert resolve("glintru", "./ml-1m").origins["data.length"] == "default"


def test_every_setting_has_a_row_in_order() -> None:
    resolved = resolve("sasrec", "ml-100k")
    keys = [row.key for row in resolved.rows()]
    assert keys[:4] == ["seed", "device", "threads", "data.k_core"]
    assert keys[-1] == "model.attention_dropout"
    assert len(keys) == len(set(keys)) == len(resolved.origins)
    expected = {f"{s}.{name}" for s, cls in SECTIONS.items() for name in cls.model_fields}
    assert expected <= set(keys)
    assert all(row.description for row in resolved.rows())


def test_rows_show_the_values_that_run() -> None:
    rows = {row.key: row.value for row in resolve("sasrec", "ml-100k").rows()}
    assert (rows["seed"], rows["train.lr"], rows["model.heads"]) == (0, 1e-3, 2)


def test_the_last_of_equal_overrides_wins() -> None:
    assert resolve("pop", "x", overrides=["seed=1", "seed=2"]).settings.seed == 2


def test_none_leaves_a_setting_open(tmp_path: Path) -> None:
    file = written(tmp_path, "[train]\nstride = 100\nclip_norm = 'none'\n")
    resolved = resolve("sasrec", "x", file, overrides=["train.stride=none"])
    assert resolved.settings.train.stride is None
    assert resolved.settings.train.clip_norm is None
    assert resolved.origins["train.stride"] == "--set"


def test_what_a_preset_says_in_vain_is_left_out() -> None:
    """A preset cannot know what a run switches off; who asks for both is told."""
    resolved = resolve("tim4rec", "amazon-beauty", overrides=["model.time=false"])
    assert resolve("tim4rec", "amazon-beauty").settings.settings["time_dropout"] == 0
    assert resolved.settings.settings["time_dropout"] == 0.2
    assert resolved.settings.settings["pointwise_gate"] is False
    assert resolved.settings.settings["dropout"] == 0.4
    assert resolved.origins["model.time_dropout"] == "default"
    with pytest.raises(SrbenchError, match=r"time_dropout has no effect with time = false"):
        resolve("tim4rec", "ml-1m", overrides=["model.time=false", "model.time_dropout=0.1"])


def test_a_model_without_presets_has_defaults_only() -> None:
    assert set(resolve("pop", "ml-1m").origins.values()) == {"default"}


def test_a_model_from_a_file_has_no_preset() -> None:
    assert presets("./glintru.py:GlintRU") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ("shuffle:3", "shuffle:3"),
        ("row", "row"),
        ("1\nother = 2", "1\nother = 2"),
        ("", ""),
        ("ndcg@10|full|seen:drop", "ndcg@10|full|seen:drop"),
    ],
)
def test_values_are_toml_or_text(text: str, value: object) -> None:
    assert _literal(text) == value


@given(st.text())
def test_any_text_is_some_value(text: str) -> None:
    _literal(text)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-300))
def test_a_number_survives_the_command_line(lr: float) -> None:
    assert resolve("pop", "x", overrides=[f"train.lr={lr!r}"]).settings.train.lr == lr


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("lr=1", "Unknown setting lr (--set). Did you mean train.lr?"),
        ("train.epoch=1", "Unknown setting train.epoch (--set). Did you mean train.epochs?"),
        ("model.widht=1", "Unknown setting model.widht (--set). Did you mean model.width?"),
        ("train=1", "Unknown setting train (--set). It is a table: write train.NAME."),
        (
            "nothing.like=1",
            "Unknown setting nothing.like (--set). Known: seed, device, threads, data.*, train.*, "
            "evaluate.*, measure.*, model.*.",
        ),
        (
            "measure.x=1",
            "Unknown setting measure.x (--set). Known: measure.flops, measure.requests, "
            "measure.seconds.",
        ),
        (
            "train.lr=-1",
            "train.lr = -1 (--set) is not possible; it must be a number above 0.",
        ),
        (
            "train.epochs=2.5",
            "train.epochs = 2.5 (--set) is not possible; it must be a whole number at least 1.",
        ),
        (
            'train.epochs="2"',
            'train.epochs = "2" (--set) is not possible; it must be a whole number at least 1.',
        ),
        (
            "train.clip_norm=0",
            "train.clip_norm = 0 (--set) is not possible; it must be a number above 0, or none.",
        ),
        (
            "train.compile=1",
            "train.compile = 1 (--set) is not possible; it must be true or false.",
        ),
        (
            "device=gpu",
            'device = "gpu" (--set) is not possible; it must be one of auto, cpu, cuda.',
        ),
        (
            "data.time_ties=shuffle",
            'data.time_ties = "shuffle" (--set) is not possible; it must be row (as in the file), '
            "item or shuffle:SEED.",
        ),
        (
            "model.width=0",
            "model.width = 0 (--set) is not possible; it must be a whole number at least 1.",
        ),
        (
            "model.heads=7",
            "The model's settings do not fit: heads (7) must divide width (64).",
        ),
        (
            "train.stride=201",
            "train.stride = 201 is longer than data.length = 200; choose a stride of at most the "
            "length.",
        ),
        ("train.lr", "--set train.lr has no value; write --set train.lr=0.002."),
        ("=3", "--set =3 has no value; write --set train.lr=0.002."),
    ],
)
def test_a_wrong_override_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(SrbenchError) as error:
        resolve("sasrec", "ml-1m", overrides=[override])
    assert str(error.value) == sentence


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0", "true", "abc"])
def test_a_learning_rate_is_a_number_above_0(value: str) -> None:
    with pytest.raises(SrbenchError, match="must be a number above 0"):
        resolve("pop", "x", overrides=[f"train.lr={value}"])


def test_two_spellings_of_one_setting_must_agree() -> None:
    resolve("pop", "x", overrides=["train.epochs=3"], flags={"train.epochs": 3})
    with pytest.raises(SrbenchError, match=r"train\.epochs is given twice"):
        resolve("pop", "x", overrides=["train.epochs=3"], flags={"train.epochs": 4})


@pytest.mark.parametrize("supervision", ["all", "cloze"])
def test_what_has_no_effect_is_refused(supervision: str) -> None:
    overrides = [f"train.supervision={supervision}", "train.prefixes_per_user=2"]
    with pytest.raises(SrbenchError, match=r"prefixes_per_user has no effect"):
        resolve("pop", "x", overrides=overrides)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[train]\nlearn = 1\n", r"Unknown setting train\.learn \(file mine\.toml\)"),
        ("[trian]\nlr = 1\n", r"Unknown setting trian \(file mine\.toml\)"),
        ("lr = 1\n", r"Unknown setting lr \(file mine\.toml\)\. Did you mean train\.lr\?"),
        ("[train]\nlr = -1\n", r"train\.lr = -1 \(file mine\.toml\) is not possible"),
        ("model = 'sasrec'\n", r"\[model\] is a table of settings"),
        ("train = 3\n", r"\[train\] is a table of settings"),
        ("[train\n", r"mine\.toml is not valid TOML: .*line 1"),
        ("[train]\nlr = 2026-01-01\n", r"train\.lr = .2026-01-01. .* must be a number"),
        ("[train.lr]\nx = 1\n", r"train\.lr = .* must be a number above 0"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SrbenchError, match=sentence):
        resolve("sasrec", "ml-1m", written(tmp_path, text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(SrbenchError, match="cannot be read"):
            resolve("pop", "x", path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(SrbenchError, match="not valid TOML"):
        resolve("pop", "x", binary)


def test_an_unknown_model_says_what_was_meant() -> None:
    with pytest.raises(SrbenchError, match="Did you mean glintru"):
        resolve("glintrue", "ml-1m")


# ---------------------------------------------------------------- the classes


@pytest.mark.parametrize("cls", [*SECTIONS.values(), RunSettings])
def test_settings_are_frozen_and_closed(cls: type[DataSettings]) -> None:
    values = {"model": "m", "dataset": "d"} if cls is RunSettings else {}
    settings = cls.model_validate(values)
    with pytest.raises(ValidationError):
        cls.model_validate({**values, "unknown_name": 1})
    with pytest.raises(ValidationError):
        setattr(settings, next(iter(cls.model_fields)), 1)


@pytest.mark.parametrize("cls", list(SECTIONS.values()), ids=list(SECTIONS))
def test_every_setting_says_what_it_is_and_may_be(cls: type[TrainSettings]) -> None:
    for name, field in cls.model_fields.items():
        assert field.description, name
        assert allowed(field), name


@pytest.mark.parametrize("split", ["loo", "temporal:0.9", "temporal:0.85"])
def test_splits(split: str) -> None:
    assert DataSettings(split=split).split == split


@pytest.mark.parametrize(
    "split",
    [
        "",
        "LOO",
        "temporal",
        "temporal:",
        "temporal:0",
        "temporal:0.0",
        "temporal:1",
        "temporal:1.5",
        "temporal:-0.5",
        "temporal:.9",
        "loo\n",
    ],
)
def test_no_splits(split: str) -> None:
    with pytest.raises(SrbenchError, match=r"data\.split"):
        data_settings({"split": split})


@pytest.mark.parametrize("rule", ["row", "item", "shuffle:0", "shuffle:123"])
def test_rules_for_ties(rule: str) -> None:
    assert data_settings({"time_ties": rule, "k_core": None}).time_ties == rule


@pytest.mark.parametrize("rule", ["rows", "shuffle", "shuffle:", "shuffle:-1", "shuffle:x", ""])
def test_no_rules_for_ties(rule: str) -> None:
    with pytest.raises(SrbenchError, match=r"data\.time_ties = .* \(flag\) is not possible"):
        data_settings({"time_ties": rule})


@pytest.mark.parametrize(
    "name", ["ndcg@10|full|seen:keep", "hr@1|uni100|seen:drop", "mrr@50|pop100|seen:drop"]
)
def test_what_can_select(name: str) -> None:
    assert EvaluateSettings(select_by=name).select_by == name


@pytest.mark.parametrize(
    "name",
    [
        "ndcg@10",
        "ndcg@3|full|seen:drop",
        "map@10|full|seen:drop",
        "ndcg@10|uni100|seen:keep",
        "ndcg@10|full|seen:drop|ties:half",
    ],
)
def test_what_cannot_select(name: str) -> None:
    with pytest.raises(SrbenchError, match=r"evaluate\.select_by"):
        resolve("pop", "x", overrides=[f"evaluate.select_by={name}"])


# ---------------------------------------------------------------- the presets we ship


@pytest.mark.parametrize(
    "path", sorted((ROOT / "srbench" / "presets").glob("*.toml")), ids=lambda path: path.stem
)
def test_a_preset_is_of_a_model_and_names_its_sources(path: Path) -> None:
    assert path.stem in registry.names()
    tables = tomllib.loads(path.read_text("utf-8"))
    assert tables
    for dataset, table in tables.items():
        assert len(table["source"]) > 10, dataset
        resolved = resolve(path.stem, dataset)
        named = {origin for origin in resolved.origins.values() if origin != "default"}
        assert f"preset {path.stem}/{dataset}" in named
        assert all(re.fullmatch(rf"preset {path.stem}/(any|{dataset})", name) for name in named)
