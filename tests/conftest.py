"""What every test stands on: no network, no traces of the user's own set-up, one thread each."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports torch, matplotlib or rich, and inherited by the programs tests start.
_CACHE = tempfile.mkdtemp(prefix="srbench-tests-")
_USER_CACHE = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
os.environ.setdefault("MPLCONFIGDIR", str(Path(_USER_CACHE) / "matplotlib"))  # its font list
os.environ["MPLBACKEND"] = "Agg"
os.environ["XDG_CACHE_HOME"] = _CACHE
os.environ["OMP_NUM_THREADS"] = "1"  # results alike on every machine, and workers side by side
os.environ["COLUMNS"] = "100"
os.environ["TERM"] = "dumb"
for _colour in ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS"):
    os.environ.pop(_colour, None)
if "SRBENCH_DATA" in os.environ:  # tests change folders
    os.environ["SRBENCH_DATA"] = str(Path(os.environ["SRBENCH_DATA"]).resolve())

# A busy machine is no reason to fail; a failure should come back when the test is run again.
hypothesis.settings.register_profile("srbench", deadline=None, derandomize=True)
hypothesis.settings.load_profile("srbench")


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Any host but this one is out of reach, on every machine, exactly as without a network."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def is_local(host: Any) -> bool:
        if host in (None, "", "localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
            raise OSError(101, f"Network is unreachable (tests stay on this machine): {address}")
        connect(self, address)

    def look_up_locally(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host):
            raise socket.gaierror(-3, f"Name not known (tests stay on this machine): {host}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        patch.setattr(socket, "getaddrinfo", look_up_locally)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real datasets, from SRBENCH_DATA; without it the test is skipped."""
    folder = os.environ.get("SRBENCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real datasets: set SRBENCH_DATA to their folder")
    return Path(folder)
