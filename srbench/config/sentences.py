"""What is wrong with a setting, in one sentence: the key, where it stands, what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from srbench.errors import SrbenchError

Model = TypeVar("Model", bound=BaseModel)


def validated(
    cls: type[Model], values: dict[str, Any], prefix: str, origins: Mapping[str, str]
) -> Model:
    try:
        # JSON's strict mode is TOML's view: 1 may stand for 1.0 and a list for a tuple, but a
        # quoted number or a 1 for true is refused.
        return cls.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        raise SrbenchError(_sentence(cls, first, prefix, origins)) from None


def _sentence(
    cls: type[BaseModel], error: Mapping[str, Any], prefix: str, origins: Mapping[str, str]
) -> str:
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return f"The model's settings do not fit: {message}." if prefix == "model." else message
    name = str(error["loc"][0])
    key = prefix + name
    field = cls.model_fields[name]
    origin = origins.get(key, "default")
    return (
        f"{key} = {shown(error['input'])} ({origin}) is not possible; it must be {allowed(field)}."
    )


def allowed(field: FieldInfo) -> str:
    """What a setting may be, in words: "a number above 0, or none"."""
    kinds = [kind for kind in (get_args(field.annotation) or ()) if kind is not type(None)]
    literal = get_origin(field.annotation) is Literal
    kind = field.annotation if literal or not kinds else kinds[0]
    metadata = list(field.metadata)
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        for part in inner:
            metadata += part.metadata if isinstance(part, FieldInfo) else [part]
    words = _kind_in_words(kind, field.description or "")
    bounds = [
        f"{word} {getattr(part, attribute)}"
        for attribute, word in (
            ("gt", "above"),
            ("ge", "at least"),
            ("lt", "below"),
            ("le", "at most"),
        )
        for part in metadata
        if getattr(part, attribute, None) is not None
    ]
    optional = ", or none" if type(None) in get_args(field.annotation) else ""
    return f"{words} {' and '.join(bounds)}".rstrip() + optional


def _kind_in_words(kind: Any, description: str) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    plain = {int: "a whole number", float: "a number", bool: "true or false"}
    return plain.get(kind) or description.partition(": ")[2] or description


def shown(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def nearest(key: str, known: Iterable[str]) -> str:
    """What was meant: the setting of a close name, else those of its section, else the sections."""
    keys = list(known)
    section, _, name = key.rpartition(".")
    if any(other.startswith(f"{key}.") for other in keys):
        return f" It is a table: write {key}.NAME."
    same_name = [other for other in keys if other.rpartition(".")[2] == name]
    if same_name:
        return f" Did you mean {' or '.join(same_name)}?"
    here = [other for other in keys if not section or other.startswith(f"{section}.")]
    names = {other.rpartition(".")[2]: other for other in here}
    close = difflib.get_close_matches(name, names, n=2)
    if close:
        return f" Did you mean {' or '.join(names[match] for match in close)}?"
    if section and here:
        return f" Known: {', '.join(here)}."
    groups = dict.fromkeys(other.partition(".")[0] + ".*" * ("." in other) for other in keys)
    return f" Known: {', '.join(groups)}."
