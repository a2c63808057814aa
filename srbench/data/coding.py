"""Columns of a file, turned piece by piece into integer codes and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srbench.data.interactions import Times
from srbench.errors import SrbenchError

if TYPE_CHECKING:
    import pandas as pd

    Column = pd.Series[Any]

# Ids are text: "007" and "7" are two users, and "NA" or "null" may be a user's name.
MISSING = ("", "nan", "NaN")


class Coder:
    """Numbers ids by first appearance over all pieces of one column."""

    def __init__(self, label: str, what: str) -> None:
        self.label = label
        self.what = what
        self._known: dict[str, int] = {}
        self._pieces: list[NDArray[np.int32]] = []

    def add(self, column: Column, first_row: int) -> None:
        """Code one piece whose first value stands in row `first_row` of the file.

        Errors: a missing id.
        """
        import pandas as pd

        try:
            codes, unique = pd.factorize(column)
        except TypeError as error:
            raise SrbenchError(
                f"{self.label} has lists where the {self.what} should be: name another column."
            ) from error
        empty = [code for code, value in enumerate(unique) if value in MISSING]
        missing = np.flatnonzero((codes < 0) | np.isin(codes, empty))
        if len(missing):
            raise missing_value(self.label, self.what, int(missing[0]) + first_row)
        known = self._known
        places = [known.setdefault(id_text(value), len(known)) for value in unique]
        self._pieces.append(np.array(places, dtype=np.int32)[codes])

    def finish(self) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
        """All codes, and the text each stands for. Errors: negative whole-number ids."""
        texts = list(self._known)
        negative = next((text for text in texts if text[:1] == "-" and text[1:].isdigit()), None)
        # Many exports mark unknown users or items so, and they are not one user.
        if negative is not None and all(text.removeprefix("-").isdigit() for text in texts):
            raise SrbenchError(
                f"{self.label} has the {self.what} id {negative}: ids are not negative; remove the "
                f"rows whose {self.what} is unknown."
            )
        ids = np.empty(len(texts), dtype=object)
        ids[:] = texts
        codes = np.concatenate(self._pieces) if self._pieces else np.empty(0, dtype=np.int32)
        return codes, ids


def id_text(value: Any) -> str:
    """An id as text; a whole number read as a float (a column that had gaps) is the number."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def missing_value(label: str, what: str, row: int) -> SrbenchError:
    return SrbenchError(f"{label} has no {what} in row {row}: fill it in or remove the row.")


def times_of(label: str, column: Column, first_row: int) -> Times:
    """Times as numbers in the source's unit; dates become seconds, taken as UTC.

    Errors: a time that is missing, infinite, or neither a number nor a date.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return _seconds(label, column, first_row)
    if pd.api.types.is_numeric_dtype(column):
        return finite(label, column.to_numpy(), first_row)
    empty = np.flatnonzero((column.isna() | column.isin(MISSING)).to_numpy())
    if len(empty):
        raise missing_value(label, "time", int(empty[0]) + first_row)
    numbers = pd.to_numeric(column, errors="coerce")
    unread = numbers.isna().to_numpy()
    if not unread.any():
        return finite(label, numbers.to_numpy(), first_row)
    if unread.all():
        dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        unread = dates.isna().to_numpy()
        if not unread.any():
            return _seconds(label, dates, first_row)
    row = int(np.flatnonzero(unread)[0])
    raise SrbenchError(
        f"{label} has {str(column.iloc[row])!r} as the time in row {row + first_row}: a time is a "
        "number of seconds or a date like 2024-05-01 12:30:00."
    )


def finite(label: str, numbers: NDArray[Any], first_row: int) -> Times:
    """`numbers` as int64, or as float64 where they have fractions. Errors: NaN, infinity."""
    if numbers.dtype.kind in "iu":
        return numbers.astype(np.int64, copy=False)
    floats = numbers.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(floats))
    if len(bad):
        raise missing_value(label, "time", int(bad[0]) + first_row)
    whole = floats.astype(np.int64)
    return whole if (whole == floats).all() else floats


def _seconds(label: str, dates: Column, first_row: int) -> NDArray[np.int64]:
    missing = np.flatnonzero(dates.isna().to_numpy())
    if len(missing):
        raise missing_value(label, "time", int(missing[0]) + first_row)
    if dates.dt.tz is not None:
        dates = dates.dt.tz_convert(None)
    seconds: NDArray[np.int64] = dates.to_numpy().astype("datetime64[s]").astype(np.int64)
    return seconds
