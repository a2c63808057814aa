"""Which format a file has, found from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from srbench.data.source import HEAD_BYTES, Source
from srbench.errors import SrbenchError, did_you_mean

_USER_NAMES = (
    "userid", "user", "uid", "reviewerid", "customerid", "sessionid", "session", "visitorid",
    "username",
)  # fmt: skip
_ITEM_NAMES = (
    "itemid", "item", "iid", "movieid", "movie", "parentasin", "asin", "productid", "product",
    "businessid", "trackid", "songid", "gameid", "sku",
)  # fmt: skip
_TIME_NAMES = ("timestamp", "time", "unixreviewtime", "ts", "datetime", "date", "createdat")
_SEPARATORS = ("\t", ",", ";", "|", " ")
_EXAMPLE = "--columns user,item,time"
# Unix seconds since 1990: tells the time column of a file without a header from a rating.
_OLDEST_TIME = 631_152_000
_LINES = 200  # looked at
# Amazon's ratings of 2014 are user,item,rating,time; those of 2018 are item,user,rating,time.
_AMAZON_USER = re.compile(r"A[A-Z0-9]{10,}")
_AMAZON_ITEM = re.compile(r"[A-Z0-9]{10}")


@dataclass(frozen=True)
class Layout:
    """Where a file keeps its users, items and times.

    user, item, time: column positions for text, field names for JSON lines and Parquet.
    separator: of text; "::" is kept as written. header: whether the first line is column names.
    """

    format: str
    kind: Literal["text", "json", "parquet"]
    user: int | str
    item: int | str
    time: int | str | None
    separator: str = ""
    header: bool = False
    quoted: bool = False


def detect(source: Source, columns: str | None = None) -> Layout:
    """Recognise the format of `source`.

    columns: "user,item,time" or "user,item", the names of the columns to take; numbers are
    positions in a file without a header, counted from 0.

    Errors: not text, no known format, columns that are not there.
    """
    wanted = _wanted(columns)
    if source.packing == "parquet":
        return _parquet(source, wanted)
    lines = _lines(source)
    if lines[0].startswith("{"):
        return _json(source, lines[0], wanted)
    if wanted and all(name.isdecimal() for name in wanted):
        return _positions(source, lines, [int(name) for name in wanted])
    if wanted:
        return _named(source, lines, wanted)
    if re.match(r"[^\t]+:(token|float)(\t|$)", lines[0]):
        return _guessed(source, lines, "\t", "RecBole .inter")
    if "::" in lines[0]:
        return _movielens_dat(source, lines)
    for separator in _SEPARATORS:
        if _has_names(_fields(lines[0], separator)):
            name = {",": "CSV", "\t": "TSV"}.get(separator, f"text separated by {separator!r}")
            return _guessed(source, lines, separator, f"{name} with named columns")
    even = _sniff(lines)
    if even is None:
        raise _unknown(source)
    return _without_header(source, [_fields(line, even) for line in lines], even)


def _lines(source: Source) -> list[str]:
    head = source.head()
    try:
        # The last character may be cut in two.
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError as error:
        raise _unknown(source) from error
    if "\x00" in text:
        raise _unknown(source)
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if len(head) == HEAD_BYTES and len(lines) > 1:
        lines.pop()  # it may be cut off
    if not lines:
        raise SrbenchError(f"{source.label} is empty: a data file has one interaction a line.")
    return lines[:_LINES]


def _unknown(source: Source) -> SrbenchError:
    return SrbenchError(
        f"{source.label} is not a dataset in a known format (MovieLens, Amazon, RecBole .inter, "
        f"'user item' lines, CSV, TSV, JSON lines, Parquet): name its columns with {_EXAMPLE}."
    )


def _wanted(columns: str | None) -> list[str]:
    if columns is None:
        return []
    names = [name.strip() for name in columns.split(",")]
    if len(names) not in (2, 3) or not all(names):
        raise SrbenchError(
            f"--columns {columns!r} needs two or three names, as in {_EXAMPLE} or "
            "--columns user,item."
        )
    return names


def _plain(name: str) -> str:
    """A column name without type, case and punctuation: `user_id:token` is `userid`."""
    return re.sub(r"[^a-z0-9]", "", name.strip().strip('"').split(":")[0].lower())


def _fields(line: str, separator: str) -> list[str]:
    if separator == "::":
        return line.split("::")
    if separator == " ":
        return line.split()
    if separator == ",":
        return next(csv.reader([line]))
    return line.rstrip("\r\n").split(separator)


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _has_names(fields: Sequence[str]) -> bool:
    names = {_plain(field) for field in fields}
    return bool(names & set(_USER_NAMES)) and bool(names & set(_ITEM_NAMES))


def _pick(fields: Sequence[str], known: Sequence[str]) -> int | None:
    plain = [_plain(field) for field in fields]
    return next((plain.index(name) for name in known if name in plain), None)


def _sniff(lines: Sequence[str]) -> str | None:
    """The separator that cuts all first lines into the same number of fields, two or more."""
    for separator in _SEPARATORS:
        counts = {len(_fields(line, separator)) for line in lines}
        if len(counts) == 1 and counts.pop() > 1:
            return separator
    return None


def _guessed(source: Source, lines: Sequence[str], separator: str, name: str) -> Layout:
    fields = _fields(lines[0], separator)
    user, item = _pick(fields, _USER_NAMES), _pick(fields, _ITEM_NAMES)
    if user is None or item is None:
        raise SrbenchError(
            f"{source.label} has the columns {', '.join(fields)}, none of which is known to be the "
            f"{'user' if user is None else 'item'}: name them with {_EXAMPLE}."
        )
    time = _pick(fields, _TIME_NAMES)
    quoted = separator in (",", ";")
    return Layout(name, "text", user, item, time, separator, header=True, quoted=quoted)


def _named(source: Source, lines: Sequence[str], wanted: Sequence[str]) -> Layout:
    """The columns that were asked for, under whichever separator the header is cut by."""
    found: list[str] = []
    for separator in ("::", *_SEPARATORS):
        fields = _fields(lines[0], separator)
        bare = [field.strip().strip('"') for field in fields]
        bare = [field.split(":")[0] if name not in bare else field
                for field, name in zip(bare, bare, strict=True)]  # fmt: skip
        if all(name in bare for name in wanted):
            at = [bare.index(name) for name in wanted]
            return Layout(
                "text with named columns", "text", at[0], at[1], at[2] if len(at) > 2 else None,
                separator, header=True, quoted=separator in (",", ";"),
            )  # fmt: skip
        if len(bare) > len(found):
            found = bare
    missing = next((name for name in wanted if name not in found), wanted[0])
    raise SrbenchError(
        f"{source.label} has no column {missing!r} in its first line."
        f"{did_you_mean(missing, found[:20])}"
    )


def _positions(source: Source, lines: Sequence[str], at: Sequence[int]) -> Layout:
    separator = "::" if "::" in lines[0] else _sniff(lines)
    width = len(_fields(lines[0], separator)) if separator else 1
    if separator is None or max(at) >= width:
        raise SrbenchError(
            f"{source.label} has {width} columns, so column {max(at)} is not there: "
            "positions count from 0."
        )
    time = at[2] if len(at) > 2 else None
    return Layout("text without a header", "text", at[0], at[1], time, separator,
                  quoted=separator in (",", ";"))  # fmt: skip


def _movielens_dat(source: Source, lines: Sequence[str]) -> Layout:
    rows = [line.split("::") for line in lines]
    if any(len(row) != 4 for row in rows):
        raise _unknown(source)
    return Layout("MovieLens ratings.dat", "text", 0, 1, 3, "::")


def _without_header(source: Source, rows: Sequence[Sequence[str]], separator: str) -> Layout:
    width = len(rows[0])
    numeric = all(_numeric(field) for row in rows for field in row)
    header = len(rows) > 1 and all(_numeric(field) for row in rows[1:] for field in row)
    if not numeric and header:  # numbers under a line of names that are not known
        raise SrbenchError(
            f"{source.label} has the columns {', '.join(rows[0])}, which are not known: say which "
            f"they are with {_EXAMPLE}."
        )
    if width == 2 and (numeric or separator == " "):
        return Layout("SASRec text", "text", 0, 1, None, separator)
    timed = width == 4 and all(
        _numeric(row[2]) and _numeric(row[3]) and float(row[3]) > _OLDEST_TIME for row in rows
    )
    if timed:
        name = {"\t": "MovieLens u.data", ",": "Amazon ratings CSV"}.get(separator, "ratings")
        item_first = all(
            _AMAZON_ITEM.fullmatch(row[0]) and _AMAZON_USER.fullmatch(row[1]) for row in rows
        )
        user, item = (1, 0) if item_first else (0, 1)
        return Layout(name, "text", user, item, 3, separator, quoted=separator in (",", ";"))
    raise _unknown(source)


def _json(source: Source, line: str, wanted: Sequence[str]) -> Layout:
    import json

    try:
        fields = list(json.loads(line))
    except ValueError as error:
        raise SrbenchError(
            f"{source.label} begins like JSON lines, but its first line is not JSON ({error})."
        ) from error
    return _fields_by_name(source, fields, wanted, "JSON lines", "json")


def _parquet(source: Source, wanted: Sequence[str]) -> Layout:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SrbenchError(
            f"{source.label} is a Parquet file, which needs pyarrow: pip install pyarrow."
        ) from error
    try:
        fields = list(parquet.read_schema(source.path).names)
    except Exception as error:  # pyarrow's own error classes differ between versions
        raise SrbenchError(f"{source.label} is a damaged Parquet file ({error}).") from error
    return _fields_by_name(source, fields, wanted, "Parquet", "parquet")


def _fields_by_name(
    source: Source,
    fields: Sequence[str],
    wanted: Sequence[str],
    name: str,
    kind: Literal["json", "parquet"],
) -> Layout:
    if wanted:
        for field in wanted:
            if field not in fields:
                raise SrbenchError(
                    f"{source.label} has no column {field!r}.{did_you_mean(field, fields)}"
                )
        return Layout(name, kind, wanted[0], wanted[1], wanted[2] if len(wanted) > 2 else None)
    user, item = _pick(fields, _USER_NAMES), _pick(fields, _ITEM_NAMES)
    if user is None or item is None:
        raise SrbenchError(
            f"{source.label} has the columns {', '.join(fields[:20])}, none of which is known to "
            f"be the {'user' if user is None else 'item'}: name them with {_EXAMPLE}."
        )
    time = _pick(fields, _TIME_NAMES)
    return Layout(name, kind, fields[user], fields[item], None if time is None else fields[time])
