"""The rows of the table: what is timed, by which job, and the bound that srbench has set itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobs import (
    Document,
    Job,
    JobFailed,
    recbole,
    rectools,
    srbench_help,
    srbench_loading,
    srbench_run,
)

from srbench.record.names import MEMORY_PROCESS_PEAK, TIME_EVALUATE

JOBS: dict[str, Job] = {
    "srbench glintru ml-100k": srbench_run(
        "glintru", "ml-100k", {"model.width": 128, "model.heads": 8}
    ),
    "srbench sasrec ml-100k": srbench_run(
        "sasrec", "ml-100k", {"model.width": 64, "model.layers": 2, "model.heads": 2}
    ),
    "srbench gru4rec ml-100k": srbench_run(
        "gru4rec", "ml-100k", {"model.width": 64, "model.hidden": 128}
    ),
    "srbench glintru ml-1m": srbench_run(
        "glintru", "ml-1m", {"model.width": 128, "model.heads": 8, "train.batch_users": 16}
    ),
    "srbench loading ml-1m": srbench_loading("ml-1m"),
    "srbench help": srbench_help,
    "recbole glintru ml-100k": recbole("GLINTRU", "ml-100k", 50),
    "recbole sasrec ml-100k": recbole("SASRec", "ml-100k", 50),
    "recbole gru4rec ml-100k": recbole("GRU4Rec", "ml-100k", 50),
    "recbole glintru ml-1m": recbole("GLINTRU", "ml-1m", 200, at_most=(1, 2), evaluate=True),
    "rectools sasrec ml-100k": rectools("ml-100k"),
}
LONG = {"recbole glintru ml-1m"}  # left out by --quick


@dataclass(frozen=True)
class Side:
    """One number of a row: the job it comes from, its samples, and what was timed."""

    who: str
    job: str
    samples: Callable[[Document], list[float]]
    how: Callable[[Document], str]


@dataclass(frozen=True)
class Row:
    """One line of the table. `must_reach` is the project's own bound, in `unit`."""

    name: str
    what: str
    unit: str
    must_reach: float
    ours: Side
    peers: tuple[Side, ...] = ()


def our_epochs(record: Document) -> list[float]:
    return [row["seconds"] for row in record["training"]["curve"][1:]]


def how_our_epochs(record: Document) -> str:
    count, training = len(our_epochs(record)), record["training"]
    steps = training["steps"] // training["epochs"]
    return (
        f"L={record['data']['length']}, epoch of {training['targets_per_epoch']:,} targets in "
        f"{steps:,} steps, {count} after 1 of warm-up"
    )


def our_measurement(name: str, scale: float = 1.0) -> Callable[[Document], list[float]]:
    def samples(record: Document) -> list[float]:
        found = [m for m in record["measurements"] if m["name"] == name]
        if not found:
            raise JobFailed(f"the record has no measurement {name}")
        if found[0]["value"] is None:
            raise JobFailed(found[0]["reason"])
        return [found[0]["value"] * scale]

    return samples


def how_peer_epochs(result: Document) -> str:
    size = f"L={result['length']}, epoch of {result['targets_per_epoch']:,} targets"
    if result["whole_epoch"]:
        warm_up = (
            f" after {result['warm_up_epochs']} of warm-up" if "warm_up_epochs" in result else ""
        )
        return f"{size}, {len(result['epoch_seconds'])} whole{warm_up}"
    timed = f"{result['timed_targets']:,} targets, {result['timed_seconds']:.1f} s"
    return (
        f"{size}, computed from {result['timed_steps']} steps ({timed}) "
        f"after {result['warm_up_steps']} of warm-up"
    )


def peer(field_name: str, scale: float = 1.0) -> Callable[[Document], list[float]]:
    def samples(result: Document) -> list[float]:
        value = result[field_name]
        return [v * scale for v in value] if isinstance(value, list) else [value * scale]

    return samples


def says(text: str) -> Callable[[Document], str]:
    return lambda _: text


def epoch_row(name: str, what: str, must_reach: float, *also: Side) -> Row:
    model, dataset = name.split("-", 1)
    own = Side("srbench", f"srbench {model} {dataset}", our_epochs, how_our_epochs)
    theirs = Side(
        "RecBole 1.2.1", f"recbole {model} {dataset}", peer("epoch_seconds"), how_peer_epochs
    )
    return Row(name, what, "s", must_reach, own, (theirs, *also))


ML1M, PEER_ML1M = "srbench glintru ml-1m", "recbole glintru ml-1m"
RECTOOLS = Side(
    "RecTools 0.19.0", "rectools sasrec ml-100k", peer("epoch_seconds"), how_peer_epochs
)

ROWS = (
    epoch_row("glintru-ml-100k", "ml-100k, training epoch, GLINT-RU d=128", 5.0),
    epoch_row("sasrec-ml-100k", "ml-100k, training epoch, SASRec d=64, 2 x 2", 1.5, RECTOOLS),
    epoch_row("gru4rec-ml-100k", "ml-100k, training epoch, GRU4Rec 64/128", 1.5),
    epoch_row("glintru-ml-1m", "ml-1m, training epoch, GLINT-RU d=128, 16 users a step", 55.0),
    Row(
        "evaluate-ml-1m",
        "ml-1m, evaluation of all 6,040 users",
        "s",
        5.0,
        Side("srbench", ML1M, our_measurement(TIME_EVALUATE), says("four protocols, L=200")),
        (Side("RecBole 1.2.1", PEER_ML1M, peer("evaluation_seconds"), says("one, L=200")),),
    ),
    Row(
        "help",
        "srbench --help",
        "s",
        0.3,
        Side("srbench", "srbench help", lambda d: d["seconds"], says("start of Python included")),
    ),
    Row(
        "prepare-ml-1m",
        "ml-1m prepared from the file",
        "s",
        3.0,
        Side("srbench", "srbench loading ml-1m", lambda d: [d["file"]], says("without imports")),
        (
            Side(
                "RecBole 1.2.1",
                PEER_ML1M,
                peer("preparation_seconds"),
                says("with its windows, L=200"),
            ),
        ),
    ),
    Row(
        "cached-ml-1m",
        "ml-1m from the cache",
        "s",
        0.1,
        Side("srbench", "srbench loading ml-1m", lambda d: [d["cache"]], says("without imports")),
    ),
    Row(
        "memory-ml-1m",
        "peak resident memory of the ml-1m GLINT-RU run",
        "GB",
        2.5,
        Side("srbench", ML1M, our_measurement(MEMORY_PROCESS_PEAK, 1e-9), says("the whole run")),
        (
            Side(
                "RecBole 1.2.1",
                PEER_ML1M,
                peer("peak_resident_bytes", 1e-9),
                says("data, 3 steps, evaluation"),
            ),
        ),
    ),
)
