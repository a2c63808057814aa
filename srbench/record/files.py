"""Files written whole or not at all: the only place where srbench writes a file."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from srbench.errors import SrbenchError

_CAUSES = {
    errno.ENOSPC: "the disk is full: free some space and run it again",
    errno.EDQUOT: "your disk quota is used up: free some space and run it again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "the folder may not be written to: choose another one or change its permissions",
    errno.EPERM: "the folder may not be written to: choose another one or change its permissions",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another folder",
    errno.EEXIST: "a file stands where a folder is needed: choose another folder",
    errno.EISDIR: "a folder stands where a file is to be written: choose another name",
    errno.EFBIG: "the file is larger than this system allows",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to; a reader, and a crash, sees what stood at `path` before or all of it.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name over
    when the block ends. Missing folders are made. Raises SrbenchError (full disk, read-only
    folder, ...); what stood at `path` is then untouched and no temporary file is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name[:80]}.{secrets.token_hex(6)}.tmp"
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # Ctrl-C too must leave nothing behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """All of `data` or nothing: `open_atomically` for what is in memory."""
    with open_atomically(path) as file:
        file.write(data)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_bytes_atomically` of UTF-8 text."""
    write_bytes_atomically(path, text.encode("utf-8"))


def open_part(path: Path, *, go_on: bool) -> IO[bytes]:
    """A file that grows over several tries, to be renamed once it is whole: `go_on` behind what
    an earlier try left, or begin anew. Missing folders are made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab" if go_on else "wb")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> SrbenchError:
    """The sentence for a person whose file could not be written."""
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    return SrbenchError(f"Cannot write {path}: {cause}.")


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself durable; some file systems cannot, and need not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
