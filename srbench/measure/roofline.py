"""What this machine can do at best, and which share of it a request reaches.

Two probes: a product of square matrices, and a copy. No request can be faster than its products at
the first rate, nor than fetching its weights at the second; the larger of the two times, over the
time that was measured, is its share of the attainable (the "roofline" of Williams, Waterman and
Patterson, 2009). A model with a small share is held up by its implementation, by launching kernels
or by what neither probe knows (soft-max, gates, recurrences), not by its products or its size.

It is a comparison and no proof: the probes are the best rates that torch reached here, not the
maker's. A share somewhat above 1 can happen where other programs disturbed the probe, or where
weights stayed in a cache that is faster than the copy that was probed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from srbench.data.folders import cache_folder
from srbench.errors import SrbenchError
from srbench.measure.clock import Sampling, Work, sample, utc_now
from srbench.record.environment import environment
from srbench.record.files import write_text_atomically
from srbench.record.key import key_of
from srbench.record.names import PROBE_COPY, PROBE_GEMM, TIME_SHARE
from srbench.record.schema import Caution, Measurement

Precision = Literal["fp32", "bf16"]

SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}  # rows of the square matrices
SMALL = {"cpu": (1024,), "cuda": (2048, 4096, 8192)}  # bf16, which some processors emulate
COPIES = (2**20, 2**23, 2**26, 2**29)  # bytes read and written together: caches to main memory
QUIET = 0.8  # the median rate of a probe over its best, below which other programs disturbed it
SAMPLING = Sampling(relative_width=0.02, least=6, wanted=10, seconds=0.3, warm_up_seconds=0.04)


class Roofline(BaseModel):
    """The best rates of one machine, as they are kept in the cache.

    flops: FLOP/s of a product by precision, accumulated in float32; the best over some sizes.
    copies: bytes moved (read and written), and how many a second, from small to large.
    steady: the worst ratio, over the probes, of the median rate to the best.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    machine: dict[str, str | int | float | None]
    created: str
    flops: dict[Precision, float]
    copies: tuple[tuple[int, float], ...]
    steady: float

    @property
    def copy_rate(self) -> float:
        """B/s from main memory to main memory, each byte counted twice: read and written."""
        return self.copies[-1][1]

    def rate(self, moved: float) -> float:
        """B/s at best for so many bytes: of the largest probe that is not larger, or any beyond.

        What is fetched again and again stays in the cache that it fits into.
        """
        below = [place for place, (size, _) in enumerate(self.copies) if size <= moved]
        return max(rate for _, rate in self.copies[below[-1] if below else 0 :])

    def peak(self, precision: Precision) -> float:
        """FLOP/s at best. In bf16 much stays in fp32, so the faster of the two bounds it."""
        return self.flops["fp32"] if precision == "fp32" else max(self.flops.values())

    def measurements(self) -> list[Measurement]:
        """The probes for a record."""
        found = [
            Measurement(
                name=f"{PROBE_GEMM}.{precision}",
                value=rate,
                unit="FLOP/s",
                method=f"best product of square matrices, {precision}, taken {self.created}",
            )
            for precision, rate in self.flops.items()
        ]
        size = self.copies[-1][0]
        how = f"best copy of {size // 2**21} MiB, read and written, taken {self.created}"
        copy = Measurement(name=PROBE_COPY, value=self.copy_rate, unit="B/s", method=how)
        return [*found, copy]

    def cautions(self) -> list[Caution]:
        """What makes the probes doubtful."""
        if self.steady >= QUIET:
            return []
        return [
            Caution(
                what=f"The machine's own speed was probed at rates that differ by "
                f"{1 - self.steady:.0%}.",
                advice="Shares of the machine are too high if other programs ran: stop them and "
                "measure again.",
            )
        ]


def probe(
    device: torch.device | str = "cpu", threads: int | None = None, *, fresh: bool = False
) -> Roofline:
    """The best rates of this machine with so many CPU threads (None: as torch has it).

    Taken once, in some seconds, and kept in the cache folder; read again for the same machine,
    threads and torch unless `fresh`. What was taken while other programs disturbed it is used but
    not kept. A copy that does not fit into memory is left out.
    """
    device = torch.device(device)
    with _threads(threads):
        machine = _machine(device)
        kept = _file(machine)
        found = None if fresh else _read(kept, machine)
        if found is None:
            found = _probed(device, machine)
            if found.steady >= QUIET:
                with contextlib.suppress(SrbenchError):  # a read-only cache is no reason to fail
                    write_text_atomically(kept, found.model_dump_json(indent=2) + "\n")
    return found


def share(
    flops: float | None,
    bytes_moved: float | None,
    seconds: float | None,
    roofline: Roofline,
    *,
    precision: Precision = "fp32",
    name: str = TIME_SHARE,
) -> Measurement:
    """The least time that products and traffic allow on this machine, over the measured `seconds`.

    flops: products alone (`flops.request`): what is no product has no such rate.
    bytes_moved: the least that must come from memory: the parameters, each once. Activations and
    scores may stay in caches, and do not count. None where it is not known: products alone bound.
    The method says which of the two bounds the share.
    """
    method = f"least time by the machine's best product and copy ({precision}), over the median"
    if flops is None or not seconds:
        missing = "number of products" if flops is None else "time"
        return _unknown(name, method, f"its {missing} is not known")
    if not flops and not bytes_moved:
        return _unknown(name, method, "it has neither products nor weights to fetch")
    by_products = flops / roofline.peak(precision)
    by_traffic = bytes_moved / roofline.rate(bytes_moved) if bytes_moved else 0.0
    bound = "products" if by_products >= by_traffic else "traffic"
    least = max(by_products, by_traffic)
    return Measurement(
        name=name, value=least / seconds, unit="", method=f"{method}; bound by {bound}"
    )


def _unknown(name: str, method: str, reason: str) -> Measurement:
    return Measurement(name=name, value=None, unit="", method=method, reason=reason)


def _probed(device: torch.device, machine: Mapping[str, str | int | float | None]) -> Roofline:
    steady = [1.0]
    flops: dict[Precision, float] = {}
    kind = "cuda" if device.type == "cuda" else "cpu"
    types: tuple[tuple[Precision, torch.dtype, tuple[int, ...]], ...] = (
        ("fp32", torch.float32, SIZES[kind]),
        ("bf16", torch.bfloat16, SMALL[kind]),
    )
    for precision, dtype, sizes in types:
        rates = [_rate(_product(rows, dtype, device), 2 * rows**3, device) for rows in sizes]
        flops[precision], steadiness = max(rates)
        steady.append(steadiness)
    copies = []
    for size in COPIES:
        work = _copy(size, device)
        if work is not None:
            rate, steadiness = _rate(work, size, device)
            copies.append((size, rate))
            steady.append(steadiness)
    return Roofline(
        machine=dict(machine),
        created=utc_now(),
        flops=flops,
        copies=tuple(copies),
        steady=min(steady),
    )


def _product(rows: int, dtype: torch.dtype, device: torch.device) -> Work:
    # Neither zeros, which some processors multiply faster, nor numbers whose sums overflow.
    a, b = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _copy(size: int, device: torch.device) -> Work | None:
    try:
        source, target = (torch.ones(size // 8, device=device) for _ in range(2))
    except (RuntimeError, MemoryError):
        if size == COPIES[0]:
            raise
        return None
    return lambda: target.copy_(source)


def _rate(work: Work, amount: float, device: torch.device) -> tuple[float, float]:
    """How much a second at best, and the median rate as a share of that."""
    seconds = sample(work, device, SAMPLING).seconds
    best = float(seconds.min())
    return amount / best, best / float(np.median(seconds))


def _machine(device: torch.device) -> dict[str, str | int | float | None]:
    """What the rates depend on, as far as the system tells."""
    here = environment(device.type)
    return {
        "device": here.device,
        "device_name": here.device_name,
        "driver": here.driver,
        "cpu": here.cpu,
        "cpu_capability": here.cpu_capability,
        "cores": here.cores,
        "cpu_quota": here.cpu_quota,
        "threads": here.threads,
        "torch": here.torch,
    }


def _file(machine: Mapping[str, object]) -> Path:
    return cache_folder() / "machine" / f"{key_of(machine)}.json"


def _read(path: Path, machine: Mapping[str, object]) -> Roofline | None:
    """What was kept; None where there is nothing, or nothing that can be read."""
    try:
        found = Roofline.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None
    return found if found.machine == machine else None


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
