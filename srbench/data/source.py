"""Opening a data file: plain, gzipped or inside a zip, told apart by content and not by name."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from srbench.errors import SrbenchError

# The files that hold the interactions inside the zips people publish, most specific first.
_MEMBERS = ("ratings.dat", "u.data", "ratings.csv")
_MEMBER_SUFFIXES = (".inter", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".dat", ".data")
HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file that holds interactions; `member` is the name inside a zip."""

    path: Path
    packing: Literal["plain", "gzip", "zip", "parquet"]
    member: str | None = None

    @property
    def label(self) -> str:
        """The file as error sentences name it."""
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The unpacked bytes; what breaks while reading becomes one sentence."""
        try:
            if self.packing == "gzip":
                with gzip.open(self.path) as packed:
                    yield io.BufferedReader(packed, 1 << 20)
            elif self.packing == "zip":
                assert self.member is not None
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as inner:
                    yield inner
            else:
                with self.path.open("rb") as plain:
                    yield plain
        except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
            raise SrbenchError(
                f"{self.label} is cut off or damaged ({error}): copy or download it again."
            ) from error

    def head(self) -> bytes:
        """The first bytes, for recognising the format."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)


def open_source(path: Path) -> Source:
    """Find out how `path` is packed. Errors: missing, a folder, empty, an unsafe or unclear zip."""
    if not path.exists():
        raise SrbenchError(f"{path} does not exist: check the name or the folder.")
    if path.is_dir():
        raise SrbenchError(f"{path} is a folder: name the data file inside it.")
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise SrbenchError(f"{path} cannot be read ({error.strerror}).") from error
    if not magic:
        raise SrbenchError(f"{path} is empty: a data file has one interaction a line.")
    if magic[:2] == b"\x1f\x8b":
        return Source(path, "gzip")
    if magic == b"PK\x03\x04":
        return Source(path, "zip", _member(path))
    if magic == b"PAR1":
        return Source(path, "parquet")
    return Source(path, "plain")


def _member(path: Path) -> str:
    """The one member of the zip that holds the interactions."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise SrbenchError(
            f"{path} is cut off or damaged ({error}): copy or download it again."
        ) from error
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
            raise SrbenchError(
                f"{path} holds a file named {name!r}, which points outside the archive: "
                "it is refused; download the archive from its publisher."
            )
    for wanted in _MEMBERS:
        found = [name for name in names if PurePosixPath(name).name == wanted]
        if found:
            return found[0]
    for suffix in _MEMBER_SUFFIXES:
        found = [name for name in names if name.lower().endswith(suffix)]
        if len(found) == 1:
            return found[0]
    raise SrbenchError(
        f"{path} holds no file known to be interactions ({', '.join(names[:5]) or 'nothing'}): "
        "unpack it and name the data file."
    )
