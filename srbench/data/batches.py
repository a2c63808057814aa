"""From flat arrays to batches: histories for ranking, windows and prefixes for training.

Nothing is copied per prefix: a history is (user, end), gathered when its batch is made.

    B  users of a batch    L  positions    N  histories
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.errors import SrbenchError
from srbench.models.base import Batch, ClozeSettings

if TYPE_CHECKING:
    from srbench.data.dataset import Dataset, Split

Int64 = NDArray[np.int64]
Supervision = Literal["all", "last", "cloze"]

POOL = 64  # steps' worth of shuffled windows that are sorted by length together


class Sequences:
    """The interactions of a dataset on a device, from which batches are gathered."""

    def __init__(self, dataset: Dataset, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.items = torch.from_numpy(np.array(dataset.items)).to(self.device)
        self.times = None
        if dataset.times is not None:
            self.times = torch.from_numpy(np.array(dataset.times)).to(self.device)

    def gather(self, starts: Int64, lengths: Int64) -> Batch:
        """Stretches of `lengths` events from positions `starts` of the flat arrays."""
        return self._gather(starts, lengths)[0]

    def histories(self, users: Int64, ends: Int64, length: int, offsets: Int64) -> Batch:
        """The last `length` events before each of `ends`, of `users`, padded on the right."""
        starts = np.maximum(offsets[users], ends - length)
        return self._predicting(self.gather(starts, ends - starts), ends)

    def with_next(self, starts: Int64, lengths: Int64, first: Int64) -> tuple[Batch, Tensor]:
        """`gather`, and targets_BL: the item behind each event, 0 on pads and before `first`."""
        batch, places_BL, inside_BL = self._gather(starts, lengths)
        positions_L = torch.arange(places_BL.shape[1], device=self.device)
        wanted_BL = inside_BL & (positions_L >= torch.from_numpy(first).to(self.device)[:, None])
        next_BL = self.items[(places_BL + 1).clamp_(max=len(self.items) - 1)]
        return self._predicting(batch, starts + lengths), next_BL.long() * wanted_BL

    def _predicting(self, batch: Batch, ends: Int64) -> Batch:
        """The batch as histories of the events at `ends`, whose times it gets."""
        if self.times is None:
            return batch
        places_B = torch.from_numpy(ends).to(self.device)
        return replace(batch, target_times_B=self.times[places_B])

    def _gather(self, starts: Int64, lengths: Int64) -> tuple[Batch, Tensor, Tensor]:
        """The batch, where each of its slots stands in the flat arrays, and which are no pads."""
        lengths_B = torch.from_numpy(lengths).to(self.device)
        positions_L = torch.arange(int(lengths.max()), device=self.device)
        places_BL = torch.from_numpy(starts).to(self.device)[:, None] + positions_L
        places_BL.clamp_(max=len(self.items) - 1)
        inside_BL = positions_L < lengths_B[:, None]
        items_BL = self.items[places_BL].long() * inside_BL
        times_BL = None if self.times is None else self.times[places_BL] * inside_BL
        return Batch(items_BL, lengths_B, times_BL), places_BL, inside_BL


@dataclass(frozen=True)
class TrainingBatch:
    """What one step learns from.

    targets: with supervision `all` targets_BL, the item behind each position, 0 where none is
    asked; with `last` targets_B; with `cloze` targets_N, the hidden items, row by row. count: how
    many targets there are.
    """

    batch: Batch
    targets: Tensor
    count: int


class TrainingBatches:
    """All targets of the training part of a split, in batches, in a new order every epoch.

    A target is an event of a user's training sequence other than the first. With supervision `all`
    a window of at most `length` events is encoded once and asked at every position; users with more
    events are cut into windows from their end backwards, `stride` events apart (None: end to end),
    of which all but the oldest are asked only at their last `stride` positions. So every target is
    asked exactly once. With `last` every target is a history of its own (or `prefixes_per_user` of
    them, drawn anew each epoch).

    With `cloze` the windows are of all events, the first and the last of a sequence too, and any
    event may be hidden: in a batch each with probability `cloze.mask_ratio` (where chance hides
    none, the last of each window), or, in a share `cloze.mask_last` of the batches, windows are cut
    behind a random event, and that one alone is hidden. The hidden ones are the targets, and the
    batch holds no item in their places.

    A batch has at most `tokens` positions, pads included, and at most `users` rows (None: any
    number). Rows of a batch have similar lengths. The order depends on (seed, epoch) alone, so that
    a resumed training sees what an uninterrupted one sees.

    Raises SrbenchError if no user has a target.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        *,
        supervision: Supervision,
        length: int,
        tokens: int,
        users: int | None = None,
        stride: int | None = None,
        prefixes_per_user: int | None = None,
        cloze: ClozeSettings | None = None,
        padded: bool = False,
        seed: int = 0,
        sequences: Sequences | None = None,
    ) -> None:
        self.sequences = sequences or Sequences(dataset)
        self.supervision = supervision
        self.tokens, self.users, self.seed = tokens, users, seed
        self.padded_to = length if padded else None
        self.prefixes_per_user = prefixes_per_user
        self.cloze = cloze or ClozeSettings.model_validate({})
        starts, ends = dataset.offsets[:-1], split.train_ends
        if supervision == "cloze":  # the last event is an input too
            ends = ends + (ends - starts > 1)
        if supervision != "last":
            self.starts, self.lengths, self.first = _windows(starts, ends, length, stride or length)
            self.counts = self.lengths - self.first
        else:
            self.starts, self.lengths, self.owners = _prefixes(starts, ends, length)
            self.first = self.lengths - 1
            self.counts = np.ones_like(self.lengths)
        if len(self.starts) == 0:
            raise SrbenchError(
                f"No user of {dataset.name} has two events to train on, because the split "
                f"{split.name} takes the rest; use a dataset with longer sequences."
            )

    @property
    def targets_per_epoch(self) -> int:
        """How many targets an epoch has; with `cloze`, how many are to be expected."""
        if self.supervision == "cloze":
            last, ratio = self.cloze.mask_last, self.cloze.mask_ratio
            expected = last * len(self.lengths) + (1 - last) * ratio * int(self.lengths.sum())
            return max(1, round(expected))
        if self.supervision == "last" and self.prefixes_per_user is not None:
            _, prefixes = np.unique(self.owners, return_counts=True)
            return int(np.minimum(prefixes, self.prefixes_per_user).sum())
        return int(self.counts.sum())

    def epoch(self, epoch: int) -> Iterator[TrainingBatch]:
        """The batches of one epoch."""
        if self.supervision == "cloze":
            yield from self._hiding(epoch)
            return
        for rows in self.plan(epoch):
            starts, lengths = self.starts[rows], self.lengths[rows]
            batch, targets = self.sequences.with_next(starts, lengths, self.first[rows])
            if self.supervision == "last":
                targets = targets.gather(1, batch.lengths_B[:, None] - 1).squeeze(1)
            yield TrainingBatch(batch, targets, int(self.counts[rows].sum()))

    def _hiding(self, epoch: int) -> Iterator[TrainingBatch]:
        random = np.random.default_rng((self.seed, epoch, 1))  # another stream than the plan's
        share = self.cloze.mask_last
        for step, rows in enumerate(self.plan(epoch)):
            lengths = self.lengths[rows]
            only_last = int((step + 1) * share) > int(step * share)  # evenly among the batches
            if only_last:
                lengths = random.integers(np.minimum(lengths, 2), lengths + 1)
            positions_L = np.arange(lengths.max())
            draws_BL = random.random((len(rows), len(positions_L)), np.float32)
            hidden_BL = (draws_BL < self.cloze.mask_ratio) & (positions_L < lengths[:, None])
            if only_last or not hidden_BL.any():
                hidden_BL = positions_L == lengths[:, None] - 1
            batch = self.sequences.gather(self.starts[rows], lengths)
            hidden = torch.from_numpy(hidden_BL).to(batch.items_BL.device)
            targets_N = batch.items_BL[hidden]
            batch = replace(batch, items_BL=batch.items_BL.masked_fill(hidden, 0))
            yield TrainingBatch(batch, targets_N, len(targets_N))

    def plan(self, epoch: int) -> list[Int64]:
        """The rows of each batch of an epoch, in order."""
        random = np.random.default_rng((self.seed, epoch))
        order = self._chosen(random)
        widths = (
            self.lengths if self.padded_to is None else np.full_like(self.lengths, self.padded_to)
        )
        pool = POOL * max(1, self.tokens // int(widths.max()))
        batches: list[Int64] = []
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            part = part[np.argsort(-widths[part], kind="stable")]
            begin = 0
            while begin < len(part):
                rows = max(1, self.tokens // int(widths[part[begin]]))
                rows = rows if self.users is None else min(rows, self.users)
                batches.append(part[begin : begin + rows])
                begin += rows
        random.shuffle(batches)
        return batches

    def _chosen(self, random: np.random.Generator) -> Int64:
        order = random.permutation(len(self.starts))
        if self.supervision != "last" or self.prefixes_per_user is None:
            return order
        by_user = order[np.argsort(self.owners[order], kind="stable")]
        owners = self.owners[by_user]
        _, first, inverse = np.unique(owners, return_index=True, return_inverse=True)
        chosen = by_user[np.arange(len(owners)) - first[inverse] < self.prefixes_per_user]
        return random.permutation(chosen)


def _windows(starts: Int64, ends: Int64, length: int, stride: int) -> tuple[Int64, Int64, Int64]:
    """Start, length and first asked position of every window; the last event is only a target."""
    inputs = np.maximum(ends - starts - 1, 0)
    windows = np.where(inputs > length, 1 + -(-(inputs - length) // stride), inputs > 0).astype(
        np.int64
    )
    user = np.repeat(np.arange(len(starts)), windows)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(windows) - windows, windows)
    stop = inputs[user] - nth * stride  # windows run backwards from the end
    oldest = stop <= length
    begin = np.where(oldest, 0, stop - length)
    first = np.where(oldest, 0, length - stride)
    return starts[user] + begin, stop - begin, first


def _prefixes(starts: Int64, ends: Int64, length: int) -> tuple[Int64, Int64, Int64]:
    """Start, length and user of the history of every target."""
    targets = np.maximum(ends - starts - 1, 0)
    user = np.repeat(np.arange(len(starts)), targets)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(targets) - targets, targets)
    end = nth + 1
    begin = np.maximum(0, end - length)
    return starts[user] + begin, end - begin, user


def training_part(
    dataset: Dataset, split: Split, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Items and offsets of the training sequences in CSR form."""
    lengths = split.train_ends - dataset.offsets[:-1]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(dataset.offsets[:-1] - offsets[:-1], lengths)
    items = torch.from_numpy(dataset.items[places].astype(np.int64))
    return items.to(device), torch.from_numpy(offsets).to(device)
