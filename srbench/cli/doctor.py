"""`srbench doctor`: what this machine offers, what that means, what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from srbench.cli.console import out, put_json, simple_table
from srbench.cli.findings import Finding, gpu
from srbench.errors import SrbenchError

STYLES = {"ok": "green", "note": "yellow", "bad": "red"}
GIB = 2**30
ML_1M_RUN = 2.5 * GIB  # what a run of glintru on ml-1m may take at its peak


def doctor(
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document.", metavar="")
    ] = False,
) -> None:
    """Look at this machine: what was found, what it means, what to do."""
    findings = [*_software(), *_processor(), *_memory(), *gpu(), *_data()]
    if json:
        put_json([asdict(finding) for finding in findings])
        return
    from rich.text import Text

    table = simple_table()
    table.add_column("")
    table.add_column("what", no_wrap=True, style="bold")
    table.add_column("found", overflow="fold")
    table.add_column("what it means, what to do", overflow="fold")
    for finding in findings:
        mark = Text(finding.state, style=STYLES[finding.state])
        advice = " ".join(part for part in (finding.means, finding.do) if part)
        table.add_row(mark, finding.what, finding.found, advice)
    out().print(table)


def _software() -> Iterator[Finding]:
    import platform

    import torch

    from srbench import __version__

    yield Finding("srbench", f"{__version__} on Python {platform.python_version()}")
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU"
    yield Finding("torch", f"{torch.__version__}, built {built}")


def _processor() -> Iterator[Finding]:
    import torch

    from srbench.record.environment import environment, usable_cores

    machine = environment("cpu")
    yield Finding("processor", machine.cpu or machine.reasons["cpu"])
    widest = torch.backends.cpu.get_cpu_capability()
    narrow = widest == "DEFAULT"
    yield Finding(
        "vectors",
        widest,
        "torch uses the widest instructions it knows here." if not narrow else "",
        "Times will be long: torch found no vector instructions." if narrow else "",
        "note" if narrow else "ok",
    )
    flags = set(_read("/proc/cpuinfo").split())
    bf16 = sorted(flags & {"avx512_bf16", "amx_bf16"})
    yield Finding(
        "bf16",
        ", ".join(bf16) or "not in hardware",
        "--set train.precision=bf16 may be faster." if bf16 else "fp32 is faster on this CPU.",
    )
    cores, threads = usable_cores(), torch.get_num_threads()
    quota = machine.cpu_quota
    few = min(cores, quota or cores)
    if threads > few:
        yield Finding(
            "threads",
            f"torch uses {threads}, {few:g} cores may be used",
            "Threads wait for each other.",
            f"Set OMP_NUM_THREADS={max(1, int(few))}.",
            "note",
        )
    else:
        yield Finding("threads", f"torch uses {threads} of {cores} usable cores")
    load = os.getloadavg()[0]
    busy = load > 0.5 * cores
    yield Finding(
        "load",
        f"{load:.1f} processes at work on {cores} cores",
        "Other programs are at work: times taken now are too long." if busy else "",
        "Wait for them before measuring." if busy else "",
        "note" if busy else "ok",
    )
    yield _governor()


def _governor() -> Finding:
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not governor:
        return Finding("clock", "the system does not tell its governor", "Nothing to be done.")
    if governor == "performance":
        return Finding("clock", "governor performance", "The clock is as steady as it gets.")
    return Finding(
        "clock",
        f"governor {governor}",
        "The clock changes with the load, and times with it.",
        "For measurements: cpupower frequency-set -g performance.",
        "note",
    )


def _memory() -> Iterator[Finding]:
    from srbench.report.units import data_size

    found = re.search(r"MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"))
    if found is None:
        yield Finding("memory", "the system does not tell")
        return
    free = int(found[1]) * 1024
    tight = free < ML_1M_RUN
    yield Finding(
        "memory",
        f"{data_size(free)} available",
        "A run on ml-1m may need 2.5 GiB." if tight else "",
        "Close other programs or lower train.batch_tokens." if tight else "",
        "note" if tight else "ok",
    )


def _data() -> Iterator[Finding]:
    from srbench.data.catalogue import NAMES
    from srbench.data.folders import cache_folder, search_folders
    from srbench.data.locate import find_local, imported

    folder = os.environ.get("SRBENCH_DATA")
    try:
        search_folders()
    except SrbenchError as error:
        yield Finding("data", str(error), "No dataset can be read.", "", "bad")
    else:
        here = [name for name in NAMES if find_local(name)]
        yield Finding(
            "data",
            f"SRBENCH_DATA={folder}" if folder else "SRBENCH_DATA is not set",
            f"Here: {', '.join((*here, *imported(), 'synthetic'))}.",
            "Others are downloaded to the cache at first use.",
        )
    yield _cache(cache_folder())


def _cache(cache: Path) -> Finding:
    import shutil

    from srbench.report.units import data_size

    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(there, os.W_OK):
        means, do = "Datasets cannot be kept.", "Set SRBENCH_CACHE to a folder of your own."
        return Finding("cache", f"{cache} cannot be written to", means, do, "bad")
    free = shutil.disk_usage(there).free
    found = f"{cache}, {data_size(free)} free"
    if free < GIB:
        means, do = "Large datasets do not fit.", "Free some space, or set SRBENCH_CACHE."
        return Finding("cache", found, means, do, "note")
    return Finding("cache", found, "Prepared datasets are kept there.")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
