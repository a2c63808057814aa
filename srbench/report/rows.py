"""From a record to a flat row: what every table, figure and DataFrame is made of.

Columns: what was run (`model`, `dataset`, `seed`, ...), every setting (`train.lr`, `model.width`),
every test number under its signature (`ndcg@10|full|seen:keep|ties:half|loo|v1`), the validation
numbers of the best epoch (`valid ` before the signature), every measurement under its name
(`time.epoch`; the frame's `attrs["units"]` says s, B or FLOP). Unknown numbers are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.record.schema import Environment, Record
from srbench.record.store import Store

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, object]


def frame(folder: Path | str = "results") -> pd.DataFrame:
    """The records of a folder, one row each; what cannot be read is told as a warning."""
    return to_frame(Store(folder).records())


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """A DataFrame of rows, with the units of the measurements in `attrs["units"]`."""
    import pandas as pd

    kept = list(records)
    table = pd.DataFrame.from_records([row(record) for record in kept])
    table.attrs["units"] = {m.name: m.unit for record in kept for m in record.measurements}
    return table


def row(record: Record) -> Row:
    """One flat row. The record holds more: the curve, the machine, reasons and warnings."""
    parameters, training = record.model.parameters, record.training
    flat: Row = {
        "key": record.key,
        "status": record.status,
        "reason": record.reason,
        "model": record.model.name,
        "family": record.model.family,
        "dataset": record.data.name,
        "fingerprint": record.data.fingerprint,
        "seed": record.seed,
        "device": record.environment.device,
        "machine": machine(record.environment),
        "kernel": record.model.kernel,
        "parameters": parameters and parameters.total,
        "table_parameters": parameters and parameters.table,
        "encoder_parameters": parameters and parameters.encoder,
        "epochs": training and training.epochs,
        "best_epoch": training and training.best_epoch,
        "steps": training and training.steps,
        "training_seconds": training and sum(epoch.seconds for epoch in training.curve),
        "stopped_because": training and training.stopped_because,
        "created": record.created,
        "version": record.code.version,
        "git_sha": record.code.git_sha,
        "dirty": record.code.dirty,
        "command": record.command,
    }
    for name, value in record.settings.items():
        if isinstance(value, Mapping) and name != "settings":  # the model's own: from the model
            flat.update(_dotted(name, value))
    flat.update(_dotted("model", record.model.settings))
    flat.update(record.test)
    flat.update(record.coverage)
    flat.update({f"valid {name}": value for name, value in record.validation.items()})
    flat.update({m.name: m.value for m in record.measurements})
    return flat


def machine(environment: Environment) -> str:
    """What times depend on, in a few words: "AMD EPYC, 2 threads" or "NVIDIA L4"."""
    if environment.device_name is not None:
        return environment.device_name
    threads = f"{environment.threads} thread{'s' if environment.threads > 1 else ''}"
    return f"{environment.cpu or 'unknown processor'}, {threads}"


def _dotted(prefix: str, values: Mapping[str, object]) -> Row:
    flat: Row = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_dotted(f"{prefix}.{name}", value))
        else:
            flat[f"{prefix}.{name}"] = value
    return flat
