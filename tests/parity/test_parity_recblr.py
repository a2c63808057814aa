"""RecBLR is the published code: numbers of the reference in float64.

`recblr-official` is held against them as they are, `recblr` where the reference ran without the
rows of zeros that it puts in front (case `l2_nopad`).
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden import (
    EXACT,
    Golden,
    assert_same_gradients,
    assert_same_outputs_loss_and_gradients,
    assert_same_states,
    build,
    histories,
)
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.recblr import Block, RecBLRSettings
from srbench.models.scan import linear_scan
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

WITH_GRADIENTS = [Golden("recblr", case) for case in ("l1", "l2", "alt")]
OTHER_LENGTHS = [Golden("recblr", case) for case in ("l2_len8", "l2_len9")]
PAPER = Golden("recblr", "l2_nopad")
BLOCKS = [Golden("recblr", case) for case in ("block_gated", "block_gated_len8")]


def of_block(name: str) -> str:
    name = name.replace("behavior_modeling.", "").replace("input.", "in_proj.")
    name = name.replace("output.", "out_proj.").replace("ffn.layer_norm.", "ffn.norm.")
    return name.replace("layer_norm.", "norm_recurrence.").replace("ffn.w_", "ffn.dense_")


def rename(name: str) -> str:
    if name.startswith("recurrent_layers."):
        return "encoder." + of_block(name.replace("recurrent_layers.", "blocks."))
    return name.replace("layer_norm.", "encoder.norm.").replace("item_embedding.", "table.")


def model(golden: Golden, name: str = "recblr-official") -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("num_layers"),
        "expand": golden.fact("expand"),
        "taps": golden.fact("d_conv"),
    }
    if golden.group("param"):
        return build(golden, name, rename, settings)
    weights = {rename(n): v for n, v in Golden("recblr", "l2").group("param").items()}
    kind = get(name)
    n_items, length = golden.fact("n_items") - 1, golden.fact("max_len")
    recommender = Recommender(kind, kind.Settings(**settings), n_items, length).double().eval()
    recommender.load_state_dict(weights, strict=True)
    return recommender


def block(golden: Golden) -> Block:
    """The gated recurrence of case l1, with the reference's rows of zeros in front."""
    settings = RecBLRSettings(width=8, expand=golden.fact("expand"), taps=golden.fact("d_conv"))
    ours = Block(settings, golden.fact("left_pad")).double().eval()
    prefix = "recurrent_layers.0."
    numbers = Golden("recblr", "l1").group("param").items()
    ours.load_state_dict({of_block(n[len(prefix) :]): v for n, v in numbers if prefix in n})
    return ours


def parts(of: Block, x_LBD: Tensor) -> dict[str, Tensor]:
    """What the reference's file names, time first."""
    seen: dict[str, Tensor] = {}
    whole = of.event

    def event(u_BC: Tensor) -> tuple[Tensor, Tensor]:
        a_BC, b_BC = whole(u_BC)
        if u_BC.dim() == 3:  # not the start
            seen.update(conv_act=u_BC, alpha=a_BC, beta_x=b_BC)
        return a_BC, b_BC

    of.event = event  # type: ignore[method-assign]
    h_LBC = of.states(x_LBD)
    z_LBC = F.linear(x_LBD, of.in_proj.weight.chunk(2)[1])
    return seen | {"h": h_LBC, "y": of.out_proj(F.silu(z_LBC) * h_LBC)}


@pytest.mark.parametrize("golden", WITH_GRADIENTS, ids=str)
def test_outputs_loss_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    assert_same_outputs_loss_and_gradients(golden, model(golden), rename)


@pytest.mark.parametrize("golden", [*WITH_GRADIENTS, *OTHER_LENGTHS], ids=str)
def test_prefixes_are_the_states_of_the_reference(golden: Golden) -> None:
    assert_same_states(golden, model(golden))


@pytest.mark.parametrize("golden", OTHER_LENGTHS, ids=str)
def test_outputs_and_loss_in_windows_of_other_lengths(golden: Golden) -> None:
    assert_same_outputs(golden, model(golden))


def test_the_paper_s_model_is_the_code_without_rows_in_front_states_outputs_and_loss() -> None:
    recommender = model(PAPER, "recblr")
    assert_same_states(PAPER, recommender)
    assert_same_outputs(PAPER, recommender)


def assert_same_outputs(golden: Golden, recommender: Recommender) -> None:
    out = golden.group("out")
    h_BD = recommender.represent(histories(golden))
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    loss = cross_entropy(h_BD, recommender.table.weight, golden.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)


def test_each_history_in_a_window_of_its_own_length() -> None:
    golden = Golden("recblr", "l2")
    batch, kind = histories(golden), get("recblr-official")
    weights = model(golden).state_dict()
    for row, length in enumerate(batch.lengths_B.tolist()):
        alone = Recommender(kind, kind.Settings(width=8), 19, length).double().eval()
        alone.load_state_dict(weights)
        h_BD = alone.represent(
            Batch(batch.items_BL[row : row + 1, :length], torch.tensor([length]))
        )
        torch.testing.assert_close(h_BD[0], golden.group("test")["unpadded_last"][row], **EXACT)


@pytest.mark.parametrize("name", ["l2", "l2_nopad"])
def test_steps_end_at_the_last_states_of_the_reference(name: str) -> None:
    golden = Golden("recblr", name)
    recommender = model(golden, "recblr" if golden.case == PAPER.case else "recblr-official")
    batch, last_BD = histories(golden), golden.group("out")["last"]
    for row, length in enumerate(batch.lengths_B.tolist()):
        state = recommender.init_state(1)
        for t in range(length):
            h_BD, state = recommender.step(batch.items_BL[row, t : t + 1], state)
        torch.testing.assert_close(h_BD[0], last_BD[row], **EXACT)


def test_the_score_of_the_target_is_what_the_reference_predicts() -> None:
    golden = Golden("recblr", "l2")
    recommender, targets_B = model(golden), golden.group("input")["pos_items"]
    s_B1 = recommender.score(recommender.represent(histories(golden)), targets_B[:, None])
    torch.testing.assert_close(s_B1[:, 0], golden.group("out")["predict"], **EXACT)


def test_pairwise_loss_and_its_gradient_are_those_of_the_reference() -> None:
    golden, inputs = Golden("recblr", "l2_bpr"), Golden("recblr", "l2").group("input")
    recommender = model(Golden("recblr", "l2"))
    h_BD = recommender.represent(histories(Golden("recblr", "l2")))
    pair_B2 = torch.stack([inputs["pos_items"], golden.group("input")["neg_items"]], dim=1)
    right_B, wrong_B = recommender.score(h_BD, pair_B2).unbind(1)
    loss = -torch.log(golden.fact("gamma") + torch.sigmoid(right_B - wrong_B)).mean()
    torch.testing.assert_close(loss, golden.group("out")["loss"], **EXACT)
    loss.backward()
    assert_same_gradients(golden, recommender, rename)


@pytest.mark.parametrize("golden", BLOCKS, ids=str)
def test_the_recurrent_block_alone_with_its_decays_states_and_gradients(golden: Golden) -> None:
    ours, inputs, out = block(golden), golden.group("input"), golden.group("out")
    x_BLD, rows = inputs["x"].requires_grad_(), golden.fact("left_pad")
    seen = parts(ours, x_BLD.transpose(0, 1))
    torch.testing.assert_close(seen["y"].transpose(0, 1), out["y"], **EXACT)
    for name in ("conv_act", "alpha", "beta_x", "h"):
        torch.testing.assert_close(seen[name].transpose(0, 1), out[name][:, rows:], **EXACT)
    if rows:
        start_BC = ours.start_C().expand(len(x_BLD), -1)
        torch.testing.assert_close(start_BC, out["h"][:, rows - 1], **EXACT)
    (seen["y"].transpose(0, 1) * inputs["dy"]).sum().backward()
    assert x_BLD.grad is not None
    gradients = golden.group("grad")
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        parameter = ours.get_parameter(of_block(name))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, value, **EXACT)


@pytest.mark.parametrize("case", ["scan", "scan_len5"])
def test_the_scan_alone_with_its_gradients(case: str) -> None:
    golden = Golden("recblr", case)
    a, b, dh = (golden.group("input")[n].transpose(0, 1) for n in ("a", "b", "dh"))
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    h = linear_scan(a, b)
    torch.testing.assert_close(h.transpose(0, 1), golden.group("out")["h"], **EXACT)
    for name, gradient in zip(("a", "b"), torch.autograd.grad(h, (a, b), dh), strict=True):
        torch.testing.assert_close(gradient.transpose(0, 1), golden.group("grad")[name], **EXACT)


@pytest.mark.parametrize(("case", "layer"), [("l1", 0), ("l2", 0), ("l2", 1)])
def test_the_scans_inside_the_runs(case: str, layer: int) -> None:
    scan = Golden("recblr", case).group(f"scan{layer}")
    a, b, h = (scan[name].transpose(0, 1) for name in ("a", "b", "h"))
    torch.testing.assert_close(linear_scan(a, b), h, **EXACT)


@pytest.mark.parametrize("channels", [16, 128])
def test_decays_begin_as_in_the_reference(channels: int) -> None:
    settings = RecBLRSettings(width=channels // 2)
    expected = Golden("recblr", "init").group("Lambda")[f"c{channels}"]
    ours = Block(settings, warm_up=0).Lambda.detach()
    torch.testing.assert_close(ours.double(), expected.double(), rtol=1e-6, atol=1e-6)
