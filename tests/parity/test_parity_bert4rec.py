"""BERT4Rec is RecBole's: numbers of the reference in float64.

Its item table has the mask as its last row and its output bias beside it; here the mask is the
encoder's and the bias the last column of the table.
"""

from __future__ import annotations

import pytest
import torch
from golden import EXACT, Golden, histories, rename_transformer
from torch import Tensor

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

CASES = [Golden("bert4rec", case) for case in ("l1", "l2")]


def rename(name: str) -> str:
    name = rename_transformer(name)
    name = name.replace("output_ffn.", "encoder.head.").replace("output_ln.", "encoder.norm_head.")
    return name


def ours(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of the reference, or their gradients, as they stand here."""
    items_VD, bias_V = theirs.pop("item_embedding.weight"), theirs.pop("output_bias")
    table = torch.cat([items_VD[:-1], bias_V[:, None]], dim=1)
    renamed = {rename(name): value for name, value in theirs.items()}
    return renamed | {"table.weight": table, "encoder.mask": items_VD[-1]}


@pytest.fixture(params=CASES, ids=str)
def golden(request: pytest.FixtureRequest) -> Golden:
    return request.param


@pytest.fixture
def recommender(golden: Golden) -> Recommender:
    kind = get("bert4rec")
    settings = kind.Settings(
        width=golden.fact("hidden_size"),
        layers=golden.fact("n_layers"),
        heads=golden.fact("n_heads"),
        inner=golden.fact("inner_size"),
    )
    n_items, length = golden.fact("n_items") - 1, golden.fact("max_len")
    recommender = Recommender(kind, settings, n_items, length).double().eval()
    recommender.load_state_dict(ours(golden.group("param")), strict=True)
    return recommender


def hiding(golden: Golden, sequences: str) -> Batch:
    """The reference's input with its mask tokens as hidden events."""
    inputs = golden.group("input")
    items_BL = inputs[sequences]
    lengths_B = (items_BL > 0).sum(1)
    return Batch(items_BL * (items_BL != golden.fact("mask_token")), lengths_B)


@pytest.mark.parametrize(
    ("sequences", "states"), [("test_seq", "hidden"), ("masked_item_seq", "hidden_masked")]
)
def test_states_at_all_events_are_those_of_the_reference(
    golden: Golden, recommender: Recommender, sequences: str, states: str
) -> None:
    batch, encoder = hiding(golden, sequences), recommender.encoder
    inside_BL, hidden_BL = batch.mask_BL(), batch.hidden_BL()
    expected_BLD = golden.group("out")[states]
    h_ND = recommender.cloze(batch)
    torch.testing.assert_close(h_ND[:, :-1], expected_BLD[hidden_BL], **EXACT)
    x_BLD = recommender.embedded(batch.items_BL)[..., :-1]
    x_BLD = torch.where(hidden_BL[..., None], encoder.mask, x_BLD)
    h_ND = encoder.answers(encoder.embed(x_BLD), inside_BL, inside_BL)
    torch.testing.assert_close(h_ND[:, :-1], expected_BLD[inside_BL], **EXACT)


def test_last_states_and_scores_are_those_of_the_reference(
    golden: Golden, recommender: Recommender
) -> None:
    """It drops the oldest event of every history; here only the full one, row 0, loses it."""
    out = golden.group("out")
    h_BD = recommender.cloze(hiding(golden, "test_seq"))
    torch.testing.assert_close(h_BD[:, :-1], out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)

    whole = histories(golden)
    torch.testing.assert_close(recommender.represent(whole)[0], h_BD[0], **EXACT)
    without_oldest = Batch(whole.items_BL.roll(-1, 1)[1:3], whole.lengths_B[1:3] - 1)
    torch.testing.assert_close(recommender.represent(without_oldest), h_BD[1:3], **EXACT)


def test_loss_and_gradients_are_those_of_the_reference(
    golden: Golden, recommender: Recommender
) -> None:
    """A mask at the first event and all but the last m masks do not count there."""
    inputs, masked = golden.group("input"), hiding(golden, "masked_item_seq")
    places_BL = torch.zeros_like(masked.items_BL)
    places_BL.scatter_(1, inputs["masked_index"], inputs["pos_items"])
    places_BL[:, 0] = 0
    targets_N = places_BL[masked.hidden_BL()]
    counted_N = targets_N > 0
    table, first = recommender.classes()
    assert first == 0  # the pad row is a class
    loss = cross_entropy(recommender.cloze(masked)[counted_N], table, targets_N[counted_N])
    torch.testing.assert_close(loss, golden.group("out")["loss"], **EXACT)
    loss.backward()

    gradients = golden.group("grad")
    if "output_bias" not in gradients:  # the second case holds the item table's alone
        table_grad = recommender.table.weight.grad
        assert table_grad is not None and recommender.encoder.mask.grad is not None
        theirs = gradients.pop("item_embedding.weight")
        torch.testing.assert_close(table_grad[1:, :-1], theirs[1:-1], **EXACT)
        torch.testing.assert_close(recommender.encoder.mask.grad, theirs[-1], **EXACT)
        assert not gradients
        return
    for name, value in ours(gradients).items():
        grad = recommender.get_parameter(name).grad
        assert grad is not None, f"{name} has no gradient"
        torch.testing.assert_close(grad, value, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
