"""Where records are kept, one per run.

    <folder>/<dataset>/<model>-seed<seed>-<key>.json          the record of a run that ended well
    <folder>/<dataset>/<model>-seed<seed>-<key>.npz           its ranks and raw samples
    <folder>/<dataset>/<model>-seed<seed>-<key>.failed.json   the last that did not (and its npz)

So a failed attempt can never replace a result. A good one replaces what stood there under its key
and removes the failure. Everything is written atomically, the arrays before the record, and the
record holds the arrays' checksum.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from srbench.errors import SrbenchError
from srbench.record.files import cannot_write, write_bytes_atomically, write_text_atomically
from srbench.record.private import without_paths
from srbench.record.schema import SCHEMA_VERSION, Arrays, Record

_RECORD_NAME = re.compile(r".+-seed-?\d+-[0-9a-f]{12}(\.failed)?\.json")

Ranks = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Scan:
    """What a folder holds. `unreadable`: one sentence for each file that was left out."""

    records: list[Record]
    unreadable: list[str]


class Store:
    """A folder of records. Nothing is created before the first lock or write."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, record: Record) -> Path:
        """Where this record stands, or would stand."""
        ending = ".json" if record.status == "ok" else ".failed.json"
        stem = f"{safe_stem(record.model.name)}-seed{record.seed}-{record.key}"
        return self.folder / safe_stem(record.data.name) / (stem + ending)

    def write(
        self, record: Record, *, ranks: Ranks | None = None, samples: Ranks | None = None
    ) -> Path:
        """Writes the record and its arrays (`ranks/<name>`, `samples/<name>`); returns its path.

        Absolute paths in its texts are cut to their last part. Raises SrbenchError if the disk is
        full or the folder is read-only.
        """
        path = self.path(record)
        arrays = {f"ranks/{name}": array for name, array in (ranks or {}).items()}
        arrays |= {f"samples/{name}": array for name, array in (samples or {}).items()}
        written = write_arrays(path, arrays)
        plain = without_paths(record.model_dump(mode="json"))
        published = Record.model_validate(plain).model_copy(update={"arrays": written})
        write_text_atomically(path, published.to_json())
        if record.status == "ok":
            failed = path.with_suffix(".failed.json")
            failed.unlink(missing_ok=True)
            failed.with_suffix(".npz").unlink(missing_ok=True)
        return path

    def read(self, path: Path) -> Record:
        """One record. Raises SrbenchError if it is missing, damaged or of an unknown version."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise SrbenchError(f"Cannot read the record {path}: {error.strerror}.") from error
        try:
            return Record.model_validate_json(text)
        except ValidationError as error:
            raise SrbenchError(f"The record {path} {_flaw(text, error)}") from error

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """The ranks and samples of a record; empty if it has none.

        Raises SrbenchError if the file is missing or is not the one written with the record.
        """
        return read_arrays(self.path(record), record.arrays, record.command)

    def scan(self) -> Scan:
        """All records by path, one per key, and what could not be read.

        Where a key has a good run and a later failure, the good run is the record.
        """
        records: dict[tuple[str, str], Record] = {}
        unreadable: list[str] = []
        for path in sorted(self.folder.glob("*/*.json")):
            if not _RECORD_NAME.fullmatch(path.name) or path.parent.name.startswith("."):
                continue
            try:
                record = self.read(path)
            except SrbenchError as error:
                unreadable.append(str(error))
                continue
            place = (record.data.name, record.key)
            if place not in records or record.status == "ok":
                records[place] = record
        return Scan(list(records.values()), unreadable)

    def records(self) -> list[Record]:
        """The records of `scan`; what could not be read is told as a warning each."""
        scan = self.scan()
        for sentence in scan.unreadable:
            warnings.warn(sentence, stacklevel=2)
        return scan.records

    def find(self, key: str) -> Record | None:
        """The record of this key, the good run before the failure; None if it was never run."""
        for ending in (".json", ".failed.json"):
            for path in sorted(self.folder.glob(f"*/*-{key}{ending}")):
                return self.read(path)
        return None

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Holds the run `key` for this process, so that two never write the same record.

        Raises SrbenchError at once if another process holds it, or if the folder cannot be
        written to. The system drops the lock when its process ends, however it ends, so a killed
        run leaves nothing to clean up.
        """
        path = self.folder / ".locks" / f"{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = _locked(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: see _locked
            os.close(handle)


def write_arrays(record: Path, arrays: Ranks) -> Arrays | None:
    """Writes the npz beside the file `record`; None where there is nothing to write."""
    if not arrays:
        return None
    if pickled := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise TypeError(f"not plain arrays: {pickled}")  # npz would pickle them
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
    data = packed.getvalue()
    write_bytes_atomically(record.with_suffix(".npz"), data)
    return Arrays(sha256=hashlib.sha256(data).hexdigest(), names=sorted(arrays))


def read_arrays(record: Path, arrays: Arrays | None, command: str) -> dict[str, NDArray[Any]]:
    """The npz beside the file `record`, written with it; empty where it has none.

    Raises SrbenchError if it is missing or is not the one written with the record.
    """
    if arrays is None:
        return {}
    path = record.with_suffix(".npz")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SrbenchError(
            f"Cannot read the arrays {path}: {error.strerror}. Run `{command}` again."
        ) from error
    if hashlib.sha256(data).hexdigest() != arrays.sha256:
        raise SrbenchError(
            f"The arrays {path} are damaged or of another run: run `{command}` again."
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def safe_stem(name: str) -> str:
    """A name for a file or folder from the name of a dataset or model, which may be a path.

    `safe_stem("../my data/events.csv")` is "events.csv"; `safe_stem("mine.py:Net")`, "mine.py-Net".
    """
    last = PurePath(name.replace("\\", "/")).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip(".-")[:80] or "unnamed"


def _flaw(text: bytes, error: ValidationError) -> str:
    """Why a file is no record of ours, and what to do about it."""
    try:
        document = json.loads(text)
    except ValueError:
        return "is damaged (not JSON): delete it and run its command again."
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        return (
            f"has schema version {version}, this srbench reads {SCHEMA_VERSION}: use the srbench"
            " that wrote it, or run it again."
        )
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return (
        f"does not fit its schema ({where}: {first['msg']}): delete it and run its command again."
    )


def _locked(path: Path) -> int:
    """An open, locked file that still stands under its name; it holds the process id."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(handle, path):
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return handle
        except BlockingIOError as error:
            holder = os.read(handle, 20).decode(errors="replace") or "unknown"
            os.close(handle)
            raise SrbenchError(
                f"Process {holder} is running this very run ({path.stem}) into"
                f" {path.parent.parent}: wait for it, or choose another --results folder."
            ) from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our open and our lock: try the new one


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
