"""How long one user waits for the trained model of a run: a small `srbench measure`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from srbench.measure import work
from srbench.measure.clock import Sampling, Work, interleaved
from srbench.measure.order import Values
from srbench.measure.samples import arrays, measurements
from srbench.recommender import Recommender
from srbench.record.names import TIME_ENCODE, TIME_REQUEST, TIME_SCORE
from srbench.record.schema import Measurement

TOP = 10


@dataclass(frozen=True)
class Timed:
    measurements: list[Measurement]
    samples: dict[str, Values]


def request_times(recommender: Recommender, device: torch.device, seconds: float) -> Timed:
    """Encoding, scoring and both, of one history of the greatest length, for its top 10.

    seconds: the budget of each. A training may have heated the machine and others may be at work on
    it: to compare models there is `srbench measure`, which takes turns. Raises what the model
    raises.
    """
    length, top = recommender.length, min(TOP, recommender.n_items)
    history = work.histories(recommender, 1, length)
    encode = work.encode(recommender, history)
    works: dict[str, Work] = {
        TIME_ENCODE: encode,
        TIME_SCORE: work.score(recommender, encode(), top),
        TIME_REQUEST: work.request(recommender, history, top),
    }
    methods = {
        TIME_ENCODE: f"one history of {length}",
        TIME_SCORE: f"one user's top {top}",
        TIME_REQUEST: f"one history of {length} to its top {top}",
    }
    found = Timed([], {})
    for name, samples in interleaved(works, device, Sampling(seconds=seconds)).items():
        if isinstance(samples, BaseException):
            raise samples
        found.measurements.extend(measurements(name, samples, methods[name]))
        found.samples.update(arrays(name, samples))
    return found
