"""TiM4Rec and state-space duality are the published ones: numbers in float64.

`tim4rec-official` is held against them as they are, `tim4rec` where no times are used: with times
it is causal, which the published model is not.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from golden import (
    EXACT,
    Golden,
    assert_same_gradients,
    assert_same_states,
    build,
    histories,
)
from torch.nn.functional import silu, softplus

from srbench.models.base import Batch, everything
from srbench.models.ssd import sequential_ssd, ssd
from srbench.recommender import Recommender
from srbench.train.losses import cross_entropy

TIMED = [Golden("tim4rec", case) for case in ("time_l2", "time_l2_p2p")]
UNTIMED = Golden("tim4rec", "notime_l2")


def rename(name: str) -> str:
    if name.startswith("item_embedding."):
        return name.replace("item_embedding.", "table.")
    for theirs, ours in (
        (r"^in_layer_norm", "norm"),
        (r"^layer_norm_time", "norm_times"),
        (r"^ssd_layers\.(\d+)\.ssd\.conv1d4time_", r"times.\1.conv_"),
        (r"^ssd_layers\.(\d+)\.ssd\.mlp4time_scale\.1", r"times.\1.mix_1"),
        (r"^ssd_layers\.(\d+)\.ssd\.mlp4time_scale\.3", r"times.\1.mix_2"),
        (r"^ssd_layers\.(\d+)\.ssd\.time_gate_residual\.1", r"times.\1.gate"),
        (r"^ssd_layers\.(\d+)\.ssd\.time_layer_norm", r"times.\1.norm"),
        (r"^ssd_layers\.(\d+)\.ssd\.", r"layers.\1.ssd."),
        (r"^ssd_layers\.(\d+)\.", r"layers.\1.behind."),
        (r"ffn\.fc(\d)", r"ffn.dense_\1"),
        (r"layer_norm", "norm"),
    ):
        name = re.sub(theirs, ours, name)
    return "encoder." + name


def model(golden: Golden, name: str = "tim4rec-official") -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "states": golden.fact("d_state"),
        "taps": golden.fact("d_conv"),
        "expand": golden.fact("expand"),
        "heads": golden.fact("n_heads"),
        "pointwise_gate": golden.fact("p2p_residual"),
        "norm_eps": golden.fact("norm_eps"),
    }
    return build(golden, name, rename, settings | ({} if golden != UNTIMED else {"time": False}))


def timed(golden: Golden) -> Batch:
    times_BL = golden.group("input")["timestamp_list"]
    assert torch.equal(times_BL, times_BL.long().double())
    return replace(histories(golden), times_BL=times_BL.long())


def assert_same(golden: Golden, recommender: Recommender) -> None:
    out = golden.group("out")
    h_BD = recommender.represent(timed(golden))
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    loss = cross_entropy(h_BD, recommender.table.weight, golden.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)
    loss.backward()
    assert_same_gradients(golden, recommender, rename)


@pytest.mark.parametrize("golden", TIMED, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same(golden, model(golden))


@pytest.mark.parametrize("golden", TIMED, ids=str)
def test_every_slot_of_the_published_window(golden: Golden) -> None:
    recommender, batch = model(golden), timed(golden)
    x_BLD = recommender.table(batch.items_BL)
    h_BLD = recommender.encoder.states(x_BLD, batch, everything).transpose(0, 1)
    torch.testing.assert_close(h_BLD, golden.group("out")["hidden"], **EXACT)


def test_without_times_outputs_loss_and_gradients_are_those_of_the_reference() -> None:
    assert_same(UNTIMED, model(UNTIMED, "tim4rec"))


def test_without_times_the_state_at_every_position() -> None:
    assert_same_states(UNTIMED, model(UNTIMED, "tim4rec"))


def test_without_times_the_state_at_every_step() -> None:
    recommender, batch = model(UNTIMED, "tim4rec"), histories(UNTIMED)
    expected = UNTIMED.group("out")["hidden"]
    state = recommender.init_state(len(batch))
    for t, items_B in enumerate(batch.items_BL.unbind(1)):
        h_BD, state = recommender.step(items_B, state)
        real = batch.lengths_B > t
        torch.testing.assert_close(h_BD[real], expected[real, t], **EXACT)


@pytest.mark.parametrize("scan", [ssd, sequential_ssd])
def test_the_scan_alone_with_its_gradients(scan: object) -> None:
    golden = Golden("ssd", "scan")
    inputs, out = golden.group("input"), golden.group("out")
    dy = inputs.pop("dy").transpose(0, 1)
    inputs = {name: value.requires_grad_() for name, value in inputs.items()}
    x, dt, b, c, z = (inputs[name].transpose(0, 1) for name in ("x", "dt", "B", "C", "z"))
    y, _ = scan(x, softplus(dt + inputs["dt_bias"]), inputs["A"], b, c)  # type: ignore[operator]
    y = (y + inputs["D"][:, None] * x) * silu(z)
    torch.testing.assert_close(y.transpose(0, 1), out["y"], **EXACT)
    (y * dy).sum().backward()
    for name, value in golden.group("grad").items():
        torch.testing.assert_close(inputs[name].grad, value, **EXACT)


@pytest.mark.parametrize("scan", [ssd, sequential_ssd])
def test_the_scan_without_softplus_and_its_last_state(scan: object) -> None:
    inputs, out = Golden("ssd", "scan").group("input"), Golden("ssd", "minimal").group("out")
    x, dt, b, c = (inputs[name].transpose(0, 1) for name in ("x", "dt", "B", "C"))
    y, s_BHPN = scan(x, dt.abs(), inputs["A"], b, c)  # type: ignore[operator]
    torch.testing.assert_close(y.transpose(0, 1), out["y"], **EXACT)
    torch.testing.assert_close(s_BHPN, out["final_state"], **EXACT)


def test_the_norm_behind_the_gate() -> None:
    golden = Golden("ssd", "rmsnorm_gated")
    inputs = golden.group("input")
    norm = torch.nn.RMSNorm(len(inputs["weight"]), eps=golden.fact("eps")).double()
    norm.load_state_dict({"weight": inputs["weight"]})
    expected = golden.group("out")["gate_first"]
    torch.testing.assert_close(norm(inputs["x"] * silu(inputs["z"])), expected, **EXACT)
