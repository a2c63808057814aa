"""From raw samples of a clock to measurements, and to what their reader should know."""

from __future__ import annotations

import numpy as np

from srbench.measure.clock import Samples
from srbench.measure.order import Values, interval, quantile, relative_width, samples_for
from srbench.record.schema import Caution, Measurement

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
LEAST = 20  # samples below which a median is told with a caution
UNEVEN = 1.25  # from what a tenth of the samples stay below to the median
DRIFT = 0.05  # between the medians of the halves
APART = 0.05  # between CUDA events and the wall clock


def measurements(name: str, samples: Samples, method: str) -> list[Measurement]:
    """NAME.p50, .p95, .p99 and .iqr in seconds of a call on the wall clock; on CUDA also
    NAME.device.p50, between events.

    `samples` of each is the name of the array it comes from (`arrays`). What the samples are too
    few to say is None with the reason; a median is given however few there are.
    """
    seconds, count = samples.seconds, len(samples.seconds)
    how = f"{method}; wall clock, {count} samples"
    how += f" of {samples.calls} calls each" if samples.calls > 1 else ""
    how += f" after {samples.warm_up} calls"
    found = []
    for suffix, q in PERCENTILES.items():
        value = quantile(seconds, q) if q == 0.5 or count >= samples_for(q) else None
        found.append(_measurement(f"{name}.{suffix}", value, how, name, count, samples_for(q)))
    least = samples_for(0.25)
    iqr = quantile(seconds, 0.75) - quantile(seconds, 0.25) if count >= least else None
    found.append(_measurement(f"{name}.iqr", iqr, how, name, count, least))
    if samples.device_seconds is not None:
        how = how.replace("wall clock", "CUDA events")
        device = quantile(samples.device_seconds, 0.5)
        found.append(_measurement(f"{name}.device.p50", device, how, f"{name}.device", count, 1))
    return found


def arrays(name: str, samples: Samples) -> dict[str, Values]:
    """The raw samples under the names that `measurements` gives."""
    found = {name: samples.seconds}
    if samples.device_seconds is not None:
        found[f"{name}.device"] = samples.device_seconds
    return found


def cautions(name: str, samples: Samples) -> list[Caution]:
    """What makes these samples doubtful, and what to do about it."""
    seconds = samples.seconds
    found = []
    if len(seconds) < LEAST:
        fit = "samples fit" if len(seconds) > 1 else "sample fits"
        found.append(
            Caution(
                what=f"{name}: only {len(seconds)} {fit} into the time for it.",
                advice="Give it more time, or measure a smaller batch or a shorter history.",
            )
        )
    elif not samples.settled:
        known = interval(seconds)
        width = f"{100 * relative_width(seconds):.0f} %"
        between = f" ({_ms(known[0])} to {_ms(known[1])})" if known else ""
        found.append(
            Caution(
                what=f"{name}: the median is known to {width} only{between}.",
                advice="Stop other programs on this machine, or give it more time.",
            )
        )
    fast, middle = quantile(seconds, 0.1), quantile(seconds, 0.5)
    if len(seconds) >= LEAST and middle > UNEVEN * fast:
        found.append(
            Caution(
                what=f"{name}: the median is {_ms(middle)}, but every tenth sample takes at most "
                f"{_ms(fast)}.",
                advice="The work was interrupted: stop other programs on this machine, or use "
                "fewer threads than it has free cores.",
            )
        )
    first, second = np.array_split(seconds, 2)
    if _differ(first, second):
        found.append(
            Caution(
                what=f"{name}: the second half of the samples takes {_ms(quantile(second, 0.5))}, "
                f"the first {_ms(quantile(first, 0.5))}.",
                advice="The machine changed on the way (heat, other programs): measure again.",
            )
        )
    if samples.device_seconds is not None:
        device = quantile(samples.device_seconds, 0.5)
        if abs(middle - device) > APART * middle:
            found.append(
                Caution(
                    what=f"{name}: {_ms(middle)} on the wall clock, {_ms(device)} between CUDA "
                    "events.",
                    advice="The device waits for the host: a larger batch or --compile shows what "
                    "the device can do; the wall clock is what a user waits.",
                )
            )
    return found


def _differ(first: Values, second: Values) -> bool:
    """Are the medians apart by more than their intervals and by more than DRIFT?"""
    one, other = interval(first), interval(second)
    if one is None or other is None:
        return False
    apart = one[1] < other[0] or other[1] < one[0]
    before, after = quantile(first, 0.5), quantile(second, 0.5)
    return apart and abs(after - before) > DRIFT * before


def _measurement(
    name: str, value: float | None, method: str, samples: str, count: int, least: int
) -> Measurement:
    reason = None
    if value is None:
        plural = "samples are" if count > 1 else "sample is"
        reason = f"{count} {plural} too few: it takes {least}"
    return Measurement(
        name=name, value=value, unit="s", method=method, reason=reason, samples=samples
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
