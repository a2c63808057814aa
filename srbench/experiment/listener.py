"""What a run tells while it goes on. The console shows it; a notebook or a test may listen too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srbench.data.dataset import Dataset
    from srbench.record.schema import DataUsed, Epoch, Record


class Listener:
    """Called by a run in this order; every method does nothing unless it is overridden.

    Whatever is told is, or becomes, part of the record.
    """

    def phase(self, name: str) -> None:
        """A part of the run begins: "preparing", "training", "evaluating", "measuring"."""

    def progress(self, what: str, done: int, total: int | None) -> None:
        """A long step of a phase, as a download: so much of it is done; None: of unknown length."""

    def dataset_ready(self, dataset: Dataset, summary: DataUsed) -> None:
        """The data is prepared and split."""

    def estimate(self, seconds_per_epoch: float, epochs: int, advice: str | None) -> None:
        """After a few steps: how long an epoch will take; `advice` names a faster way if hours.

        epochs: at most; early stopping may end the training before.
        """

    def resumed(self, epoch: int, epochs: int) -> None:
        """The training goes on behind `epoch` of at most `epochs`, from its checkpoint."""

    def epoch_begins(self, epoch: int, epochs: int, targets: int) -> None:
        """Epoch `epoch` of at most `epochs` (from 1) begins; it has `targets` targets."""

    def step(self, epoch: int, done_targets: int, targets: int, loss: float | None) -> None:
        """So many targets of the epoch are done. `loss` is that of late steps, None if not read."""

    def epoch_ends(self, row: Epoch, best: bool) -> None:
        """The epoch as it stands in the record's curve; `best`: the best validation so far."""

    def warning(self, what: str, advice: str) -> None:
        """Something the reader of the numbers should know, and what to do about it."""

    def finished(self, record: Record) -> None:
        """The record is written; its status may be other than ok."""
