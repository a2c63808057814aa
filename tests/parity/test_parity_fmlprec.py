"""FMLP-Rec is the published code: numbers of the reference in float64.

`fmlprec-official` is held against them as they are, `fmlprec` where there are no pads, and without
filters, where the reference masks pads. The reference pads on the left, and its loss compares one
item with one negative; both stand here and not in the models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch
from golden import EXACT, Golden, assert_same_gradients, build
from torch import Tensor

from srbench.models.base import Batch
from srbench.recommender import Recommender


@dataclass(frozen=True)
class Filters(Golden):
    """A case whose filters are read without their leading axis of one."""

    def group(self, group: str) -> dict[str, Tensor]:
        found = super().group(group)
        return {n: a.squeeze(0) if "complex_weight" in n else a for n, a in found.items()}


FILTERS = [Filters("fmlprec", case) for case in ("l1", "l2", "l2_even")]
ATTENTION = Golden("fmlprec", "nofilter_l2")
CASES = [(golden, "fmlprec-official") for golden in FILTERS] + [(ATTENTION, "fmlprec")]


def rename(name: str) -> str:
    if name.startswith("item_embeddings."):
        return name.replace("item_embeddings.", "table.")
    name = name.replace("position_embeddings.", "positions.")
    name = re.sub(r"item_encoder\.layer\.(\d+)\.", r"blocks.\1.", name)
    name = name.replace("filterlayer.complex_weight", "filter")
    name = name.replace("filterlayer.LayerNorm", "norm_filter")
    name = (
        name.replace("attention.", "").replace("LayerNorm", "norm_attention")
        if ("attention." in name)
        else name
    )
    name = name.replace("intermediate.LayerNorm", "ffn.norm").replace("intermediate.", "ffn.")
    return "encoder." + name.replace("LayerNorm.", "norm.")


def model(golden: Golden, name: str) -> Recommender:
    settings = {
        "width": golden.fact("hidden_size"),
        "layers": golden.fact("n_layers"),
        "inner": 4 * golden.fact("hidden_size"),
        "filters": not golden.fact("no_filters"),
        "heads": golden.fact("num_attention_heads"),
    }
    return build(golden, name, rename, settings)


def slots(golden: Golden) -> Tensor:
    """Where the slot s of our window stands in the reference's: events last, pads first."""
    length, lengths_B = golden.fact("max_len"), golden.group("input")["item_seq_len"]
    return (torch.arange(length) + length - lengths_B[:, None]) % length


def histories(golden: Golden) -> Batch:
    inputs = golden.group("input")
    return Batch(inputs["item_seq"].gather(1, slots(golden)), inputs["item_seq_len"])


def pairwise_loss(recommender: Recommender, golden: Golden) -> Tensor:
    inputs, tiny = golden.group("input"), 1e-24
    h_BD = recommender.represent(histories(golden))
    chosen_BK = torch.stack([inputs["pos_items"], inputs["neg_items"]], dim=1)
    wanted_B, other_B = recommender.score(h_BD, chosen_BK).sigmoid().unbind(1)
    return -((wanted_B + tiny).log() + (1 - other_B + tiny).log()).mean()


@pytest.mark.parametrize(("golden", "name"), CASES, ids=str)
def test_last_states_and_scores_are_those_of_the_reference(golden: Golden, name: str) -> None:
    recommender, out = model(golden, name), golden.group("out")
    h_BD = recommender.represent(histories(golden))
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)


@pytest.mark.parametrize(("golden", "name"), CASES, ids=str)
def test_loss_and_gradients_are_those_of_the_reference(golden: Golden, name: str) -> None:
    recommender = model(golden, name)
    loss = pairwise_loss(recommender, golden)
    torch.testing.assert_close(loss, golden.group("out")["loss"], **EXACT)
    loss.backward()
    assert_same_gradients(golden, recommender, rename)
    if golden in FILTERS:  # neither look-up nor loss moves the pad row
        assert not recommender.table.weight.grad[0].any()


@pytest.mark.parametrize(("golden", "name"), CASES, ids=str)
def test_every_slot_of_the_published_window(golden: Golden, name: str) -> None:
    recommender, batch = model(golden, name), histories(golden)
    encoder = recommender.encoder
    x_BLD = encoder.embed(recommender.table(batch.items_BL), batch.lengths_B)
    for block in encoder.blocks:
        x_BLD = block(x_BLD, batch)
    hidden_BLD = golden.group("out")["hidden"]
    expected_BLD = hidden_BLD.gather(1, slots(golden)[..., None].expand_as(hidden_BLD))
    same_BL = torch.ones_like(batch.mask_BL()) if golden in FILTERS else batch.mask_BL()
    torch.testing.assert_close(x_BLD[same_BL], expected_BLD[same_BL], **EXACT)


@pytest.mark.parametrize("golden", FILTERS[:2], ids=str)
def test_fmlprec_is_the_published_model_where_there_are_no_pads(golden: Golden) -> None:
    h_BD = model(golden, "fmlprec").represent(histories(golden))
    expected_BD = golden.group("out")["last"]
    torch.testing.assert_close(h_BD[0], expected_BD[0], **EXACT)  # it fills the window
    assert not torch.allclose(h_BD[1:], expected_BD[1:])  # these have pads
