"""A made-up machine for tests of NVML: run in a process of its own, with the stub as its driver.

`python nvml_world.py CODE` runs CODE with the names below and prints what it leaves in `answer`.
torch is a stand-in too: it has one CUDA device, which is used (and listed by the stub) as a case
wants it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

FILE = Path(os.environ["NVML_STUB"])
GPU = "GPU-aaaa"  # torch's device, as NVML calls it
MB = 1_000_000


class Cuda:
    """torch.cuda of the stand-in; `properties` is what torch knows of its device."""

    initialised = False
    reserved = 0
    properties: Any = SimpleNamespace(uuid="aaaa")
    calls: list[str] = []  # noqa: RUF012 - one torch, one list

    @classmethod
    def is_initialized(cls) -> bool:
        return cls.initialised

    @classmethod
    def memory_reserved(cls, device: object) -> int:
        return cls.reserved

    @classmethod
    def get_device_properties(cls, device: object) -> Any:
        cls.initialised = True
        if cls.properties is None:
            raise RuntimeError("No CUDA GPUs are available")
        return cls.properties

    @classmethod
    def synchronize(cls, device: object) -> None:
        cls.calls.append("synchronize")

    @classmethod
    def empty_cache(cls) -> None:
        cls.calls.append("empty_cache")


torch: Any = ModuleType("torch")
torch.cuda = Cuda
torch.device = str
torch.zeros = lambda size, device: Cuda.calls.append(f"zeros({size})")
sys.modules["torch"] = torch

from srbench.measure import nvml  # noqa: E402 - the stand-in comes first
from srbench.measure.nvml import Nvml, Sampler, Unknown, inventory, nvml_context, open_nvml  # noqa: E402,F401


def gpu(
    uuid: str = GPU,
    *,
    bus: str = "00000000:01:00.0",
    used: int = 500 * MB,
    millijoules: int = 0,
    bits: int = 0,
    mig: int = 0,
) -> str:
    return f"gpu {uuid} {bus} {used} {millijoules} {bits:x} {mig}"


def mig(uuid: str, used: int, of: int = 0) -> str:
    return f"mig {uuid} {of} {used}"


def process(pid: int, size: int | str, uuid: str = GPU, kind: str = "compute") -> str:
    return f"process {uuid} {kind} {pid} {size}"


def fail(function: str, code: int) -> str:
    return f"fail {function} {code}"


def world(*facts: str) -> None:
    """What the driver tells from now on; changed at once, since a thread may be asking."""
    new = FILE.with_name("new world")
    new.write_text("\n".join(facts) + "\n", encoding="utf-8")
    new.replace(FILE)


def place(*, container: bool, pids: str = "") -> None:
    """Where this process runs: in a container or on the host, and the pids the kernel tells."""
    link = FILE.with_name("namespace")
    link.symlink_to("pid:[4026532200]" if container else "pid:[4026531836]")
    status = FILE.with_name("status")
    status.write_text(f"Name:\tpython\nNSpid:\t{pids or os.getpid()}\nThreads:\t1\n")
    nvml._PID_NAMESPACE, nvml._STATUS = link, status


def opened() -> Nvml:
    found = open_nvml("cuda")
    assert isinstance(found, Nvml), found
    return found


ME = os.getpid()

if __name__ == "__main__":
    answer: Any = None
    exec(sys.argv[1])

    def plain(value: Any) -> Any:
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)

    def plain_reading(value: Any) -> Any:
        if isinstance(value, nvml.Reading):
            caution = value.caution and value.caution.what
            return {**vars(value), "caution": caution}
        return plain(value)

    print(json.dumps(answer, default=plain_reading))  # noqa: T201
