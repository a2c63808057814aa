"""Files are written whole or not at all, and the sentence says why not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srbench.errors import SrbenchError
from srbench.record import files
from srbench.record.files import write_bytes_atomically, write_text_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.json"
    write_text_atomically(path, "één\n")
    assert path.read_bytes() == b"\xc3\xa9\xc3\xa9n\n"
    write_bytes_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_the_files_mode_is_the_usual_one(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    write_text_atomically(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not be written to"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failure_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(SrbenchError, match=words) as caught:
        write_text_atomically(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_ctrl_c_while_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text_atomically(tmp_path / "a.json", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_real_write_that_the_system_refuses(tmp_path: Path) -> None:
    """A process whose files may have 1 KiB at most: the kernel itself breaks the write off."""
    program = (
        "import pathlib, resource, signal, sys\n"
        "from srbench.errors import SrbenchError\n"
        "from srbench.record.files import write_bytes_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "try:\n"
        "    write_bytes_atomically(pathlib.Path(sys.argv[1]), bytes(100_000))\n"
        "except SrbenchError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "big"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"Cannot write {path}: the file is larger than this system allows.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(SrbenchError, match="may not be written to"):
        write_text_atomically(folder / "a.json", "")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(SrbenchError, match=r"file, not a folder|file stands where a folder"):
        write_text_atomically(tmp_path / "results" / "a.json", "")
    with pytest.raises(SrbenchError, match="file, not a folder"):
        write_text_atomically(tmp_path / "results" / "ml-1m" / "a.json", "")


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(SrbenchError, match="a folder stands where"):
        write_text_atomically(tmp_path / "a.json", "")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
