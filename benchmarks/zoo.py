"""Times a training epoch of every model on ml-100k at L = 200, in turn, and writes the table.

    python benchmarks/zoo.py                          all models, 3 rounds
    python benchmarks/zoo.py --only sasrec mamba4rec --rounds 1

Models that train on all positions have a bound of their own where the project set one. Models that
train on prefixes are timed twice: with one prefix of each user, and with all of them (computed from
part of an epoch). Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from jobs import HERE, ROOT, Bench, JobFailed
from rich.console import Console
from rich.table import Table

from srbench.measure.clock import utc_now
from srbench.models.base import ClozeSettings
from srbench.record.environment import code, environment
from srbench.record.files import write_text_atomically
from srbench.registry import get, names

BOUNDS = {  # seconds of an epoch of all targets
    "mamba4rec": 12.0,
    "lrurec": 5.0,
    "recblr": 8.0,
    "mingru4rec": 3.0,
    "linrec, 1 layer": 5.0,
    "hstu": 4.0,
    "glintru": 5.0,
    "sasrec": 1.5,
    "gru4rec": 1.5,
}
HEADERS = ("model", "trains on", "targets", "an epoch", "bound", "how")


def variants(model: str) -> dict[str, list[str]]:
    """What is timed of a model: a label, and the settings that belong to it."""
    model_class = get(model)
    if model_class.learns == "counts":
        return {}
    settings = model_class.Settings.model_validate({})
    if isinstance(settings, ClozeSettings) or model_class.can_prefixes(settings):
        more = {"linrec, 1 layer": ["model.layers=1"]} if model == "linrec" else {}
        return {model: [], **more}
    one = ["train.prefixes_per_user=1"]
    return {f"{model}, 1 prefix a user": one, f"{model}, all prefixes": []}


def line(label: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [one["epoch_seconds"] for one in found]
    how = f"median of {len(found)}"
    if found and found[0]["every"] > 1:
        how += f", computed from {found[0]['steps']} steps, every {found[0]['every']}th"
    return {
        "label": label,
        "supervision": found[0]["supervision"],
        "targets": found[0]["targets_per_epoch"],
        "seconds": statistics.median(seconds),
        "samples": seconds,
        "bound": BOUNDS.get(label),
        "how": how,
    }


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    bound = "-"
    if row["bound"] is not None:
        reached = "reached" if row["seconds"] <= row["bound"] else "missed"
        bound = f"{row['bound']:g} s, {reached}"
    seconds = f"{row['seconds']:.3g} s"
    return row["label"], row["supervision"], f"{row['targets']:,}", seconds, bound, row["how"]


def markdown(document: dict[str, Any]) -> str:
    rows = [HEADERS, ("---", "---", "---:", "---:", "---:", "---"), *map(cells, document["rows"])]
    body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    speeds = [probe["2048x2048x2048"] for probe in document["gemm_gflops"]]
    machine = document["machine"]
    return (
        f"# A training epoch of every model\n\n`{document['command']}`\n\nml-100k, L = 200, "
        f"batches of 3,200 positions; {machine['cpu']}, {machine['threads']} threads, torch "
        f"{machine['torch']}, fp32. A matrix product of 2048 x 2048 x 2048 meanwhile: "
        f"{statistics.median(speeds):.0f} GFLOP/s ({min(speeds):.0f} to {max(speeds):.0f}); load "
        f"{document['load_before']:.1f} when it began.\n\n{body}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=names(), metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "speed")
    asked = parser.parse_args()
    jobs = {
        label: (model, sets)
        for model in asked.only or names()
        for label, sets in variants(model).items()
    }
    load = os.getloadavg()[0]
    found: dict[str, list[dict[str, Any]]] = {label: [] for label in jobs}
    probes = []
    with tempfile.TemporaryDirectory(prefix="srbench-zoo-") as folder:
        bench = Bench(folder=Path(folder), threads=len(os.sched_getaffinity(0)))
        for _ in range(asked.rounds):
            probes.append(bench.document([sys.executable, HERE / "machine.py"]))
            for label, (model, sets) in jobs.items():
                words = [w for one in sets for w in ("--set", one)]
                command = [sys.executable, HERE / "epoch.py", model, "ml-100k", *words]
                try:
                    found[label].append(bench.document([*command, "--seconds", "20"]))
                except JobFailed as failure:
                    print(f"not measured: {label}: {failure}", file=sys.stderr)
    machine = environment("cpu").model_dump()
    document = {
        "command": "python benchmarks/zoo.py",
        "created": utc_now(),
        "code": code().model_dump(),
        "machine": machine,
        "load_before": load,
        "gemm_gflops": probes,
        "rows": [line(label, ones) for label, ones in found.items() if ones],
    }
    table = Table(*HEADERS)
    for row in document["rows"]:
        table.add_row(*cells(row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if not asked.only:
        write_text_atomically(asked.results / "zoo.json", json.dumps(document, indent=2) + "\n")
        write_text_atomically(asked.results / "zoo.md", markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
