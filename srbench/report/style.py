"""How figures look: sizes, colours, and the way they reach the disk."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import style
from matplotlib.figure import Figure

from srbench.record.files import write_bytes_atomically

STYLE = Path(__file__).parent / "srbench.mplstyle"
COLUMN = 3.33  # inches: one column of a two-column paper
PAGE = 7.0  # and both


@dataclass(frozen=True)
class Look:
    """How one model is drawn in every figure; the marker tells it apart in grey."""

    colour: str
    marker: str


# Okabe and Ito's colours, safe for colour-blind readers, without the yellow that paper swallows.
LOOKS = (
    Look("#0072B2", "o"),
    Look("#D55E00", "s"),
    Look("#009E73", "D"),
    Look("#CC79A7", "^"),
    Look("#56B4E9", "v"),
    Look("#E69F00", "P"),
    Look("#5B5B5B", "X"),
)
OWN = {"glintru": LOOKS[0], "sasrec": LOOKS[1], "gru4rec": LOOKS[2], "pop": LOOKS[6]}


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each distinct name: of a model, or of one and its settings ("glintru kernel=5").

    The models of OWN look the same in every figure. Others, and further settings of one model, take
    what is free, in order; when nothing is, they come round again.
    """
    distinct = list(dict.fromkeys(names))
    chosen: dict[str, Look] = {}
    for name in distinct:
        own = OWN.get(name.split(" ", 1)[0])
        if own is not None and own not in chosen.values():
            chosen[name] = own
    free = [look for look in LOOKS if look not in chosen.values()] or list(LOOKS)
    others = [name for name in distinct if name not in chosen]
    return chosen | {name: free[place % len(free)] for place, name in enumerate(others)}


@contextmanager
def house_style() -> Iterator[None]:
    """The style of every figure, whatever the caller's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        style.use(STYLE)
        yield


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the wanted ones as may be, in the same order, at least `gap` apart.

    They stay between `low` and `high` while these leave room; beyond that they stand evenly.
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    # Runs of touching labels, each as [sum of (wanted - offset), count]: the best place of a run
    # is its mean (isotonic regression by pooling neighbours).
    runs: list[list[float]] = []
    for rank, n in enumerate(order):
        runs.append([wanted[n] - rank * gap, 1])
        while len(runs) > 1 and runs[-2][0] / runs[-2][1] >= runs[-1][0] / runs[-1][1]:
            total, count = runs.pop()
            runs[-1][0] += total
            runs[-1][1] += count
    placed = [0.0] * len(wanted)
    rank = 0
    last = high - (len(wanted) - 1) * gap
    for total, count in runs:
        for _ in range(int(count)):
            placed[order[rank]] = min(max(total / count, low), last) + rank * gap
            rank += 1
    return placed


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes `<stem>.pdf` and `<stem>.png`, each whole or not at all; returns both paths.

    The same figure gives the same bytes: no date and no program name are written into them.
    """
    paths = []
    for kind, metadata in (
        ("pdf", {"Creator": None, "Producer": None, "CreationDate": None}),
        ("png", {"Software": None}),
    ):
        drawn = io.BytesIO()
        with house_style():
            figure.savefig(drawn, format=kind, metadata=metadata)
        path = stem.with_name(f"{stem.name}.{kind}")
        write_bytes_atomically(path, drawn.getvalue())
        paths.append(path)
    return paths
