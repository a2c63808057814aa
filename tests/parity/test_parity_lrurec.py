"""LRURec is the published code: numbers of the reference in float64.

The reference pads on the left with item 0. Its pads pass nothing on, so they are nothing here, but
for one: the pad in front of a history is asked for the first item, an event of item 0 all alone.
"""

from __future__ import annotations

import pytest
import torch
from golden import EXACT, Golden
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.lrurec import Block, LRURec, LRURecSettings
from srbench.recommender import Recommender
from srbench.train.losses import cross_entropy

CASES = [Golden("lrurec", case) for case in ("b1", "b2")]


def ours(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters (or gradients) of the reference in our names and as real numbers."""
    table = [numbers[n] for n in ("embedding.token.weight", "model.bias") if n in numbers]
    found = {"table.weight": torch.column_stack(table)}
    for name, value in numbers.items():
        if name not in ("embedding.token.weight", "model.bias"):
            place = name.replace("embedding.layer_norm.", "encoder.norm.")
            place = place.replace("model.lru_blocks.", "encoder.blocks.")
            found |= {renamed(place): real(name, value)}
    return found


def renamed(name: str) -> str:
    name = name.replace("lru_layer.layer_norm.", "norm_recurrence.").replace("lru_layer.", "")
    name = name.replace("feed_forward.layer_norm.", "ffn.norm.")
    return name.replace("feed_forward.w_", "ffn.dense_")


def real(name: str, value: Tensor) -> Tensor:
    """A complex matrix as a real one: in_proj by rows; out_proj by columns, real part of the
    product, so the imaginary part counts with a minus."""
    if "in_proj." in name:
        return torch.view_as_real(value).movedim(-1, 1).flatten(0, 1)
    if "out_proj.weight" in name:
        return torch.view_as_real(value.conj().resolve_conj()).flatten(1)
    return value.real if value.is_complex() else value


def model(golden: Golden) -> Recommender:
    settings = LRURecSettings(width=golden.fact("hidden"), layers=golden.fact("num_blocks"))
    recommender = Recommender(LRURec, settings, golden.fact("num_items"), 7).double().eval()
    recommender.load_state_dict(ours(golden.group("param")), strict=True)
    return recommender


def histories(golden: Golden) -> Batch:
    """The input of the reference, moved to the left: our pads are on the right."""
    inputs = golden.group("input")
    lengths_B = inputs["item_seq_len"]
    rows = zip(inputs["item_seq"], (7 - lengths_B).tolist(), strict=True)
    return Batch(torch.stack([row.roll(-pads) for row, pads in rows]), lengths_B)


def with_pad_rows(recommender: Recommender) -> Tensor:
    """Every row of the table as the reference multiplies it, the pad row too."""
    return recommender.encoder.rows(recommender.table.weight)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_last_states_and_scores_are_those_of_the_reference(golden: Golden) -> None:
    recommender, out = model(golden), golden.group("out")
    h_BD = recommender.represent(histories(golden))
    torch.testing.assert_close(h_BD[:, :-1], out["last"], **EXACT)
    torch.testing.assert_close(h_BD[:, -1], torch.ones(4).double(), **EXACT)
    torch.testing.assert_close(h_BD[:, :-1], golden.group("test")["right_padded_last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    torch.testing.assert_close(h_BD @ with_pad_rows(recommender).t(), out["scores"], **EXACT)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_states_and_scores_at_every_event_are_those_of_the_reference(golden: Golden) -> None:
    recommender, out, batch = model(golden), golden.group("out"), histories(golden)
    h_BLD, real_BL = recommender.prefixes(batch), golden.group("input")["item_seq"] > 0
    torch.testing.assert_close(h_BLD[batch.mask_BL()][:, :-1], out["hidden"][real_BL], **EXACT)
    s_NV = h_BLD[batch.mask_BL()] @ with_pad_rows(recommender).t()
    torch.testing.assert_close(s_NV, out["scores_all"][real_BL], **EXACT)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_steps_end_at_the_last_states_of_the_reference(golden: Golden) -> None:
    recommender, batch = model(golden), histories(golden)
    last_BD = golden.group("out")["last"]
    for row, length in enumerate(batch.lengths_B.tolist()):
        state = recommender.init_state(1)
        for t in range(length):
            h_BD, state = recommender.step(batch.items_BL[row, t : t + 1], state)
        torch.testing.assert_close(h_BD[0, :-1], last_BD[row], **EXACT)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_loss_over_all_positions_and_gradients_are_those_of_the_reference(golden: Golden) -> None:
    recommender, batch, inputs = model(golden), histories(golden), golden.group("input")
    real_BL, labels_BL = inputs["item_seq"] > 0, inputs["labels"]
    asked_pads_B = labels_BL[~real_BL]
    asked_pads_B = asked_pads_B[asked_pads_B > 0]
    ones_B = torch.ones_like(asked_pads_B)
    assert len(ones_B) == 3  # all but the history that fills the window
    of_pads_BD = recommender.represent(Batch(torch.zeros_like(ones_B)[:, None], ones_B))
    h_ND = torch.cat([recommender.prefixes(batch)[batch.mask_BL()], of_pads_BD])
    labels_N = torch.cat([labels_BL[real_BL], asked_pads_B])
    asked_N = labels_N > 0
    loss = cross_entropy(h_ND[asked_N], with_pad_rows(recommender), labels_N[asked_N])
    torch.testing.assert_close(loss, golden.group("out")["loss"], **EXACT)
    loss.backward()
    gradients = ours(golden.group("grad"))
    assert "table.weight" in gradients
    for name, value in gradients.items():
        found = recommender.get_parameter(name).grad
        assert found is not None
        found = found[:, : value.shape[1]] if name == "table.weight" else found
        torch.testing.assert_close(found, value, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
    if golden.case == "b2":  # the file has them all
        assert gradients.keys() == dict(recommender.named_parameters()).keys()


def test_the_recurrent_layer_alone_with_its_states_and_gradients() -> None:
    golden = Golden("lrurec", "block_lru")
    block = Block(LRURecSettings(width=8)).double().eval()
    block.ffn = torch.nn.Identity()  # the layer ends before it
    numbers = {renamed(f"lru_layer.{n}"): real(n, v) for n, v in golden.group("param").items()}
    block.load_state_dict(numbers, strict=True)
    inputs, out, gradients = (golden.group(g) for g in ("input", "out", "grad"))
    x_BLD, mask_BL = inputs["x"].requires_grad_(), inputs["mask"]
    y_BLD, h_BLC = torch.zeros_like(out["y"]), torch.zeros_like(out["h_state"])
    for row, length in enumerate(mask_BL.sum(1).tolist()):
        pads = len(mask_BL[row]) - length
        alone = [x_BLD[row, t : t + 1, None] for t in range(pads)]  # a pad passes nothing on
        for start, x_LBD in [*enumerate(alone), (pads, x_BLD[row, pads:, None])]:
            h_LBC = block.states(x_LBD)
            y = block.norm_recurrence(block.out_proj(torch.view_as_real(h_LBC).flatten(-2)) + x_LBD)
            places = slice(start, start + len(x_LBD))
            h_BLC[row, places], y_BLD[row, places] = h_LBC[:, 0].detach(), y[:, 0]
    torch.testing.assert_close(h_BLC, out["h_state"], **EXACT)
    torch.testing.assert_close(y_BLD, out["y"], **EXACT)
    (y_BLD * inputs["dy"]).sum().backward()
    assert x_BLD.grad is not None
    torch.testing.assert_close(x_BLD.grad, gradients.pop("x"), **EXACT)
    for name, value in gradients.items():
        found = block.get_parameter(renamed(f"lru_layer.{name}")).grad
        torch.testing.assert_close(found, real(name, value), **EXACT)


def test_what_the_projection_gives_before_gamma() -> None:
    golden = Golden("lrurec", "block_lru")
    block = Block(LRURecSettings(width=8)).double()
    for name, value in golden.group("param").items():
        if name.startswith("in_proj"):
            block.get_parameter(name).data = real(name, value)
    block.params_log.data.zero_()  # gamma = 1
    u_BLC = block.input(golden.group("input")["x"])
    torch.testing.assert_close(u_BLC, golden.group("out")["in_proj"], **EXACT)
