"""Reading interactions from any known file."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srbench.data.coding import (
    MISSING,
    Coder,
    checked_ids,
    finite,
    id_text,
    missing_value,
    times_of,
)
from srbench.data.formats import Layout, detect
from srbench.data.interactions import Interactions
from srbench.data.source import Source, open_source
from srbench.errors import SrbenchError

if TYPE_CHECKING:
    import pandas as pd

# Small enough that the texts of one piece fit beside the codes of a very large file.
_PIECE = 1 << 19


@dataclass(frozen=True)
class Preview:
    """The first rows of a file as they are understood: (user, item, time or None)."""

    format: str
    rows: tuple[tuple[str, str, int | float | None], ...]


def read(path: Path, columns: str | None = None, *, rows: int | None = None) -> Interactions:
    """All interactions of `path` (or its first `rows`), in the order of the file.

    columns: "user,item,time" where the names are not the usual ones.

    Errors: a damaged file, an unknown format, missing values, times that are no times, negative
    ids, no interactions.
    """
    source = open_source(path)
    layout = detect(source, columns)
    if layout.kind == "json":
        interactions = _json_lines(source, layout, rows)
    else:
        pieces = _text if layout.kind == "text" else _parquet
        interactions = _coded(source, layout, pieces(source, layout, rows))
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


def _coded(source: Source, layout: Layout, pieces: Iterator[list[pd.Series[Any]]]) -> Interactions:
    """Code the columns user, item and, where there is one, time of each piece."""
    row = 2 if layout.header else 1
    users, items = Coder(source.label, "user"), Coder(source.label, "item")
    times = []
    for user, item, *time in pieces:
        users.add(user, row)
        items.add(item, row)
        if time:
            times.append(times_of(source.label, time[0], row))
        row += len(user)
    user_codes, user_ids = users.finish()
    item_codes, item_ids = items.finish()
    return Interactions(
        user_codes,
        item_codes,
        np.concatenate(times) if times else None,
        user_ids,
        item_ids,
        layout.format,
    )


def _text(source: Source, layout: Layout, rows: int | None) -> Iterator[list[pd.Series[Any]]]:
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


def _parquet(source: Source, layout: Layout, rows: int | None) -> Iterator[list[pd.Series[Any]]]:
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


def _json_lines(source: Source, layout: Layout, rows: int | None) -> Interactions:
    """One JSON object a line, coded while reading so that the texts are never all in memory."""
    users, items, times = array("i"), array("i"), array("d")
    user_codes: dict[str, int] = {}
    item_codes: dict[str, int] = {}
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            if rows is not None and len(users) >= rows:
                break
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise SrbenchError(
                    f"{source.label} is not JSON in line {number} ({error})."
                ) from error
            user = id_text(_field(source, row, layout.user, number))
            item = id_text(_field(source, row, layout.item, number))
            users.append(user_codes.setdefault(user, len(user_codes)))
            items.append(item_codes.setdefault(item, len(item_codes)))
            if layout.time is not None:
                times.append(_number(source, _field(source, row, layout.time, number), number))
    return Interactions(
        np.frombuffer(users, dtype=np.int32),
        np.frombuffer(items, dtype=np.int32),
        None if layout.time is None else finite(source.label, np.frombuffer(times), 1),
        checked_ids(source.label, "user", user_codes),
        checked_ids(source.label, "item", item_codes),
        layout.format,
    )


def _field(source: Source, row: Any, name: int | str, number: int) -> Any:
    value = row.get(name) if isinstance(row, dict) else None
    if value is None or value in MISSING or value != value:
        raise missing_value(source.label, str(name), number)
    return value


def _number(source: Source, value: Any, number: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SrbenchError(
            f"{source.label} has {value!r} as the time in row {number}: a time is a number of "
            "seconds."
        ) from error
