"""Mirrors on this machine: whole, wrong, broken, refused, resumed."""

from __future__ import annotations

import hashlib
import socket
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from srbench.data import download as downloads
from srbench.data import load
from srbench.data.catalogue import CATALOGUE, Entry, Mirror
from srbench.data.download import download
from srbench.errors import SrbenchError

DATA = b"user_id:token\titem_id:token\ttimestamp:float\n" + b"".join(
    b"%d\t%d\t%d\n" % (user, item, user + item) for user in range(300) for item in range(30)
)
SHA256 = "sha256:" + hashlib.sha256(DATA).hexdigest()
SETTINGS: Any = SimpleNamespace(k_core=0, duplicates="keep", time_ties="row")


class Server(ThreadingHTTPServer):
    """Serves DATA. `cuts`: after how many bytes the next answers break off; then whole ones."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.resumes = True
        self.data = DATA

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path.startswith("/none"):
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        data, first = self.server.data, 0
        if asked and self.server.resumes:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            if first >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        stop = first + self.server.cuts.pop(0) if self.server.cuts else len(data)
        self.wfile.write(data[first:stop])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "_CHUNK", 100)
    server = Server()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def refusing() -> str:
    """An address on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def entry(*mirrors: Mirror) -> Entry:
    return Entry("shop", "A shop", (), mirrors, "any", "none", "https://shop.example")


def at(address: str, checksum: str | None = SHA256, file: str = "shop.inter") -> Mirror:
    return Mirror("http", address, file, checksum)


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_a_good_file(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    path = download(
        entry(at(server.address + "/shop.inter")),
        tmp_path / "data",
        lambda *step: told.append(step),
    )
    assert path == tmp_path / "data" / "shop.inter"
    assert path.read_bytes() == DATA
    assert left(tmp_path) == ["shop.inter"]
    assert told[-1] == ("downloading shop.inter", len(DATA), len(DATA))


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64
    with pytest.raises(SrbenchError, match="has a wrong checksum"):
        download(entry(at(server.address + "/shop.inter", wrong)), tmp_path / "data")
    assert left(tmp_path) == []
    assert not (tmp_path / "data").exists()


def test_a_broken_transfer_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 2000]
    path = download(entry(at(server.address + "/shop.inter")), tmp_path / "data")
    assert path.read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-", "bytes=3000-"]


def test_a_broken_transfer_leaves_no_data(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000] * 3
    shop = entry(at(server.address + "/shop.inter"))
    with pytest.raises(SrbenchError, match=r"shop is not on this .*the transfer from .* broke off"):
        download(shop, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    # What came is kept apart from the data, and the next try goes on from it.
    (part,) = (tmp_path / "cache" / "partial").iterdir()
    assert part.read_bytes() == DATA[:3000]
    assert download(shop, tmp_path / "data").read_bytes() == DATA
    assert server.ranges[-1] == "bytes=3000-"
    assert left(tmp_path) == ["shop.inter"]


def test_a_server_that_cannot_go_on_begins_again(server: Server, tmp_path: Path) -> None:
    server.cuts, server.resumes = [1000], False
    path = download(entry(at(server.address + "/shop.inter")), tmp_path / "data")
    assert path.read_bytes() == DATA


def test_a_file_that_changed_between_two_tries(server: Server, tmp_path: Path) -> None:
    server.cuts = [5000] * 3
    shop = entry(at(server.address + "/shop.inter", None))
    with pytest.raises(SrbenchError):
        download(shop, tmp_path / "data")
    server.data = b"1 2\n"
    assert download(shop, tmp_path / "data").read_bytes() == b"1 2\n"


def test_the_second_mirror(server: Server, tmp_path: Path) -> None:
    mirrors = [at(refusing()), at(server.address + "/none"), at(server.address + "/shop.inter")]
    assert download(entry(*mirrors), tmp_path / "data").read_bytes() == DATA


def test_no_mirror_answers(server: Server, tmp_path: Path) -> None:
    silent, gone = refusing(), server.address + "/none"
    with pytest.raises(SrbenchError) as error:
        download(entry(at(silent), at(gone)), tmp_path / "data")
    sentence = str(error.value)
    assert f"{silent} cannot be reached" in sentence
    assert f"{gone} answers 404" in sentence
    assert f"put shop.inter into {tmp_path / 'data'}" in sentence
    assert "https://shop.example" in sentence
    assert left(tmp_path) == []


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(SrbenchError, match=r"https://shop.invalid/x cannot be reached"):
        download(entry(at("https://shop.invalid/x")), tmp_path / "data")


def test_without_a_checksum_a_packed_file_is_still_checked(server: Server, tmp_path: Path) -> None:
    server.data = b"\x1f\x8b no gzip at all"
    with pytest.raises(SrbenchError, match="is cut off or damaged"):
        download(entry(at(server.address + "/x", None, "shop.json.gz")), tmp_path / "data")
    with pytest.raises(SrbenchError, match="is cut off or damaged"):
        download(entry(at(server.address + "/x", None, "shop.zip")), tmp_path / "data")
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, where the folder should be", encoding="utf-8")
    with pytest.raises(SrbenchError, match="Cannot write"):
        download(entry(at(server.address + "/shop.inter")), tmp_path / "data")


def test_a_name_is_downloaded_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = entry(at(server.address + "/shop.inter"))
    monkeypatch.setitem(CATALOGUE, "shop", shop)
    first, second = (load("shop", SETTINGS) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert (first.n_users, first.n_items, first.n_interactions) == (300, 30, 9000)
    assert len(server.ranges) == 1
    assert (tmp_path / "cache" / "data" / "shop" / "shop.inter").is_file()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder, and pip told to use no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "srbench_fixture-1.0.dist-info"
    with zipfile.ZipFile(folder / "srbench_fixture-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fixture/shop.inter", DATA)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: srbench-fixture\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


def wheel(
    member: str = "fixture/shop.inter", checksum: str = SHA256, what: str = "srbench-fixture==1.0"
) -> Mirror:
    return Mirror("wheel", what, "shop.inter", checksum, member=member)


@pytest.mark.usefixtures("index")
def test_a_file_out_of_a_wheel(tmp_path: Path) -> None:
    path = download(entry(at(refusing()), wheel()), tmp_path / "data")
    assert path.read_bytes() == DATA
    assert left(tmp_path / "data") == ["shop.inter"]


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("mirror", "sentence"),
    [
        (wheel(checksum="sha256:" + "0" * 64), "has a wrong checksum"),
        (wheel(member="fixture/other"), "does not hold fixture/other"),
        (wheel(what="srbench-fixture==2.0"), r"pip could not fetch srbench-fixture==2.0 \(ERROR"),
    ],
)
def test_wheels_that_do_not_help(tmp_path: Path, mirror: Mirror, sentence: str) -> None:
    with pytest.raises(SrbenchError, match=sentence):
        download(entry(mirror), tmp_path / "data")
    assert left(tmp_path / "data") == []


def test_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(SrbenchError, match="pip could not be run"):
        download(entry(wheel()), tmp_path / "data")
