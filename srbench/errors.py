"""Errors for people: one sentence that says what is wrong, where, and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SrbenchError(Exception):
    """Bad input. The command line prints the sentence, without a traceback, and exits with 2."""

    exit_code = 2


class RunFailed(SrbenchError):
    """A run that began and could not end well (NaN loss, out of memory). Exit code 1."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """`" Did you mean glintru?"` where a known name is close, else the known names in a row."""
    names = sorted(known)
    folded = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), folded, n=limit, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(folded[found] for found in close)}?"
    return f" Known: {', '.join(names)}." if names else ""
