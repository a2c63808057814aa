"""Writing prepared sequences for other tools."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset
from srbench.errors import SrbenchError, did_you_mean
from srbench.record.files import open_atomically

Format = Literal["sasrec", "inter", "csv"]
Ids = Literal["original", "dense"]

_SEPARATORS = {"sasrec": " ", "inter": "\t", "csv": ","}
_HEADERS = {
    "sasrec": [],
    "inter": ["user_id:token", "item_id:token", "timestamp:float"],
    "csv": ["user", "item", "time"],
}
_ROWS = 1 << 18


def export(dataset: Dataset, path: Path, format: Format = "sasrec", ids: Ids = "original") -> None:
    """Write every interaction to `path`: users ascending, each user's in time order.

    format: `sasrec` is "user item" a line, without times; `inter` is RecBole's atomic file; `csv`
        has the columns user, item and, where the dataset has times, time.
    ids: `original`, or `dense`: users and items numbered from 1 as in the dataset.

    The file is whole or absent. Reading it again gives the same sequences.

    Errors: an unknown format, ids that the format cannot hold, a folder that cannot be written.
    """
    if format not in get_args(Format):
        raise SrbenchError(
            f"--format {format!r} is not known.{did_you_mean(format, get_args(Format))}"
        )
    if ids not in get_args(Ids):
        raise SrbenchError(f"--ids {ids!r} is not known.{did_you_mean(ids, get_args(Ids))}")
    users = _labels(dataset.user_ids, format, ids)
    items = _labels(dataset.item_ids, format, ids)
    times = None if format == "sasrec" else dataset.times
    header = _HEADERS[format][: 2 if times is None else 3]
    with open_atomically(path) as stream:
        if header:
            stream.write((_SEPARATORS[format].join(header) + "\n").encode())
        for piece in _pieces(dataset, users, items, times, _SEPARATORS[format]):
            stream.write(piece.encode())


def _labels(originals: NDArray[np.str_], format: Format, ids: Ids) -> NDArray[np.object_]:
    """What stands for each user or item, in the order of the dataset."""
    if ids == "dense":
        return np.arange(1, len(originals) + 1).astype(np.str_).astype(object)
    texts: list[str] = originals.tolist()
    if format == "csv":
        texts = ['"' + text.replace('"', '""') + '"' if re.search(r'[",\s]', text) else text
                 for text in texts]  # fmt: skip
    else:
        forbidden = re.compile(r"\s" if format == "sasrec" else r"[\t\r\n]")
        bad = next((text for text in texts if forbidden.search(text)), None)
        if bad is not None:
            raise SrbenchError(
                f"The id {bad!r} has white space, which the format {format} cannot hold: use "
                "--ids dense or --format csv."
            )
    return np.array(texts, dtype=object)


def _pieces(
    dataset: Dataset,
    users: NDArray[np.object_],
    items: NDArray[np.object_],
    times: NDArray[np.int64] | None,
    separator: str,
) -> Iterator[str]:
    owners = np.repeat(np.arange(dataset.n_users), dataset.lengths)
    for first in range(0, dataset.n_interactions, _ROWS):
        part = slice(first, first + _ROWS)
        columns = [users[owners[part]], items[dataset.items[part] - 1]]
        if times is not None:
            columns.append(times[part].astype(np.str_).astype(object))
        yield "".join(separator.join(row) + "\n" for row in zip(*columns, strict=True))
