"""What is told of samples, and what they are too few to tell."""

from __future__ import annotations

import numpy as np
import pytest

from srbench.measure.clock import Samples
from srbench.measure.samples import arrays, cautions, measurements

TENTH = np.full(300, 1e-3)


def samples(
    seconds: list[float] | np.ndarray,
    device: list[float] | np.ndarray | None = None,
    *,
    settled: bool = True,
    calls: int = 1,
) -> Samples:
    on_device = None if device is None else np.asarray(device, dtype=float)
    return Samples(np.asarray(seconds, dtype=float), on_device, calls, 7, settled)


def test_percentiles_and_the_middle_half_of_a_thousand_and_one() -> None:
    found = {m.name: m for m in measurements("time.request", samples(np.arange(1001)), "both")}
    assert {name: m.value for name, m in found.items()} == {
        "time.request.p50": 500,
        "time.request.p95": 950,
        "time.request.p99": 990,
        "time.request.iqr": 500,
    }
    assert {m.unit for m in found.values()} == {"s"}
    assert {m.samples for m in found.values()} == {"time.request"}
    assert {m.method for m in found.values()} == {"both; wall clock, 1001 samples after 7 calls"}


@pytest.mark.parametrize(
    ("count", "unknown"),
    [
        (1, {"p95": 59, "p99": 299, "iqr": 11}),
        (20, {"p95": 59, "p99": 299}),
        (59, {"p99": 299}),
        (298, {"p99": 299}),
        (299, {}),
    ],
)
def test_what_samples_are_too_few_for_is_unknown_with_the_reason(
    count: int, unknown: dict[str, int]
) -> None:
    found = measurements("t", samples([1.0] * count), "m")
    reasons = {m.name.removeprefix("t."): m.reason for m in found if m.value is None}
    plural = "samples are" if count > 1 else "sample is"
    assert reasons == {
        name: f"{count} {plural} too few: it takes {least}" for name, least in unknown.items()
    }


def test_calls_that_share_a_sample_are_told() -> None:
    (first, *_) = measurements("t", samples([1.0] * 20, calls=50), "m")
    assert first.method == "m; wall clock, 20 samples of 50 calls each after 7 calls"


def test_what_the_events_of_a_gpu_say_stands_beside_the_wall_clock() -> None:
    given = samples([2.0] * 20, [1.5] * 20)
    last = measurements("t", given, "m")[-1]
    assert (last.name, last.value, last.samples) == ("t.device.p50", 1.5, "t.device")
    assert last.method == "m; CUDA events, 20 samples after 7 calls"
    assert {name: list(a) for name, a in arrays("t", given).items()} == {
        "t": [2.0] * 20,
        "t.device": [1.5] * 20,
    }


def test_the_raw_samples_have_the_name_that_the_measurements_give() -> None:
    given = samples([3.0, 1.0, 2.0])
    assert {m.samples for m in measurements("t", given, "m")} == set(arrays("t", given)) == {"t"}
    assert arrays("t", given)["t"].tolist() == [3.0, 1.0, 2.0]  # as they came


def warnings(given: Samples) -> list[str]:
    found = cautions("t", given)
    assert all(one.advice for one in found)
    return [one.what for one in found]


def test_nothing_is_said_of_good_samples() -> None:
    assert warnings(samples(TENTH, TENTH * 0.96)) == []


def test_few_samples() -> None:
    assert warnings(samples([0.5] * 3, settled=False)) == [
        "t: only 3 samples fit into the time for it."
    ]
    assert warnings(samples([0.5], settled=False)) == [
        "t: only 1 sample fits into the time for it."
    ]


def test_a_median_that_is_not_known() -> None:
    halves = [1e-3, 1.2e-3] * 50
    assert warnings(samples(halves, settled=False)) == [
        "t: the median is known to 18 % only (1 ms to 1.2 ms)."
    ]


def test_work_that_was_interrupted_however_well_its_median_is_known() -> None:
    """As where other programs hold the cores: a slice of time each, so that it settles."""
    mixed = [2e-3, *[19e-3] * 8] * 30
    assert warnings(samples(mixed)) == [
        "t: the median is 19 ms, but every tenth sample takes at most 2 ms."
    ]
    assert warnings(samples([1e-3, *[1.24e-3] * 8] * 30)) == []


def test_a_machine_that_changed_on_the_way() -> None:
    assert warnings(samples([*TENTH, *TENTH * 1.06])) == [
        "t: the second half of the samples takes 1.06 ms, the first 1 ms."
    ]
    assert warnings(samples([*TENTH, *TENTH * 1.04])) == []
    noisy = np.random.default_rng(0).uniform(1, 1.4, 30)
    assert warnings(samples([*noisy, *noisy * 1.06])) == []  # not more than by chance


def test_events_and_wall_clock_that_disagree() -> None:
    assert warnings(samples(TENTH, TENTH * 0.94)) == [
        "t: 1 ms on the wall clock, 0.94 ms between CUDA events."
    ]
