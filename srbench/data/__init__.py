"""Datasets: found or downloaded, read, prepared, cached and split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.errors import SrbenchError

if TYPE_CHECKING:
    from srbench.data.dataset import Dataset
    from srbench.data.prepare import PrepareSettings


def load(
    name: str,
    settings: PrepareSettings,
    *,
    data_dir: Path | None = None,
    columns: str | None = None,
) -> Dataset:
    """The prepared dataset."""
    from srbench.data.prepare import prepare
    from srbench.data.readers import read

    if Path(name).is_file():
        return prepare(Path(name).name.split(".")[0], read(Path(name), columns), settings)
    for folder in (data_dir, os.environ.get("SRBENCH_DATA")):
        if folder is not None:
            found = sorted((Path(folder) / name).glob(f"{name}.*"))
            if found:
                return prepare(name, read(found[0], columns), settings)
    raise SrbenchError(f"{name} was not found: set SRBENCH_DATA to the folder that holds it.")
