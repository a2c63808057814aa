"""Datasets: found or downloaded, read, prepared, cached, split.

The one way in is `load`; `split`, `export`, `summary`, `synthetic` and `catalogue` are beside it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench.data.dataset import Dataset
    from srbench.data.locate import Found
    from srbench.data.prepare import PrepareSettings
    from srbench.data.progress import Progress

__all__ = ["load"]


def load(
    name_or_path: str,
    settings: PrepareSettings,
    *,
    data_dir: Path | None = None,
    columns: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The prepared dataset of that name, or from that file.

    name_or_path: a name from the catalogue, an imported name, `synthetic` (or
        `synthetic:users=2000,items=500,seed=1`), or a file.
    settings: `k_core`, `duplicates` and `time_ties`; what is synthetic is complete as it is.
    data_dir: searched before `SRBENCH_DATA` and the user's cache.
    columns: "user,item,time", where a file's columns have unusual names.

    The result is cached, and comes from the cache when neither file nor settings have changed.

    Errors: `SrbenchError`, one sentence for whatever is wrong with the name or the file.
    """
    from srbench.data.cache import cache_path, read_cached, write_cached
    from srbench.data.locate import find
    from srbench.data.synthetic import generate, is_synthetic

    if is_synthetic(name_or_path):
        return generate(name_or_path)
    found = find(name_or_path, data_dir=data_dir, columns=columns, progress=progress)
    if not found.path.is_file():
        return _prepare(found, settings, progress)  # says what is wrong with it
    chosen = {
        "columns": found.columns,
        "duplicates": settings.duplicates,
        "k_core": settings.k_core,
        "time_ties": settings.time_ties,
    }
    cached = cache_path(found.name, found.path, chosen)
    dataset = read_cached(cached)
    if dataset is None:
        dataset = _prepare(found, settings, progress)
        write_cached(cached, dataset)
    _warn_of_another_version(found, dataset)
    return dataset


def _prepare(found: Found, settings: PrepareSettings, progress: Progress | None) -> Dataset:
    from srbench.data.prepare import prepare
    from srbench.data.readers import read

    return prepare(found.name, read(found.path, found.columns, progress=progress), settings)


def _warn_of_another_version(found: Found, dataset: Dataset) -> None:
    """Each time, also from the cache: the number of interactions read is the first step's."""
    from srbench.data.catalogue import CATALOGUE

    entry, read = CATALOGUE.get(found.name), dataset.steps[0].interactions
    if entry is not None and entry.published and read != entry.published[2]:
        warnings.warn(
            f"{found.path} has {read:,} interactions where {found.name} is published with "
            f"{entry.published[2]:,}: it is another version, and results are not comparable.",
            stacklevel=3,
        )
