"""What is timed, each in a process of its own: srbench's runs and the peers' (see speed.py).

A job returns the JSON document its process printed; a row of the table picks its numbers from it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import peers

from srbench.config.settings import DataSettings
from srbench.data import load
from srbench.data.export import export
from srbench.data.locate import find
from srbench.errors import SrbenchError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SRBENCH = Path(sys.executable).with_name("srbench")
K_CORE = {"ml-100k": 0, "ml-1m": 5}
TARGETS = {"ml-100k": 97_171, "ml-1m": 981_491}  # of an epoch, with that filter and leave-one-out

Document = dict[str, Any]
Job = Callable[["Bench"], Document]


class JobFailed(Exception):
    """A job that gave no number; its text says why."""


@dataclass
class Bench:
    """How much is timed, and where its temporary files lie."""

    folder: Path
    threads: int
    epochs: int = 3  # of srbench and RecTools, after one of warm-up
    steps: int = 6  # of RecBole, after `warm_up`
    warm_up: int = 2
    full: bool = False  # whole epochs of RecBole instead
    help_runs: int = 10
    exported: dict[str, Path] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """The same for srbench and the peers: as many threads, and the user's folders."""
        own = ("SRBENCH_", "OMP_", "MKL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        for name in ("SRBENCH_DATA", "SRBENCH_CACHE"):
            if os.environ.get(name):
                kept[name] = str(Path(os.environ[name]).resolve())
        return kept | {"OMP_NUM_THREADS": str(self.threads), **more}

    def process(self, command: Sequence[str | Path], **more: str) -> str:
        """Standard output of a command. Raises JobFailed with its last words if it fails."""
        done = subprocess.run(
            [str(word) for word in command],
            env=self.environment(**more),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == -signal.SIGKILL:
            raise JobFailed("it was killed, as happens where memory ends")
        if done.returncode != 0:
            words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise JobFailed(words[-1] if words else f"exit code {done.returncode}")
        return done.stdout

    def document(self, command: Sequence[str | Path], **more: str) -> Document:
        """The JSON on the last line of a command's output."""
        printed = self.process(command, **more).strip()
        found: Document = json.loads(printed.splitlines()[-1])
        return found

    def source(self, dataset: str) -> Path:
        """The file behind a dataset's name, downloaded where it is missing."""
        try:
            return find(dataset).path.resolve()
        except SrbenchError as error:
            raise JobFailed(str(error)) from error

    def inter_file(self, dataset: str) -> Path:
        """The dataset as an .inter file with its original ids, as the peers read it."""
        path = self.source(dataset)
        if path.name.removesuffix(".gz").endswith(".inter"):
            return path
        if dataset not in self.exported:
            self.exported[dataset] = self.folder / f"{dataset}.inter"
            export(load(dataset, DataSettings(k_core=0)), self.exported[dataset], "inter")
        return self.exported[dataset]


# ---------------------------------------------------------------- srbench


def srbench_run(model: str, dataset: str, sets: Mapping[str, object]) -> Job:
    """`srbench run` as anyone runs it; the record tells the seconds of each epoch."""

    def job(bench: Bench) -> Document:
        settings = {"data.length": 200, "data.k_core": K_CORE[dataset], **sets}
        with tempfile.TemporaryDirectory(dir=bench.folder) as results:
            command = [
                str(SRBENCH),
                "run",
                "--model",
                model,
                "--dataset",
                dataset,
                "--device",
                "cpu",
            ]
            command += ["--epochs", str(1 + bench.epochs), "--results", results, "--json"]
            for name, value in settings.items():
                command += ["--set", f"{name}={value}"]
            record: Document = json.loads(bench.process([*command, "--quiet"]))
        targets = record["training"]["targets_per_epoch"]
        if targets != TARGETS[dataset]:
            raise JobFailed(f"{targets} targets per epoch instead of {TARGETS[dataset]}")
        return record

    return job


def srbench_loading(dataset: str) -> Job:
    """Preparation from the file into an empty cache, then from that cache, in two processes."""

    def job(bench: Bench) -> Document:
        command = [sys.executable, HERE / "loading.py", bench.source(dataset)]
        with tempfile.TemporaryDirectory(dir=bench.folder) as cache:
            first, second = (bench.document(command, SRBENCH_CACHE=cache) for _ in range(2))
        return {"file": first["seconds"], "cache": second["seconds"]}

    return job


def srbench_help(bench: Bench) -> Document:
    """`srbench --help`, the start of Python included."""
    seconds = []
    for _ in range(1 + bench.help_runs):
        started = perf_counter()
        bench.process([SRBENCH, "--help"])
        seconds.append(perf_counter() - started)
    return {"seconds": seconds[1:]}  # the first one warms the file cache


# ---------------------------------------------------------------- peers


def recbole(
    model: str,
    dataset: str,
    length: int,
    *,
    at_most: tuple[int, int] | None = None,
    evaluate: bool = False,
) -> Job:
    """RecBole's training; `at_most` (warm-up, steps) where an epoch takes hours."""

    def job(bench: Bench) -> Document:
        warm_up, steps = bench.warm_up, bench.steps
        if at_most is not None:
            warm_up, steps = min(warm_up, at_most[0]), min(steps, at_most[1])
        command = [str(peers.interpreter()), str(HERE / "peer_recbole.py"), "--model", model]
        command += ["--data", dataset, "--k-core", str(K_CORE[dataset]), "--length", str(length)]
        command += ["--warm-up", str(warm_up), "--steps", str(steps)]
        if dataset != "ml-100k":  # which its wheel carries
            command += ["--file", str(bench.inter_file(dataset))]
        if evaluate:
            command.append("--evaluate")
        if bench.full and at_most is None:
            command.append("--full")
        return bench.document(command)

    return job


def rectools(dataset: str) -> Job:
    """RecTools' SASRec, whole epochs."""

    def job(bench: Bench) -> Document:
        command = [str(peers.interpreter()), str(HERE / "peer_rectools.py")]
        command += ["--file", str(bench.inter_file(dataset)), "--epochs", str(bench.epochs)]
        return bench.document(command)

    return job
