"""The operations of one request, held against counts by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from srbench import registry
from srbench.measure.flops import Flops, flops_of, request, request_flops, request_scans
from srbench.models.base import Batch
from srbench.models.tally import counting, tally
from srbench.recommender import Recommender

V, L = 30, 40
CHUNK, CHUNKED = 32, 64  # causal sums go in chunks of so many events, whole ones, pads included

# L events, D width, H hidden, C = D / heads; a linear map of n rows from a to b: 2 n a b.
# Recurrences that no matrix enters (scans), convolutions of each channel by itself, running sums
# and Fourier transforms are no kernels that the counter knows: they count apart.


def answers(settings: Any) -> int:
    """Positions that all layers together answer at, where the last one does at the end alone."""
    return (settings.layers - 1) * L + 1


def gru4rec(settings: Any) -> int:
    width, hidden = settings.width, settings.hidden
    gates = 2 * L * 3 * hidden * (width + hidden)
    return gates + 2 * hidden * width


def sasrec(settings: Any) -> int:
    """The last block answers for the last event alone; it needs keys and values of all."""
    width, inner = settings.width, settings.inner
    dense = 2 * 2 * width * width + 2 * 2 * width * inner  # query, output; feed-forward: an event
    keys_and_values = 2 * 2 * L * width * width
    attention = 2 * 2 * L * width  # q k' and the sum of v for one event, all L keys
    inner_blocks = (settings.layers - 1) * L * (dense + attention)
    return settings.layers * keys_and_values + inner_blocks + dense + attention


def bert4rec(settings: Any) -> int:
    """The hidden event has the last of the L places; the last block asks for it alone."""
    width, inner = settings.width, settings.inner
    query, key, value, dense, attention = width, width, width, width, 2 * L
    seen = settings.layers * L * 2 * width * (key + value)
    asked = answers(settings) * 2 * width * (query + attention + dense + 2 * inner)
    return seen + asked + 2 * width * width


def glintru(settings: Any) -> int:
    """The definition: only the end of the history passes the gates and the second convolution."""
    width, channels = settings.width, settings.width // settings.heads
    dense, convolution, gru, keys_and_values = 1, 3, 6, 2
    everywhere = 2 * L * width**2 * (dense + convolution + gru + keys_and_values)
    memory = 2 * L * width * channels
    gated = 2 * (1 + 1)  # two positions; projection, and the gate's narrow and wide layer
    taps, query, out, gates, mlp = 3, 1, 1, 2, 3  # the tap behind the end meets a zero
    at_the_end = 2 * width**2 * (gated + taps + query + out + gates + mlp)
    return everywhere + memory + at_the_end + 2 * width * channels


def glintru_official(settings: Any) -> int:
    """The published code computes every position of every layer."""
    width, channels = settings.width, settings.width // settings.heads
    dense, convolution, gru, gated, second, attention, output = 1, 3, 6, 2, 3, 4, 5
    layers = dense + convolution + gru + gated + second + attention + output
    return 2 * L * width**2 * layers + 2 * 2 * L * width * channels


def mixers(settings: Any, fields_at_the_end: int) -> int:
    """The last layer makes one position of so many fields; its first product needs all events."""
    width, expansion, fields = settings.width, settings.expansion, 2
    position = 2 * 2 * expansion * fields * fields * width  # along the fields, expand and back
    channels = 2 * 2 * expansion * width * width
    products = 2 * expansion * L * L * width  # one of the two along the positions, a field
    layer = L * (position + fields * channels) + 2 * fields * products
    row = 2 * expansion * L * width
    at_the_end = position + fields_at_the_end * (channels + products + row)
    return (settings.layers - 1) * layer + at_the_end


def mlp4rec(settings: Any) -> int:
    return mixers(settings, fields_at_the_end=2)


def smlp4rec(settings: Any) -> int:
    """Only the item's own field leaves the last block."""
    return mixers(settings, fields_at_the_end=1)


def fmlprec(settings: Any) -> int:
    """Transforms are no matrix products, so that the filters do not count."""
    return answers(settings) * 2 * 2 * settings.width * settings.inner


def lrurec(settings: Any) -> int:
    """2D complex states, real and imaginary part apart: 4D rows in, 4D columns out."""
    width = settings.width
    states, read, feed_forward = 4 * width, 4 * width, 2 * 4 * width
    return 2 * width * (settings.layers * L * states + answers(settings) * (read + feed_forward))


def mingru4rec(settings: Any) -> int:
    """Candidate and gate are of every event."""
    width, state = settings.width, int(settings.width * settings.expansion)
    candidate, gate, back, feed_forward = state, state, state, 2 * 4 * width
    read = settings.layers * L * (candidate + gate)
    return 2 * width * (read + answers(settings) * (back + feed_forward))


def sligru4rec(settings: Any) -> int:
    """U h is a product of every event."""
    width, hidden = settings.width, settings.hidden
    inputs = width + (settings.layers - 1) * hidden
    gates = 2 * L * 2 * hidden * (inputs + settings.layers * hidden)
    return gates + 2 * hidden * width


def recblr(settings: Any) -> int:
    width, channels = settings.width, settings.channels
    everywhere = settings.layers * L
    value_and_gates = 2 * width * channels + 2 * channels * 2 * channels
    z, out, feed_forward = channels, channels, 2 * 4 * width
    return everywhere * value_and_gates + answers(settings) * 2 * width * (z + out + feed_forward)


def recblr_official(settings: Any) -> int:
    """All rows of zeros in front are the same event, whose gates are had once a layer."""
    return recblr(settings) + settings.layers * 2 * settings.channels * 2 * settings.channels


def mamba_scan(settings: Any) -> int:
    """Up to the y of one event: the state itself does not count, to read it by C does."""
    width, states, inner = settings.width, settings.states, settings.expand * settings.width
    rank = math.ceil(width / 16)
    u_and_z, read = 2 * width * 2 * inner, 2 * states * inner
    selected = 2 * inner * (rank + 2 * states) + 2 * rank * inner
    return u_and_z + selected + read


def mamba4rec(settings: Any) -> int:
    """Behind the scan the last layer answers for the last event alone."""
    width, inner = settings.width, settings.expand * settings.width
    behind = 2 * inner * width + 2 * 2 * 4 * width**2
    return settings.layers * L * mamba_scan(settings) + answers(settings) * behind


def sigma(settings: Any) -> int:
    """Pads and flip move events about: both variants count the same."""
    width, inner = settings.width, settings.expand * settings.width
    everywhere = settings.layers * L
    convolution, gru, both_ways = 3, 6, 2
    read = 2 * width**2 * (convolution + gru) + both_ways * mamba_scan(settings)
    two_dense, two_gates, projection, feed_forward = 2, 4, 1, 2 * 4
    dense = 2 * width**2 * (two_dense + two_gates + projection + feed_forward)
    return everywhere * read + answers(settings) * (dense + both_ways * 2 * inner * width)


def tim4rec(settings: Any) -> int:
    """Behind the recurrence the last layer answers for the last event alone, and makes no times
    for a next one. One gate a head is a running sum, which is free."""
    width, states, inner = settings.width, settings.states, settings.expand * settings.width
    everywhere = settings.layers * L
    z, x, b, c, steps = inner, inner, states, states, settings.heads
    dense = 2 * width * (z + x + b + c + steps)
    behind = answers(settings) * (2 * inner * width + 2 * 2 * 4 * width**2)
    inside = 2 * CHUNKED * CHUNK * (states + inner)  # c b', the same for all heads, and times x
    across = 2 * 2 * CHUNKED * states * inner  # the states that chunks add, and reading them
    times = 2 * 2 * settings.heads * L * L  # two matrices over the window, triangle or not
    return everywhere * dense + behind + settings.layers * (inside + across + times)


def tim4rec_official(settings: Any) -> int:
    """The gate is a product."""
    return tim4rec(settings) + (settings.layers - 1) * 2 * settings.heads * L


def hstu(settings: Any) -> int:
    """All events are mapped to gate, value, query and key; the last block asks for one of them."""
    dqk, dv = settings.heads * settings.dqk, settings.heads * settings.dv
    mapped = 2 * L * settings.width * 2 * (dqk + dv)
    event = 2 * L * (dqk + dv) + 2 * dv * settings.width  # its scores and sum, and its output
    return settings.layers * mapped + answers(settings) * event


def linrec(settings: Any) -> int:
    """The last block reads its memory once; the others score in chunks, and remember the rest."""
    width, channels = settings.width, settings.width // settings.heads
    dense = 2 * 2 * width * width + 2 * 2 * width * settings.inner  # query, output; feed-forward
    keys_and_values = 2 * 2 * L * width * width
    chunks = CHUNKED * 2 * 2 * (CHUNK + channels) * width
    inner_block = keys_and_values + L * dense + chunks
    memory, read = 2 * L * width * channels, 2 * width * channels
    return (settings.layers - 1) * inner_block + keys_and_values + memory + read + dense


def linrec_official(settings: Any) -> int:
    """Every block reads one memory of the window."""
    width, channels = settings.width, settings.width // settings.heads
    event = 2 * 2 * width * width + 2 * 2 * width * settings.inner + 2 * width * channels
    memory = 2 * 2 * L * width * width + 2 * L * width * channels
    return settings.layers * memory + answers(settings) * event


def lightsans(settings: Any) -> int:
    """Scores over asking events need all of them in the last block too; its output needs one."""
    width, interests = settings.width, settings.interests
    maps, summed = 2 * 3 * L * width**2, 2 * 2 * 2 * L * width * interests
    places = 2 * 2 * L * width**2 + 2 * L * L * width
    everywhere = maps + summed + 2 * L * width * interests + places
    event = 2 * L * width + 2 * interests * width + 2 * width**2 + 2 * 2 * width * settings.inner
    return settings.layers * everywhere + answers(settings) * event


CASES: dict[str, tuple[Any, dict[str, int]]] = {
    "gru4rec": (gru4rec, {"width": 8, "hidden": 6}),
    "sasrec": (sasrec, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "bert4rec": (bert4rec, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "glintru": (glintru, {"width": 8, "heads": 2}),
    "glintru-official": (glintru_official, {"width": 8, "heads": 2}),
    "mlp4rec": (mlp4rec, {"width": 8, "layers": 2}),
    "mlp4rec-official": (mlp4rec, {"width": 8, "layers": 2}),
    "smlp4rec": (smlp4rec, {"width": 8, "layers": 2}),
    "smlp4rec-official": (smlp4rec, {"width": 8, "layers": 2}),
    "fmlprec": (fmlprec, {"width": 8, "layers": 2, "inner": 20}),
    "fmlprec-official": (fmlprec, {"width": 8, "layers": 2, "inner": 20}),
    "hstu": (hstu, {"width": 8, "heads": 2, "layers": 2, "dqk": 3, "dv": 5}),
    "linrec": (linrec, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "linrec-official": (linrec_official, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "lightsans": (lightsans, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "lightsans-official": (lightsans, {"width": 8, "heads": 2, "layers": 2, "inner": 20}),
    "lrurec": (lrurec, {"width": 8, "layers": 2}),
    "mingru4rec": (mingru4rec, {"width": 8, "layers": 2, "expansion": 1.5}),
    "sligru4rec": (sligru4rec, {"width": 8, "hidden": 6, "layers": 2}),
    "recblr": (recblr, {"width": 8, "layers": 2, "expand": 1.5}),
    "recblr-official": (recblr_official, {"width": 8, "layers": 2, "expand": 1.5}),
    "mamba4rec": (mamba4rec, {"width": 20, "layers": 2, "states": 3}),
    "sigma": (sigma, {"width": 20, "layers": 2, "states": 3}),
    "sigma-official": (sigma, {"width": 20, "layers": 2, "states": 3}),
    "tim4rec": (tim4rec, {"width": 8, "heads": 2, "layers": 2, "states": 3}),
    "tim4rec-official": (tim4rec_official, {"width": 8, "heads": 2, "layers": 2, "states": 3}),
    "pop": (lambda settings: 0, {}),
    "markov": (lambda settings: 0, {}),
    "itemknn": (lambda settings: 0, {}),
}


def transforms(settings: Any) -> dict[str, int]:
    """All layers but the last: there and back. The last one: back, to have its filter over time."""
    one = settings.width * round(2.5 * L * math.log2(L))
    return {"Fourier transform": (2 * (settings.layers - 1) + 1) * one}


def depth_wise(settings: Any, channels: int, layers: int = 2) -> int:
    return layers * L * channels * 2 * settings.taps


def mamba_events(settings: Any, scans: int) -> dict[str, int]:
    """An event of a channel: delta u, and for each state exp(delta A), its product with the state,
    the input and the sum. To read the state by C is a product."""
    inner = settings.expand * settings.width
    return {
        "selective scan": scans * L * inner * (1 + 5 * settings.states),
        "depth-wise convolution": depth_wise(settings, inner, scans),
    }


def gated_scan(settings: Any, warm_up: int) -> dict[str, int]:
    """What stands in front of the history, up to a power of two, is scanned but not convolved."""
    channels = settings.channels
    return {
        "linear scan": settings.layers * 2 * (L + warm_up) * channels,
        "depth-wise convolution": depth_wise(settings, channels),
    }


def duality(settings: Any, sums: int) -> dict[str, int]:
    """Two chunks: their decays weigh each pair and each channel, and the states go over."""
    inner, heads = settings.expand * settings.width, settings.heads
    time = 2 * depth_wise(settings, heads, settings.layers)  # two in a row
    events = depth_wise(settings, inner + 2 * settings.states, settings.layers)
    return {
        "state-space duality": settings.layers * CHUNKED * 3 * (heads * CHUNK + inner),
        "linear scan": settings.layers * 2 * (CHUNKED // CHUNK) * inner * settings.states,
        "depth-wise convolution": events + time,
        "running sum": settings.layers * CHUNKED * heads + sums,
    }


# Models that are not here have nothing that the counter passes over.
SCANS: dict[str, Callable[[Any], dict[str, int]]] = {
    "fmlprec": transforms,
    "fmlprec-official": transforms,
    "linrec": lambda settings: {  # of k v' over the two chunks, where the last block has none
        "running sum": (settings.layers - 1) * settings.width * settings.width // settings.heads
    },
    "lightsans": lambda settings: {"running sum": settings.layers * settings.heads * L * L},
    "lightsans-official": lambda settings: {
        "running sum": settings.layers * settings.heads * L * L
    },
    "lrurec": lambda settings: {"linear scan": settings.layers * 8 * L * 2 * settings.width},
    "mingru4rec": lambda settings: {
        "linear scan": settings.layers * 2 * L * int(settings.width * settings.expansion)
    },
    "recblr": lambda settings: gated_scan(settings, warm_up=0),
    "recblr-official": lambda settings: gated_scan(settings, warm_up=64 - L),
    "mamba4rec": lambda settings: mamba_events(settings, settings.layers),
    "sigma": lambda settings: mamba_events(settings, 2 * settings.layers),
    "sigma-official": lambda settings: mamba_events(settings, 2 * settings.layers),
    # Mean and variance so far, before the layers and for each head between them, where the gate of
    # a head is one too.
    "tim4rec": lambda settings: duality(
        settings, 2 * L + 3 * (settings.layers - 1) * settings.heads * L
    ),
    "tim4rec-official": lambda settings: duality(settings, 0),
}


def test_every_model_has_a_hand_count() -> None:
    assert set(registry.names()) == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_counter_agrees_with_the_hand(name: str) -> None:
    by_hand, chosen = CASES[name]
    model = registry.get(name)
    settings = model.Settings(**chosen)
    recommender = Recommender(model, settings, V, L)
    scoring = 0 if model.has_scores() else 2 * V * recommender.encoder.width  # looked up, or a GEMM
    found = request_flops(recommender)
    assert found.name == "flops.request"
    assert found.unit == "FLOP"
    assert found.value == by_hand(settings) + scoring


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_the_counter_passes_over_agrees_with_the_hand(name: str) -> None:
    model, chosen = registry.get(name), CASES[name][1]
    settings = model.Settings(**chosen)
    by_hand = SCANS[name](settings) if name in SCANS else {}
    recommender = Recommender(model, settings, V, L)
    assert request(recommender).scans == by_hand
    found = request_scans(recommender)
    assert (found.name, found.unit) == ("flops.request.scans", "FLOP")
    assert found.value == sum(by_hand.values())
    assert all(kind in found.method for kind in by_hand or ["there are none"])


def test_what_is_told_is_counted_while_somebody_asks_and_by_all_who_do() -> None:
    tally("scan", 1)
    with counting() as outer:
        tally("scan", 2)
        with counting() as inner:
            tally("scan", 4)
            tally("sum", 8)
    tally("scan", 16)
    assert outer == {"scan": 6, "sum": 8}
    assert inner == {"scan": 4, "sum": 8}


def test_an_error_ends_the_counting() -> None:
    with pytest.raises(RuntimeError, match="lost"), counting() as counted:
        raise RuntimeError("lost")
    tally("scan", 1)
    assert counted == {}


def test_whole_numbers_are_no_floating_point_operations() -> None:
    ids = torch.arange(12)
    assert flops_of(lambda: ids.cumsum(0)) == Flops(0, {})
    assert flops_of(lambda: ids.float().cumsum(0)) == Flops(0, {"running sum": 12})


def test_transforms_count_by_what_is_real() -> None:
    x = torch.randn(3, 8)
    one = round(2.5 * 24 * 3)  # log2 8 = 3

    def transformed(work: Callable[[], object]) -> int:
        return flops_of(work).scans["Fourier transform"]

    assert transformed(lambda: torch.fft.rfft(x)) == one
    assert transformed(lambda: torch.fft.irfft(torch.fft.rfft(x))) == 2 * one
    assert transformed(lambda: torch.fft.fft(x.to(torch.complex64))) == 2 * one
    assert flops_of(lambda: torch.fft.rfft(x[:, :1])).total == 0  # of one value: itself


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_batch_costs_what_encoding_it_whole_costs(name: str) -> None:
    model = registry.get(name)
    recommender = Recommender(model, model.Settings(**CASES[name][1]), V, L).eval()
    items_BL = torch.ones(5, L, dtype=torch.int64)
    ends_B = torch.full((5,), L)
    batch = Batch(items_BL, ends_B, items_BL, ends_B + 1)
    whole = flops_of(lambda: recommender.score(recommender.represent(batch)))
    assert request(recommender, batch=5) == whole
    assert whole.total == whole.products + sum(whole.scans.values())
    assert "5 histories" in request_flops(recommender, batch=5).method


def test_half_a_history_costs_half_a_recurrence() -> None:
    model = registry.get("gru4rec")
    recommender = Recommender(model, model.Settings(width=8, hidden=6), V, L)
    whole, half = request_flops(recommender).value, request_flops(recommender, L // 2).value
    assert whole is not None
    assert half is not None
    assert whole - half == 2 * (L // 2) * 3 * 6 * (8 + 6)


@pytest.mark.parametrize("training", [True, False])
def test_the_recommender_is_left_as_it_was(training: bool) -> None:
    model = registry.get("sasrec")
    recommender = Recommender(model, model.Settings(), V, L).train(training)
    request_flops(recommender)
    assert recommender.training is training
    assert all(weight.grad is None for weight in recommender.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_number_does_not_depend_on_the_machine() -> None:
    model = registry.get("glintru")
    recommender = Recommender(model, model.Settings(), V, L)
    on_cpu = request_flops(recommender)
    assert request_flops(recommender.cuda()) == on_cpu
    assert recommender.table.weight.is_cuda
