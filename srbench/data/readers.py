"""Reading interactions from any known file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srbench.data.coding import MISSING, Coder, times_of
from srbench.data.formats import Layout, detect
from srbench.data.interactions import Interactions, Times
from srbench.data.progress import Progress
from srbench.data.source import Source, open_source
from srbench.errors import SrbenchError

if TYPE_CHECKING:
    import pandas as pd

    # The columns user, item and, where there is one, time, a good many rows at a time.
    Pieces = Iterator[list[pd.Series[Any]]]

# Small enough that the texts of one piece fit beside the codes of a very large file.
_PIECE = 1 << 19


@dataclass(frozen=True)
class Preview:
    """The first rows of a file as they are understood: (user, item, time or None)."""

    format: str
    rows: tuple[tuple[str, str, int | float | None], ...]


def read(
    path: Path,
    columns: str | None = None,
    *,
    rows: int | None = None,
    progress: Progress | None = None,
) -> Interactions:
    """All interactions of `path` (or its first `rows`), in the order of the file.

    columns: "user,item,time" where the names are not the usual ones.

    Errors: a damaged file, an unknown format, missing values, times that are no times, negative
    ids, no interactions.
    """
    source = open_source(path)
    layout = detect(source, columns)
    pieces = {"text": _text, "json": _json_lines, "parquet": _parquet}[layout.kind]
    interactions = _coded(source, layout, pieces(source, layout, rows), progress)
    if len(interactions) == 0:
        raise SrbenchError(f"{source.label} has no interactions: a data file has one a line.")
    return interactions


def preview(path: Path, columns: str | None = None, *, rows: int = 5) -> Preview:
    """The first `rows` parsed rows of `path`, for looking at before it is imported."""
    first = read(path, columns, rows=rows)
    times = [None] * len(first) if first.times is None else first.times.tolist()
    return Preview(
        first.format,
        tuple(
            (str(first.user_ids[user]), str(first.item_ids[item]), time)
            for user, item, time in zip(first.users, first.items, times, strict=True)
        ),
    )


def _places(layout: Layout) -> list[int | str]:
    return [place for place in (layout.user, layout.item, layout.time) if place is not None]


def _coded(
    source: Source, layout: Layout, pieces: Pieces, progress: Progress | None
) -> Interactions:
    """Code the columns user, item and, where there is one, time of each piece."""
    first = row = 2 if layout.header else 1
    users, items = Coder(source.label, "user"), Coder(source.label, "item")
    times: list[Times] = []
    for user, item, *time in pieces:
        users.add(user, row)
        items.add(item, row)
        if time:
            times.append(times_of(source.label, time[0], row))
        row += len(user)
        if progress is not None:
            progress(f"reading {source.path.name}", row - first, None)
    user_codes, user_ids = users.finish()
    item_codes, item_ids = items.finish()
    joined: NDArray[Any] | None = np.concatenate(times) if times else None
    return Interactions(user_codes, item_codes, joined, user_ids, item_ids, layout.format)


def _text(source: Source, layout: Layout, rows: int | None) -> Pieces:
    import pandas as pd

    # pandas' fast parser takes one character: between "::" lies an empty column.
    step, separator = (2, ":") if layout.separator == "::" else (1, layout.separator)
    at = [int(place) * step for place in _places(layout)]
    with source.open() as stream:
        try:
            reader = pd.read_csv(
                stream,
                sep=separator,
                header=None,
                skiprows=1 if layout.header else 0,
                usecols=at,
                dtype=dict.fromkeys(at[:2], object),
                keep_default_na=False,
                na_values=list(MISSING),
                quoting=0 if layout.quoted else 3,
                skipinitialspace=True,
                nrows=rows,
                encoding="utf-8",
                chunksize=_PIECE,
                low_memory=False,
            )
            with reader:
                for piece in reader:
                    yield [piece[place] for place in at]
        except pd.errors.EmptyDataError:
            return
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise SrbenchError(
                f"{source.label} cannot be read as {layout.format} ({error})."
            ) from error


def _parquet(source: Source, layout: Layout, rows: int | None) -> Pieces:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    places = [str(place) for place in _places(layout)]
    try:
        size = _PIECE if rows is None else rows
        with ParquetFile(source.path) as file:
            for batch in file.iter_batches(batch_size=size, columns=places):
                piece = batch.to_pandas()
                yield [piece[place] for place in places]
                if rows is not None:
                    return
    except (ArrowException, OSError) as error:
        raise SrbenchError(f"{source.label} is a damaged Parquet file ({error}).") from error


def _json_lines(source: Source, layout: Layout, rows: int | None) -> Pieces:
    """One JSON object a line; only the wanted fields are kept of it."""
    import pandas as pd

    places = _places(layout)
    with source.open() as stream:
        for first in count(1, _PIECE):
            size = _PIECE if rows is None else min(rows, _PIECE)
            fields = [
                _fields(source, line, places, number)
                for number, line in enumerate(islice(stream, size), start=first)
                if line.strip()
            ]
            if not fields:
                return
            yield [pd.Series(list(values)).infer_objects() for values in zip(*fields, strict=True)]
            if rows is not None:
                return


def _fields(source: Source, line: bytes, places: list[int | str], number: int) -> list[Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SrbenchError(f"{source.label} is not JSON in line {number} ({error}).") from error
    if not isinstance(row, dict):
        raise SrbenchError(f"{source.label} has no named fields in line {number}.")
    return [row.get(place) for place in places]
