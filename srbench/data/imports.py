"""Registering a file under a name of its own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from srbench.data.folders import data_folder
from srbench.data.locate import SUFFIXES, columns_file, find_local
from srbench.data.readers import Preview, preview
from srbench.data.source import open_source
from srbench.errors import SrbenchError
from srbench.record.files import open_atomically, write_text_atomically


def import_file(
    path: Path, name: str, columns: str | None = None, *, replace: bool = False
) -> Preview:
    """Copy `path` into the user's data folder, so that it is found under `name` from now on.

    name: letters, digits, `.`, `_` and `-`. A catalogue name puts that dataset's file in place.
    columns: "user,item,time"; remembered with the file.

    Returns the first parsed rows. Errors: a file that is no dataset, a name that is taken (unless
    `replace`) or cannot be one, a folder that cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == "synthetic":
        raise SrbenchError(
            f"{name!r} cannot name a dataset: use letters, digits, '.', '_' and '-'."
        )
    first = preview(path, columns)
    taken = find_local(name)
    if taken is not None and not replace:
        raise SrbenchError(f"{name} is there already ({taken}): choose another name or --replace.")
    kept = data_folder() / name / (name + _suffix(path))
    with path.open("rb") as source, open_atomically(kept) as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
    write_text_atomically(columns_file(kept), json.dumps({"columns": columns}))
    for suffix in SUFFIXES:
        old = kept.with_name(name + suffix)
        if old != kept:
            old.unlink(missing_ok=True)
            columns_file(old).unlink(missing_ok=True)
    return first


def _suffix(path: Path) -> str:
    """The file's own suffix where it is a usual one, else one that says how it is packed.

    Formats are told by content, so the suffix only has to be one that is looked for.
    """
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.endswith(suffix):
            return suffix
    packing = open_source(path).packing
    return {"gzip": ".txt.gz", "zip": ".zip", "parquet": ".parquet", "plain": ".txt"}[packing]
