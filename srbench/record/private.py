"""Takes out of a record what should not be published: absolute paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PART = r"[^\s/'\"<>|:,;()]+"
_HOME = re.compile(rf"/(?:home|Users)/{_PART}")
# "/data/me/a.toml" but not "items/s", "1/2" or the path of an address such as https://a.org/b/c.
_PATH = re.compile(rf"(?:~|(?<![\w.:/~-]))/(?:{_PART}/)*({_PART})")


def without_paths(value: object) -> object:
    """`value` (text, or nested dicts and lists of it) with only the last part of absolute paths.

    Messages of exceptions, file names of datasets and origins of settings hold such paths.
    """
    if isinstance(value, str):
        home = str(Path.home())
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", value) if len(home) > 1 else value
        return _PATH.sub(lambda found: found.group(1), _HOME.sub("~", text))
    if isinstance(value, Mapping):
        return {name: without_paths(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    return value
