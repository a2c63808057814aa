"""Equal keys mean equal results."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srbench.record.key import key_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_the_key_is_the_start_of_a_checksum_of_canonical_json() -> None:
    text = b'{"a":1,"b":[null,true,"x"]}'
    assert key_of({"b": (None, True, "x"), "a": 1}) == hashlib.sha256(text).hexdigest()[:12]


def test_a_whole_float_is_its_integer_and_others_are_not() -> None:
    assert key_of({"lr": 1.0}) == key_of({"lr": 1})
    assert key_of({"lr": 0.5}) != key_of({"lr": 0.25})
    assert key_of({"on": True}) != key_of({"on": 1})


@given(st.dictionaries(st.text(), values, min_size=2))
def test_the_order_of_names_does_not_matter_and_everything_else_does(
    determines: dict[str, object],
) -> None:
    key = key_of(determines)
    assert len(key) == 12
    assert set(key) <= set("0123456789abcdef")
    assert key == key_of(dict(reversed(determines.items())))
    assert key != key_of({**determines, next(iter(determines)): "something else entirely"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite_is_refused(value: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        key_of({"lr": value})


@pytest.mark.parametrize("value", [object(), {1, 2}, {1: "x"}, b"bytes"])
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        key_of({"x": value})
