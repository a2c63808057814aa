"""Prepared datasets kept on disk: mapped into memory, checked before they are believed."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srbench.data.dataset import Dataset, Step
from srbench.data.folders import cache_folder
from srbench.errors import SrbenchError
from srbench.record.files import open_atomically

# Raised whenever reading or preparing gives something else for the same file and settings.
VERSION = 1
_MAGIC = b"SRBENCH\x00"
_HEAD = struct.Struct("<8sQI")  # magic, length and checksum of the header that follows
_ALIGNED = 64
_ARRAYS = ("items", "offsets", "times", "user_ids", "item_ids")


def cache_path(name: str, source: Path, settings: Mapping[str, Any]) -> Path:
    """Where the result of preparing `source` with these settings is kept.

    A source that is moved, or changed in size or time, has another place.
    """
    state = source.stat()
    key = json.dumps(
        [VERSION, str(source.resolve()), state.st_size, state.st_mtime_ns, settings],
        sort_keys=True,
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cache_folder() / "prepared" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{digest}.srb"


def read_cached(path: Path) -> Dataset | None:
    """The dataset kept at `path`, or None where there is none that can be believed.

    Its arrays lie on the file itself (copy-on-write), so loading costs one pass for the checksum.
    """
    try:
        with path.open("rb") as stream:
            buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        _warn(path, str(error))
        return None
    try:
        return _decode(buffer)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        _warn(path, str(error))
        return None


def write_cached(path: Path, dataset: Dataset) -> None:
    """Keep `dataset` at `path`; where that is impossible, warn and go on without."""
    try:
        with open_atomically(path) as stream:
            for piece in _encode(dataset):
                stream.write(piece)
    except SrbenchError as error:
        warnings.warn(
            f"{error} {dataset.name} will be prepared anew each time, unless SRBENCH_CACHE names "
            "a folder that can be written to.",
            stacklevel=3,
        )


def _warn(path: Path, reason: str) -> None:
    warnings.warn(f"The cached {path.name} is damaged ({reason}) and is made anew.", stacklevel=4)


def _encode(dataset: Dataset) -> list[bytes | memoryview]:
    arrays: dict[str, dict[str, Any]] = {}
    body: list[bytes | memoryview] = []
    at = 0
    for name in _ARRAYS:
        values: NDArray[Any] | None = getattr(dataset, name)
        if values is None:
            continue
        values = np.ascontiguousarray(values)
        data = values.view(np.uint8).data
        arrays[name] = {
            "dtype": values.dtype.str,
            "length": len(values),
            "at": at,
            "crc32": zlib.crc32(data),
        }
        padding = -data.nbytes % _ALIGNED
        body += [data, b"\x00" * padding]
        at += data.nbytes + padding
    header = json.dumps(
        {
            "version": VERSION,
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "time_ties": dataset.time_ties,
            "k_core": dataset.k_core,
            "steps": [asdict(step) for step in dataset.steps],
            "arrays": arrays,
            "bytes": at,
        }
    ).encode()
    header += b" " * (-(_HEAD.size + len(header)) % _ALIGNED)
    return [_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)), header, *body]


def _decode(buffer: mmap.mmap) -> Dataset:
    magic, length, checksum = _HEAD.unpack_from(buffer)
    header = buffer[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or zlib.crc32(header) != checksum:
        raise ValueError("its header does not match its checksum")
    meta = json.loads(header)
    start = _HEAD.size + length
    if meta["version"] != VERSION or len(buffer) != start + meta["bytes"]:
        raise ValueError("it is cut off")
    arrays = {}
    for name, about in meta["arrays"].items():
        dtype = np.dtype(about["dtype"])
        values = np.frombuffer(buffer, dtype, count=about["length"], offset=start + about["at"])
        if zlib.crc32(values.view(np.uint8).data) != about["crc32"]:
            raise ValueError(f"its {name} do not match their checksum")
        arrays[name] = values
    return Dataset(
        name=meta["name"],
        items=arrays["items"],
        offsets=arrays["offsets"],
        times=arrays.get("times"),
        user_ids=arrays["user_ids"],
        item_ids=arrays["item_ids"],
        fingerprint=meta["fingerprint"],
        time_ties=meta["time_ties"],
        k_core=meta["k_core"],
        steps=tuple(Step(**step) for step in meta["steps"]),
    )
