"""From the words of `srbench measure` to sizes; what cannot be measured is told in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from srbench.cli.sizes import asked_for, counts, model_settings
from srbench.errors import SrbenchError


def asked(model: str = "gru4rec", **more: Any) -> Any:
    words = dict.fromkeys(("dataset", "items", "length", "batch", "sweep"))
    words |= {name: more.pop(name) for name in list(more) if name in words}
    return asked_for(model, **words, data_dir=None, given=more)


def test_defaults() -> None:
    found = asked()
    assert (found.models, found.items, found.length, found.batch) == (
        ("gru4rec",),
        (3416,),
        (50,),
        (1, 256),
    )


def test_lists_of_sizes() -> None:
    found = asked("gru4rec, sasrec", items="1k,1M", length="50,200", batch="1,64,1024", top=20)
    assert found.models == ("gru4rec", "sasrec")
    assert found.items == (1000, 1_000_000)
    assert found.length == (50, 200)
    assert found.batch == (1, 64, 1024)
    assert found.top == 20


def test_a_sweep_is_one_size_that_grows_at_a_batch_of_one() -> None:
    found = asked(sweep="length=50..400")
    assert (found.sweep, found.length, found.batch) == ("length", (50, 100, 200, 400), (1,))
    assert asked(sweep="length=50..100", batch="64").batch == (64,)


def test_a_dataset_gives_its_catalogue() -> None:
    assert asked(dataset="synthetic:users=50,items=40").items == (40,)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"dataset": "synthetic", "items": "50"}, "both say how many items"),
        ({"sweep": "length=50..100", "length": "50"}, "exclude each other"),
        ({"sweep": "items=1k..2k", "dataset": "synthetic:users=50,items=40"}, "--dataset exclude"),
        (
            {"length": "fifty"},
            "--length fifty is no list of numbers above 0: write --l",
        ),
        ({"batch": "0"}, "--batch 0 is no list of numbers"),
        ({"items": "5"}, "top = 10 is more than the catalogue of 5 items"),
        ({"model": "gru4rec,gru4rec"}, "gru4rec is named twice"),
        ({"precision": "fp8"}, "precision"),
        ({"repeat": 0}, "repeat"),
    ],
)
def test_what_cannot_be_measured(more: dict[str, Any], says: str) -> None:
    with pytest.raises(SrbenchError) as told:
        asked(**more)
    assert says in str(told.value)


def test_settings_are_those_of_each_model() -> None:
    settings_of = model_settings(asked("gru4rec,sasrec"), ["model.width=32"])
    assert settings_of("gru4rec", None).width == 32  # type: ignore[attr-defined]
    assert settings_of("sasrec", None).width == 32  # type: ignore[attr-defined]


def test_a_width_is_set_for_each_point() -> None:
    swept = asked("gru4rec", sweep="width=32..64")
    settings_of = model_settings(swept, [])
    assert [settings_of("gru4rec", w).width for w in swept.width] == [32, 64]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("model", "overrides", "says"),
    [
        ("gru4rek", [], "gru4rec"),
        ("gru4rec", ["train.lr=1"], "only settings of the models"),
        ("gru4rec,sasrec", ["model.hidden=8"], "Unknown setting model.hidden"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(
    model: str, overrides: list[str], says: str
) -> None:
    with pytest.raises(SrbenchError) as told:
        model_settings(asked(model), overrides)
    assert says in str(told.value)


def test_histories_too_short_for_a_kernel() -> None:
    with pytest.raises(SrbenchError, match="at length 2"):
        model_settings(asked("glintru", length="2,50"), [])


def test_numbers() -> None:
    assert counts("items", "1k,2000,1M") == (1000, 2000, 1_000_000)
    assert counts("items", "50,50") == (50,)
