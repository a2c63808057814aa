"""Where data lies on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from srbench.errors import SrbenchError


def cache_folder() -> Path:
    """`SRBENCH_CACHE`, or the folder this system keeps caches in."""
    chosen = os.environ.get("SRBENCH_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("srbench", appauthor=False)


def data_folder() -> Path:
    """Downloaded and imported files, one folder per dataset."""
    return cache_folder() / "data"


def search_folders(data_dir: Path | None = None) -> list[Path]:
    """Where a named dataset is looked for, first to last: `data_dir`, `SRBENCH_DATA`, the cache.

    Errors: a folder that was asked for and is none.
    """
    folders = []
    for where, chosen in (
        ("--data-dir", data_dir),
        ("SRBENCH_DATA", os.environ.get("SRBENCH_DATA")),
    ):
        if chosen:
            if not Path(chosen).is_dir():
                raise SrbenchError(f"{where} names {chosen}, which is no folder: correct it.")
            folders.append(Path(chosen))
    return [*folders, data_folder()]
