"""Sequential recommenders compared fairly: one harness, one protocol, time and memory measured.

`run` trains, ranks and measures one model on one dataset and returns the record of it; `records`
reads the records of a folder into a DataFrame. Everything heavy is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.errors import SrbenchError

if TYPE_CHECKING:
    import pandas as pd

    from srbench.experiment.listener import Listener
    from srbench.record.schema import Record

__version__ = "0.1.0"
__all__ = ["__version__", "records", "run"]


def run(
    *,
    model: str,
    dataset: str,
    seed: int | None = None,
    epochs: int | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Path | str | None = None,
    results: Path | str = "results",
    data_dir: Path | str | None = None,
    columns: str | None = None,
    fresh: bool = False,
    listener: Listener | None = None,
) -> Record:
    """What `srbench run` does, for notebooks and scripts: the record is written and returned.

    model: a name of `srbench models`, or "file.py:Class". dataset: a name of `srbench data list`,
    or a file, whose columns "user,item,time" may have to be named.
    settings: by their dotted names, as in `--set`: {"train.lr": 0.002, "data.length": 50}.
    fresh: forget an interrupted run with these settings, and start again.

    Raises SrbenchError where something asked for is not possible. A run that breaks off is no
    exception: its record says so in `status` and `reason`.
    """
    from srbench.config import resolve
    from srbench.experiment.cell import run as run_cell

    given = {"seed": seed, "train.epochs": epochs, "device": device}
    named = {name: value for name, value in given.items() if value is not None}
    if twice := sorted(named.keys() & (settings or {}).keys()):
        raise SrbenchError(f"{twice[0]} is given twice, by its own name and in settings; keep one.")
    opened = {name: "none" if value is None else value for name, value in (settings or {}).items()}
    return run_cell(
        resolve(model, dataset, config, flags=named | opened),
        results=Path(results),
        data_dir=None if data_dir is None else Path(data_dir),
        columns=columns,
        fresh=fresh,
        listener=listener,
    )


def records(folder: Path | str = "results") -> pd.DataFrame:
    """The records of a folder, one row each, with a column for every metric and measurement."""
    from srbench.report.rows import frame

    return frame(folder)
