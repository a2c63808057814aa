"""The key of a run: equal keys, equal results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

KEY_DIGITS = 12


def key_of(determines: Mapping[str, object]) -> str:
    """12 hex digits over everything that determines a result.

    `determines` holds plain values (text, numbers, booleans, None, lists, dicts): the model and its
    settings, the dataset's fingerprint, split and length, training and evaluation settings, seed,
    kind of device, precision, protocol version and srbench version. The order of names does not
    matter, and 1 is 1.0. Raises TypeError for other values and ValueError for NaN or infinity.
    """
    text = json.dumps(_plain(determines), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:KEY_DIGITS]


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # a setting read from TOML as 1 and from Python as 1.0 is the same
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("names in a key must be text")
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    return value
