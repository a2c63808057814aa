"""HSTU's times, literally."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from srbench.models.base import Batch
from srbench.models.hstu import HSTU, HSTUSettings, buckets, next_times_BL

DAY = 86_400
SETTINGS = HSTUSettings(width=6, heads=2, dqk=3, dv=4, dropout=0.0)


def model(settings: HSTUSettings = SETTINGS) -> HSTU:
    torch.manual_seed(0)
    encoder = HSTU(settings, 9, 5).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def test_a_bucket_is_the_logarithm_of_the_seconds_between() -> None:
    times_BL = torch.tensor([[0, 0, 1, 2, 60, DAY, 2**40]]) + 10**9
    expected = [0, 0, 0, 2, 13, 37, 92]  # ln 2 = 0.69, ln 60 = 4.09, ln 86400 = 11.37
    assert buckets(times_BL, times_BL)[0, :, 0].tolist() == expected
    assert buckets(times_BL, times_BL)[0, 0].tolist() == expected  # earlier or later alike
    assert int(buckets(torch.tensor([[2**62]]), torch.tensor([[0]]))) == 128


def test_one_second_counts_after_fifty_years() -> None:
    times_BL = torch.tensor([[0, 1_600_000_000, 1_600_000_007]])
    assert int(buckets(times_BL, times_BL)[0, 2, 1]) == 6  # ln 7 = 1.95


def test_the_next_time_is_that_of_the_next_event_and_at_the_end_of_the_target() -> None:
    times_BL = torch.tensor([[5, 7, 11], [3, 0, 0]])
    batch = Batch(torch.ones(2, 3).long(), torch.tensor([3, 1]), times_BL, torch.tensor([20, 4]))
    assert next_times_BL(batch).tolist() == [[7, 11, 20], [4, 0, 0]]


def test_without_times_the_bias_for_time_is_left_out() -> None:
    encoder, x_BLD = model(), torch.randn(3, 5, 6, dtype=torch.float64)
    batch = Batch(torch.ones(3, 5).long(), torch.full((3,), 5))
    timed = replace(batch, times_BL=torch.arange(15).view(3, 5) * DAY)
    untimed_BLD = encoder.prefixes(x_BLD, batch)
    assert not torch.allclose(untimed_BLD, encoder.prefixes(x_BLD, timed))
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.time_bias)
    torch.testing.assert_close(untimed_BLD, encoder.prefixes(x_BLD, timed))


def test_time_off_is_no_times() -> None:
    x_BLD = torch.randn(2, 5, 6, dtype=torch.float64)
    timed = model()
    untimed = HSTU(SETTINGS.model_copy(update={"time": False}), 9, 5).double()
    weights = timed.state_dict()
    untimed.load_state_dict({n: w for n, w in weights.items() if not n.endswith("time_bias")})
    batch = Batch(torch.ones(2, 5).long(), torch.full((2,), 5))
    with_times = replace(batch, times_BL=torch.arange(10).view(2, 5) * DAY)
    torch.testing.assert_close(untimed.prefixes(x_BLD, with_times), timed.prefixes(x_BLD, batch))
    with pytest.raises(ValueError, match=r"target_time has no effect with time = false"):
        HSTUSettings(time=False, target_time=True)


def test_pads_change_nothing_though_the_scores_are_divided_by_the_window() -> None:
    encoder, x_BLD = model(), torch.randn(1, 5, 6, dtype=torch.float64)
    short = Batch(torch.ones(1, 2).long(), torch.tensor([2]))
    long = Batch(torch.ones(1, 5).long(), torch.tensor([2]))
    torch.testing.assert_close(encoder(x_BLD[:, :2], short), encoder(x_BLD, long))
    torch.testing.assert_close(
        encoder(x_BLD, long).norm(), torch.tensor(1 / 0.05, dtype=torch.float64)
    )
