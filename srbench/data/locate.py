"""Finding the file behind a dataset's name."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from srbench.data.catalogue import CATALOGUE, NAMES
from srbench.data.folders import data_folder, search_folders
from srbench.data.progress import Progress
from srbench.errors import SrbenchError, did_you_mean

_KINDS = (".inter", ".txt", ".csv", ".tsv", ".dat", ".data", ".json", ".jsonl", ".parquet", ".zip")
SUFFIXES = tuple(kind + packed for kind in _KINDS for packed in ("", ".gz"))
# These say nothing about which dataset they are: only a folder of the dataset's name does.
_NAMELESS = ("ratings.dat", "u.data", "ratings.csv")


@dataclass(frozen=True)
class Found:
    """A dataset's name, its file, and the columns it was imported with."""

    name: str
    path: Path
    columns: str | None


def find(
    name: str,
    *,
    data_dir: Path | None = None,
    columns: str | None = None,
    progress: Progress | None = None,
) -> Found:
    """The file of a dataset given by name or by path; a known one is downloaded where missing.

    Searched in this order: `data_dir`, the folder in `SRBENCH_DATA`, the user's cache, the mirrors.

    Errors: an unknown name, no such file, no mirror that answers.
    """
    local = find_local(name, data_dir)
    if local is not None:
        return Found(name, local, columns or _imported_columns(local))
    if name in CATALOGUE:
        from srbench.data.download import download

        return Found(name, download(CATALOGUE[name], data_folder() / name, progress), columns)
    path = Path(name).expanduser()
    if path.is_file() or os.sep in name or name.endswith(SUFFIXES):
        return Found(_stem(path), path, columns)
    known = sorted({*NAMES, *imported(), "synthetic"})
    raise SrbenchError(f"There is no dataset named {name!r}.{did_you_mean(name, known)}")


def find_local(name: str, data_dir: Path | None = None) -> Path | None:
    """The file of a named dataset on this machine, or None."""
    if not name or os.sep in name or name.startswith("."):
        return None
    own = tuple(name + suffix for suffix in SUFFIXES)
    original = CATALOGUE[name].files if name in CATALOGUE else ()
    for folder in search_folders(data_dir):
        inside = [folder / name / file for file in (*own, *original)]
        beside = [folder / file for file in (*own, *original) if file not in _NAMELESS]
        for path in (*inside, *beside):
            if path.is_file():
                return path
    return None


def imported() -> tuple[str, ...]:
    """Names of the datasets that were imported by the user."""
    folder = data_folder()
    if not folder.is_dir():
        return ()
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in names if name not in CATALOGUE and find_local(name)))


def columns_file(path: Path) -> Path:
    """Where the columns of an imported file are kept, beside it."""
    return path.with_name(path.name + ".columns.json")


def _imported_columns(path: Path) -> str | None:
    sidecar = columns_file(path)
    if not sidecar.is_file():
        return None
    try:
        columns = json.loads(sidecar.read_text(encoding="utf-8"))["columns"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SrbenchError(f"{sidecar} is damaged ({error}): import the dataset again.") from error
    return None if columns is None else str(columns)


def _stem(path: Path) -> str:
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return name.removesuffix(suffix)
    return name
