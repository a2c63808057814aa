"""The table of speed.py: one document, shown on a terminal, written as JSON and Markdown."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from srbench.measure.clock import utc_now
from srbench.record.environment import code, environment
from srbench.record.files import write_text_atomically

HEADERS = ("what", "must reach", "srbench", "reached", "peer", "peer's", "ratio")


@dataclass(frozen=True)
class Number:
    """The median of `samples`; None with a reason where nothing was measured."""

    who: str
    value: float | None
    samples: list[float]
    how: str
    reason: str | None
    gemm_gflops: list[dict[str, float]]


@dataclass(frozen=True)
class Line:
    name: str
    what: str
    unit: str
    must_reach: float
    srbench: Number
    peers: list[Number]

    @property
    def reached(self) -> bool | None:
        return None if self.srbench.value is None else self.srbench.value <= self.must_reach

    def ratio(self, peer: Number) -> float | None:
        """How many times the peer's number is srbench's."""
        if peer.value is None or not self.srbench.value:
            return None
        return peer.value / self.srbench.value

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self) | {"reached": self.reached}
        for told, peer in zip(fields["peers"], self.peers, strict=True):
            told["ratio"] = self.ratio(peer)
        return fields


def document(
    lines: list[Line],
    probes: list[dict[str, float]],
    *,
    threads: int,
    load_before: float,
    command: str,
) -> dict[str, Any]:
    """Everything that was measured, and on what."""
    machine = environment("cpu").model_dump(mode="json") | {
        "threads": threads,
        "load_before": load_before,
    }
    return {
        "created": utc_now(),
        "command": command,
        "code": code().model_dump(mode="json"),
        "machine": machine,
        "gemm_gflops": {
            name: {
                "least": min(values),
                "median": statistics.median(values),
                "most": max(values),
                "probes": len(values),
            }
            for name in (probes[0] if probes else {})
            if (values := [probe[name] for probe in probes])
        },
        "rows": [line.as_dict() for line in lines],
    }


def show(document: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    shown = Table(*HEADERS, title="Speed and memory")
    for column in shown.columns[1:4] + shown.columns[5:]:
        column.justify = "right"
    for cells in _cells(document):
        shown.add_row(*cells)
    console.print(shown)
    for note in _notes(document):
        console.print(note, highlight=False, soft_wrap=True)


def write(document: dict[str, Any], folder: Path) -> None:
    write_text_atomically(folder / "speed.json", json.dumps(document, indent=2) + "\n")
    write_text_atomically(folder / "speed.md", _markdown(document))


def _markdown(document: dict[str, Any]) -> str:
    rows = [HEADERS, ("---", "---:", "---:", "---:", "---", "---:", "---:"), *_cells(document)]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    notes = "\n".join(f"* {note}" for note in _notes(document))
    return f"# Speed and memory\n\n`{document['command']}`\n\n{body}\n\n{notes}\n"


def _cells(document: dict[str, Any]) -> list[tuple[str, ...]]:
    cells = []
    for row in document["rows"]:
        unit, own = row["unit"], row["srbench"]
        reached = {True: "yes", False: "no", None: "-"}[row["reached"]]
        first = (row["what"], f"{row['must_reach']:g} {unit}", _number(own["value"], unit), reached)
        for number, peer in enumerate(row["peers"] or [None]):
            left = first if number == 0 else ("", "", "", "")
            right = ("-", "-", "-")
            if peer is not None:
                ratio = "-" if peer["ratio"] is None else f"{_digits(peer['ratio'])} x"
                right = (peer["who"], _number(peer["value"], unit), ratio)
            cells.append(left + right)
    return cells


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent: 0.0831, 5.03, 264, 10,500."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.{1 if value >= 10 else 2}f}"


def _notes(document: dict[str, Any]) -> list[str]:
    """How each number was had, and what the machine was."""
    notes = []
    for row in document["rows"]:
        told = [
            f"{number['who']} {number['how'] if number['samples'] else number['reason']}"
            for number in (row["srbench"], *row["peers"])
        ]
        notes.append(f"{row['what']}: {'; '.join(told)}.")
    machine = document["machine"]
    notes.append(
        f"Machine: {machine['cpu'] or 'unknown CPU'}, {machine['threads']} threads, "
        f"torch {machine['torch']}, fp32; load {machine['load_before']:.1f} when it "
        "began. Times are wall-clock medians."
    )
    for name, speed in document["gemm_gflops"].items():
        notes.append(
            f"A matrix product of {name} on it meanwhile: {speed['median']:.0f} GFLOP/s "
            f"(median of {speed['probes']}, from {speed['least']:.0f} to {speed['most']:.0f})."
        )
    return notes
