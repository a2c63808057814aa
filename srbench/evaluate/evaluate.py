"""One pass over the users of a split: their ranks under every protocol, and the metrics of these.

The model is asked once for each user, the catalogue is scored once, and all protocols are counted
from these scores. Only ranks are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from srbench.data.batches import Sequences
from srbench.data.dataset import Dataset, Split, Targets
from srbench.errors import RunFailed, SrbenchError
from srbench.evaluate.coverage import Coverage
from srbench.evaluate.metrics import KS, means
from srbench.evaluate.negatives import draw, popularity_weights, random_words, uniform_weights
from srbench.evaluate.protocol import (
    FULL_DROP,
    FULL_KEEP,
    POP100,
    PROTOCOLS,
    UNI100,
    Protocol,
    signature,
)
from srbench.evaluate.ranking import rank_users
from srbench.evaluate.seen import history_lengths, seen_before
from srbench.recommender import Recommender

STREAMS = {UNI100: 0, POP100: 1}  # which random draws a sampled protocol takes: part of v1
LIMIT_STREAM = 2  # and which ones choose the users of a limited evaluation
TIED_WARNING = 0.05  # share of users with a tied target that calls for a warning

CATALOGUE_CHUNK = 1 << 20  # items scored at once: a larger catalogue is scored in two passes
SCORES_ON_CPU = 1 << 20  # scores held at once: they should fit its cache
SCORES_ON_GPU = 1 << 26
SEEN = 1 << 22  # seen items gathered at once
LEAST_USERS = 64  # a product over fewer rows is bound by reading the item table

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Ranks and metrics of a recommender on one part of a split.

    targets: who was evaluated, in the order of the split. ranks: float32 [targets] by protocol.
    metrics, coverage: signature -> value. tied: share of users whose target has the score of
    another item of the catalogue. warnings: what is odd, and advice.
    """

    which: Literal["valid", "test"]
    targets: Targets
    ranks: dict[Protocol, NDArray[np.float32]]
    metrics: dict[str, float]
    coverage: dict[str, float]
    tied: float
    warnings: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, name: str) -> float:
        """The metric of a signature or of the beginning of one: `ndcg@10|full|seen:drop`."""
        found = [v for text, v in self.metrics.items() if f"{text}|".startswith(f"{name}|")]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]


def evaluate(
    recommender: Recommender,
    dataset: Dataset,
    split: Split,
    which: Literal["valid", "test"] = "valid",
    *,
    length: int,
    device: torch.device | str = "cpu",
    protocols: Sequence[Protocol] = PROTOCOLS,
    ks: Sequence[int] = KS,
    coverage_at: int | None = 10,
    limit: int | None = None,
    batch_tokens: int = 51200,
    catalogue_chunk: int = CATALOGUE_CHUNK,
    sequences: Sequences | None = None,
) -> Evaluation:
    """Ranks the targets of `split.valid` or `split.test` in one pass.

    length: the model is shown the last `length` events before each target; what the protocols call
    seen is always the whole history. coverage_at: the k of catalogue coverage, None for none.
    limit: so many users at most, always the same ones, and every signature says so.
    sequences: the dataset's interactions on the device, where the caller has them already.
    batch_tokens: positions encoded at once, pads included. catalogue_chunk: items scored at once.

    Raises RunFailed if scores are NaN or infinite, SrbenchError if there is nothing to rank.
    """
    targets, users = _limited(split.valid if which == "valid" else split.test, limit)
    if len(targets) == 0:
        raise SrbenchError(
            f"No user of {dataset.name} has an event in the {which} part of the split "
            f"{split.name}; choose another split, or a dataset with longer histories."
        )
    weights_V = {}
    if UNI100 in protocols:
        weights_V[UNI100] = uniform_weights(dataset)
    if POP100 in protocols:
        weights_V[POP100] = popularity_weights(dataset, split)
    coverage = coverage_at and Coverage(dataset.n_items, coverage_at, device)
    ranks = {protocol: np.empty(len(targets), dtype=np.float32) for protocol in protocols}
    tied_N = np.empty(len(targets), dtype=bool)
    bad_N = np.empty(len(targets), dtype=np.int64)

    was_training = recommender.training
    recommender.eval()
    sequences = sequences or Sequences(dataset, device)
    lengths_N = history_lengths(dataset, targets)
    widths_N = lengths_N.clip(max=length)
    if not recommender.encoder.pad_invariant:
        widths_N[:] = length
    try:
        with torch.no_grad():
            for chosen in _batches(lengths_N, widths_N, batch_tokens, _users(dataset, device)):
                part = Targets(targets.users[chosen], targets.ends[chosen])
                batch = sequences.histories(part.users, part.ends, length, dataset.offsets)
                h_BD = recommender.represent(batch)
                asked = _questions(dataset, part, protocols, weights_V)
                on_device = {p: torch.from_numpy(items).to(device) for p, items in asked.items()}
                answer = rank_users(
                    partial(recommender.score_range, h_BD),
                    dataset.n_items,
                    torch.from_numpy(dataset.items[part.ends].astype(np.int64)).to(device),
                    seen_BK=on_device.pop(FULL_DROP, None),
                    sampled=on_device,
                    chunk=catalogue_chunk,
                    coverage=coverage or None,
                )
                for protocol, ranks_N in ranks.items():
                    ranks_N[chosen] = answer.ranks[protocol].cpu().numpy()
                tied_N[chosen] = answer.tied_B.cpu().numpy()
                bad_N[chosen] = answer.bad_B.cpu().numpy()
    finally:
        recommender.train(was_training)

    _refuse_bad(bad_N, dataset.n_items)
    tied = float(tied_N.mean())
    return Evaluation(
        which=which,
        targets=targets,
        ranks=ranks,
        metrics=means(ranks, split.name, ks, users),
        coverage=(
            {signature("coverage", coverage.k, FULL_KEEP, split.name, users): coverage.share()}
            if coverage
            else {}
        ),
        tied=tied,
        warnings=_warnings(tied),
    )


def _limited(targets: Targets, limit: int | None) -> tuple[Targets, tuple[int, int] | None]:
    """The targets to evaluate and (evaluated, all), or None where that is all of them."""
    if limit is None or limit >= len(targets):
        return targets, None
    order = random_words(targets.ends, 1, LIMIT_STREAM)[:, 0].argsort(kind="stable")
    chosen = np.sort(order[:limit])
    return Targets(targets.users[chosen], targets.ends[chosen]), (limit, len(targets))


def _users(dataset: Dataset, device: torch.device | str) -> int:
    """Users whose scores are held at once."""
    scores = SCORES_ON_CPU if torch.device(device).type == "cpu" else SCORES_ON_GPU
    return max(scores // dataset.n_items, LEAST_USERS)


def _batches(lengths_N: Int64, widths_N: Int64, batch_tokens: int, users: int) -> Iterator[Int64]:
    """Places of targets with histories of similar lengths, the longest first."""
    order = np.argsort(-lengths_N, kind="stable")
    start = 0
    while start < len(order):
        first = order[start]
        rows = min(users, batch_tokens // widths_N[first], SEEN // lengths_N[first])
        yield order[start : start + max(rows, 1)]
        start += max(rows, 1)


def _questions(
    dataset: Dataset,
    targets: Targets,
    protocols: Sequence[Protocol],
    weights_V: dict[Protocol, Int64],
) -> dict[Protocol, Int64]:
    """For each protocol but full with history kept, the items to be counted."""
    if not weights_V and FULL_DROP not in protocols:
        return {}
    seen = seen_before(dataset, targets)
    items_B = dataset.items[targets.ends].astype(np.int64)
    asked = {
        protocol: draw(seen, items_B, targets.ends, weights, STREAMS[protocol])
        for protocol, weights in weights_V.items()
    }
    return asked | ({FULL_DROP: seen.padded_BK()} if FULL_DROP in protocols else {})


def _refuse_bad(bad_N: Int64, n_items: int) -> None:
    users = int((bad_N > 0).sum())
    if users:
        raise RunFailed(
            f"{int(bad_N.sum()):,} of {len(bad_N) * n_items:,} scores, of {users:,} of "
            f"{len(bad_N):,} users, are NaN or infinite, so nothing can be ranked; the training "
            "has diverged: lower train.lr or set train.clip_norm."
        )


def _warnings(tied: float) -> tuple[tuple[str, str], ...]:
    if tied <= TIED_WARNING:
        return ()
    return (
        (
            f"{100 * tied:.0f} % of users have tied targets: another item has exactly the target's "
            "score, and counts half.",
            "A model that counts does this; with any other, look for collapsed representations or "
            "for too coarse a precision.",
        ),
    )
