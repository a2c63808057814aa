"""Reporting how far a long step is, without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with what is being done and how much of it is done.

    what: "downloading ml-1m.zip (bytes)". total: None where it is not known.
    """

    def __call__(self, what: str, done: int, total: int | None) -> None: ...
