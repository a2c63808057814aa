"""Times srbench and its peers in turn, in one run, and prints the table with the ratios.

    make bench                                     everything, on a machine that does nothing else
    python benchmarks/speed.py --only sasrec-ml-100k help
    python benchmarks/speed.py --quick             a look: one epoch, few steps, no ml-1m peers
    python benchmarks/speed.py --full              whole epochs of RecBole instead of some steps

A whole run is written to results/speed as JSON, with every sample, and as Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import peers
import table
from jobs import HERE, ROOT, Bench, Document, JobFailed
from rows import JOBS, LONG, ROWS, Row, Side


@dataclass
class Reading:
    """What was measured for one side. Without samples, `reason` says why."""

    who: str
    samples: list[float] = field(default_factory=list)
    how: str = ""
    reason: str | None = None
    gemm: list[dict[str, float]] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        return statistics.median(self.samples) if self.samples else None


class Session:
    """Runs each job once a round, with the machine's own speed taken before and after it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.done: dict[str, Document | JobFailed] = {}
        self.gemm: dict[str, list[dict[str, float]]] = {}
        self.probes: list[dict[str, float]] = []

    def probe(self) -> dict[str, float]:
        found: dict[str, float] = self.bench.document([sys.executable, HERE / "machine.py"])
        self.probes.append(found)
        return found

    def result(self, job: str) -> Document:
        if job not in self.done:
            before = self.probe()
            print(f"  {job} ...", end=" ", file=sys.stderr, flush=True)
            try:
                self.done[job] = JOBS[job](self.bench)
            except JobFailed as failure:
                self.done[job] = failure
            except subprocess.CalledProcessError as error:
                self.done[job] = JobFailed(f"{Path(error.cmd[0]).name}: exit {error.returncode}")
            self.gemm[job] = [before, self.probe()]
            told = [f"{p['3200x128x128']:.0f}/{p['2048x2048x2048']:.0f}" for p in self.gemm[job]]
            print(f"(GEMM {told[0]} before, {told[1]} GFLOP/s after)", file=sys.stderr)
        found = self.done[job]
        if isinstance(found, JobFailed):
            raise found
        return found

    def read(self, side: Side, reading: Reading) -> None:
        """Adds this round's samples of one side to its reading."""
        try:
            result = self.result(side.job)
            reading.samples += side.samples(result)
            reading.how = side.how(result)
        except JobFailed as failure:
            reading.reason = str(failure)
        reading.gemm += self.gemm[side.job]


def measure(
    rows: list[Row], bench: Bench, arguments: argparse.Namespace
) -> tuple[list[table.Line], list[dict[str, float]]]:
    """All rows, `repeat` rounds of each side in turn, and every probe of the machine."""
    readings = {side: Reading(side.who) for row in rows for side in (row.ours, *row.peers)}
    probes: list[dict[str, float]] = []
    for number in range(arguments.repeat):
        print(f"round {number + 1} of {arguments.repeat}", file=sys.stderr)
        session = Session(bench)
        for row in rows:
            for side in (*row.peers, row.ours):
                if wanted(side, arguments):
                    session.read(side, readings[side])
                else:
                    readings[side].reason = "left out"
        probes += session.probes
    lines = [
        table.Line(
            name=row.name,
            what=row.what,
            unit=row.unit,
            must_reach=row.must_reach,
            srbench=number_of(readings[row.ours]),
            peers=[number_of(readings[side]) for side in row.peers],
        )
        for row in rows
    ]
    return lines, probes


def wanted(side: Side, arguments: argparse.Namespace) -> bool:
    if side.who == "srbench":
        return bool(arguments.ours)
    return bool(arguments.peers) and not (arguments.quick and side.job in LONG)


def number_of(reading: Reading) -> table.Number:
    return table.Number(
        who=reading.who,
        value=reading.value,
        samples=reading.samples,
        how=reading.how,
        reason=None if reading.samples else reading.reason,
        gemm_gflops=reading.gemm,
    )


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [row.name for row in ROWS]
    either = argparse.BooleanOptionalAction
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="fewer samples, no ml-1m peers")
    parser.add_argument("--full", action="store_true", help="whole epochs of RecBole on ml-100k")
    parser.add_argument("--peers", action=either, default=True, help="time RecBole and RecTools")
    parser.add_argument("--ours", action=either, default=True, help="time srbench")
    parser.add_argument("--repeat", type=int, default=1, help="rounds of everything, in turn")
    parser.add_argument("--threads", type=int, help="threads of each program (default: all cores)")
    parser.add_argument("--results", type=Path, help="where to write (default: results/speed)")
    arguments = parser.parse_args(words)
    if arguments.repeat < 1:
        parser.error("--repeat must be at least 1")
    return arguments


def command(words: list[str]) -> str:
    """The command of this run, without the folder it writes to: what is written is published."""
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before != "--results" and not word.startswith("--results")
    ]
    return shlex.join(["python", "benchmarks/speed.py", *kept])


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no program is left running
    rows = [row for row in ROWS if not arguments.only or row.name in arguments.only]
    cores = len(os.sched_getaffinity(0))
    threads = arguments.threads or cores
    load = os.getloadavg()[0]
    if load > 0.5 * cores:
        print(
            f"other programs are running (load {load:.1f} on {cores} cores): wait for them, or "
            "the times will be too long and the ratios wrong",
            file=sys.stderr,
        )
    if arguments.peers and any(row.peers for row in rows):
        with contextlib.suppress(subprocess.CalledProcessError):  # told again where it is needed
            peers.interpreter()
    with tempfile.TemporaryDirectory(prefix="srbench-bench-") as name:
        bench = Bench(folder=Path(name), threads=threads, full=arguments.full)
        if arguments.quick:
            bench.epochs, bench.steps, bench.warm_up, bench.help_runs = 1, 2, 1, 3
        lines, probes = measure(rows, bench, arguments)
    whole = not (arguments.only or arguments.quick) and arguments.peers and arguments.ours
    document = table.document(
        lines,
        probes,
        threads=threads,
        load_before=load,
        command=command(sys.argv[1:]),
    )
    table.show(document)
    results = arguments.results or (ROOT / "results" / "speed" if whole else None)
    if results is None:
        print("not written: only part of the table was measured (--results DIR writes it)")
    else:
        table.write(document, results)
        print(f"written to {results / 'speed.json'} and speed.md")
    failed = [
        f"{line.name}, {number.who}: {number.reason}"
        for line in lines
        for number in (line.srbench, *line.peers)
        if number.reason not in (None, "left out")
    ]
    for sentence in failed:
        print(f"not measured: {sentence}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
