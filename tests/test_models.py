"""What every registered model must keep: a new model is tested by being there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from srbench.models.base import Batch, Encoder
from srbench.recommender import Recommender
from srbench.registry import get, names
from srbench.train.losses import cross_entropy

N_ITEMS, LENGTH = 19, 9
CLOSE = {"rtol": 0.0, "atol": 1e-10}

# Beside the small model: every option that changes the computation.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "bert4rec": [{"layers": 1}, {"heads": 1}],
    "fmlprec": [{"layers": 1}, {"filters": False}, {"filters": False, "layers": 1}],
    "fmlprec-official": [{"layers": 1}],
    "glintru": [
        {"kernel": 1},
        {"kernel": 5},
        {"kernel": 7, "layers": 2},
        {"layers": 3},
        {"selective_gate": False},
        {"attention": False},
        {"gated_mlp": False},
    ],
    "gru4rec": [{"layers": 2}, {"hidden": 5}],
    "itemknn": [{"recent": 1}, {"recent": 20, "decay": 0.5, "neighbours": 2}],
    "lightsans": [{"layers": 1}, {"interests": 1, "layers": 3}, {"heads": 1}],
    "lightsans-official": [{"layers": 1}],
    "linrec": [{"keys": "history"}, {"layers": 1}, {"heads": 1}],
    "linrec-official": [{"keys": "history"}, {"layers": 1}],
    "hstu": [
        {"target_time": True},
        {"time": False},
        {"concat_ua": True, "dqk": 3, "dv": 5},
        {"layers": 3},
    ],
    "lrurec": [{"layers": 1}, {"layers": 3}],
    "mamba4rec": [{"layers": 2}, {"taps": 1, "states": 3}, {"taps": 6, "expand": 1}],
    "mlp4rec": [{"layers": 1}, {"layers": 1, "item_feature": False}, {"item_feature": False}],
    "mlp4rec-official": [{"layers": 1}, {"item_feature": False}],
    "mingru4rec": [{"layers": 2}, {"cell": "minlstm"}, {"expansion": 1.5, "layers": 2}],
    "sasrec": [{"layers": 1}, {"heads": 1}],
    "sigma": [{"layers": 2}, {"kept": 0}, {"kept": 2, "taps": 2}],
    "sigma-official": [{"layers": 2}, {"flipped": 3}],
    "smlp4rec": [{"layers": 2}, {"item_feature": False}, {"layers": 3, "expansion": 1}],
    "smlp4rec-official": [{"layers": 2}, {"item_feature": False}],
    "tim4rec": [{"layers": 1}, {"time": False}, {"pointwise_gate": True, "taps": 2}],
    "tim4rec-official": [{"layers": 1}, {"pointwise_gate": True}, {"activation": "silu"}],
    "sligru4rec": [{"cell": "ligru"}, {"layers": 2, "affine": True}, {"activation": "tanh"}],
}
CASES = [(name, {}) for name in names()]
CASES += [(name, options) for name, variants in VARIANTS.items() for options in variants]


def small(name: str, options: dict[str, Any]) -> Recommender:
    """The model at width 8 with random weights everywhere, norms and biases too."""
    kind = get(name)
    narrow = {"width": 8, "heads": 2, "hidden": 8, "inner": 16}
    settings = {n: v for n, v in narrow.items() if n in kind.Settings.model_fields} | options
    torch.manual_seed(0)
    recommender = Recommender(kind, kind.Settings(**settings), N_ITEMS, LENGTH).double().eval()
    if kind.learns == "counts":
        lengths = torch.tensor([0, 4, 1, 0, 9, 30])
        items = torch.randint(1, N_ITEMS + 1, (int(lengths.sum()),))
        recommender.fit_by_counting(items, torch.cat([lengths[:1], lengths.cumsum(0)]))
        return recommender
    for parameter in recommender.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return recommender


def random_batch(seed: int = 1) -> Batch:
    """Histories of all kinds of length, with random items behind their ends."""
    generator = torch.Generator().manual_seed(seed)
    lengths_B = torch.tensor([LENGTH, 1, 2, 3, 5, 8])
    items_BL = torch.randint(1, N_ITEMS + 1, (len(lengths_B), LENGTH), generator=generator)
    times_BL = torch.randint(0, 10**6, items_BL.shape, generator=generator).cumsum(1)
    target_times_B = times_BL.gather(1, lengths_B[:, None] - 1).squeeze(1) + 10**5
    return Batch(items_BL, lengths_B, times_BL, target_times_B)


def emptied(batch: Batch) -> Batch:
    """The same histories with nothing behind their ends."""
    assert batch.times_BL is not None
    mask_BL = batch.mask_BL()
    return replace(batch, items_BL=batch.items_BL * mask_BL, times_BL=batch.times_BL * mask_BL)


def alone(batch: Batch, row: int, end: int) -> Batch:
    """The first `end` events of a row; what is to be predicted is the event behind them."""
    assert batch.times_BL is not None and batch.target_times_B is not None
    times_BL, whole = batch.times_BL[row : row + 1], end == batch.lengths_B[row]
    target_times_B = batch.target_times_B[row : row + 1] if whole else times_BL[:, end]
    items_BL = batch.items_BL[row : row + 1, :end]
    return Batch(items_BL, torch.tensor([end]), times_BL[:, :end], target_times_B)


@pytest.fixture(params=CASES, ids=lambda c: "-".join([c[0], *map(str, c[1].items())]))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return small(*request.param)


def test_the_representation_of_a_history_does_not_depend_on_its_batch(
    recommender: Recommender,
) -> None:
    batch = random_batch()
    if not recommender.encoder.pad_invariant:
        batch = emptied(batch)
    h_BD = recommender.represent(batch)
    assert h_BD.shape == (len(batch), recommender.encoder.width)
    for row, end in enumerate(batch.lengths_B.tolist()):
        torch.testing.assert_close(
            h_BD[row], recommender.represent(alone(batch, row, end))[0], **CLOSE
        )


def test_pads_change_a_model_exactly_if_it_says_so(recommender: Recommender) -> None:
    batch = random_batch()
    empty = emptied(batch)
    filled_BD, empty_BD = recommender.represent(batch), recommender.represent(empty)
    same = torch.allclose(filled_BD, empty_BD, **CLOSE)
    assert same == recommender.encoder.pad_invariant
    torch.testing.assert_close(filled_BD[0], empty_BD[0], **CLOSE)  # it has no pads


def test_prefixes_are_forward_of_every_prefix(recommender: Recommender) -> None:
    if not recommender.encoder.can_prefixes(recommender.settings):
        with pytest.raises(NotImplementedError):
            recommender.prefixes(random_batch())
        return
    batch = random_batch()
    h_BLD = recommender.prefixes(batch)
    for row, length in enumerate(batch.lengths_B.tolist()):
        for end in range(1, length + 1):
            expected = recommender.represent(alone(batch, row, end))[0]
            torch.testing.assert_close(h_BLD[row, end - 1], expected, **CLOSE)


def test_gradients_through_prefixes_are_those_through_forward(recommender: Recommender) -> None:
    kind = type(recommender.encoder)
    if not kind.can_prefixes(recommender.settings) or kind.learns != "gradient":
        return
    batch = random_batch()
    generator = torch.Generator().manual_seed(2)
    targets_BL = torch.randint(1, N_ITEMS, batch.items_BL.shape, generator=generator)

    def gradients(h_ND: torch.Tensor, targets_N: torch.Tensor) -> list[torch.Tensor]:
        recommender.zero_grad()
        (cross_entropy(h_ND, recommender.table.weight, targets_N) * len(targets_N)).backward()
        return [p.grad.clone() for p in recommender.parameters() if p.grad is not None]

    mask_BL = batch.mask_BL()
    fast = gradients(recommender.prefixes(batch)[mask_BL], targets_BL[mask_BL])
    places = [(r, e) for r, n in enumerate(batch.lengths_B.tolist()) for e in range(1, n + 1)]
    one_by_one = torch.cat([recommender.represent(alone(batch, r, e)) for r, e in places])
    slow = gradients(one_by_one, torch.stack([targets_BL[r, e - 1] for r, e in places]))
    assert len(fast) == len(slow) > 0
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_forward_is_cloze_with_the_event_behind_the_history_hidden(
    recommender: Recommender,
) -> None:
    batch = random_batch()
    if not recommender.encoder.has_cloze():
        with pytest.raises(NotImplementedError):
            recommender.cloze(batch)
        return
    h_BD = recommender.represent(batch)
    for row, length in enumerate(batch.lengths_B.tolist()):
        kept = min(length, LENGTH - 1)
        items = [*batch.items_BL[row, length - kept : length].tolist(), 0, 3]  # 3 is behind the end
        behind = Batch(torch.tensor([items[:LENGTH]]), torch.tensor([kept + 1]))
        torch.testing.assert_close(recommender.cloze(behind)[0], h_BD[row], **CLOSE)


def test_cloze_answers_row_by_row_and_in_the_order_of_events(recommender: Recommender) -> None:
    if not recommender.encoder.has_cloze():
        return
    batch = random_batch()
    hidden_BL = (torch.arange(LENGTH) % 3 == 1) & batch.mask_BL()
    batch = replace(batch, items_BL=batch.items_BL.masked_fill(hidden_BL, 0))
    h_ND = recommender.cloze(batch)
    assert len(h_ND) == hidden_BL.sum() > 3
    alone_ND = [
        recommender.cloze(Batch(batch.items_BL[row : row + 1, :length], batch.lengths_B[[row]]))
        for row, length in enumerate(batch.lengths_B.tolist())
    ]
    torch.testing.assert_close(torch.cat(alone_ND), h_ND, **CLOSE)


def test_steps_are_forward_of_the_history_so_far(recommender: Recommender) -> None:
    batch = random_batch()
    if not recommender.encoder.has_step():
        with pytest.raises(NotImplementedError):
            recommender.init_state(len(batch))
        return
    state = recommender.init_state(len(batch))
    for end in range(1, LENGTH + 1):
        h_BD, state = recommender.step(batch.items_BL[:, end - 1], state)
        full = Batch(batch.items_BL[:, :end], torch.full((len(batch),), end))
        torch.testing.assert_close(h_BD, recommender.represent(full), **CLOSE)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_time_of_the_target_is_seen_exactly_if_a_setting_says_so(
    name: str, options: dict[str, Any]
) -> None:
    recommender, batch = small(name, options), random_batch()
    assert batch.target_times_B is not None
    later = replace(batch, target_times_B=batch.target_times_B + 10**7)
    same = torch.equal(recommender.represent(batch), recommender.represent(later))
    assert same == (not options.get("target_time", False))


def test_dropout_only_in_training(recommender: Recommender) -> None:
    batch = random_batch()
    before = recommender.represent(batch)
    torch.testing.assert_close(recommender.represent(batch), before, rtol=0, atol=0)
    if type(recommender.encoder).learns == "gradient":
        assert not torch.allclose(recommender.train().represent(batch), before)


def test_scores_have_one_column_an_item_and_one_path(recommender: Recommender) -> None:
    h_BD = recommender.represent(random_batch())
    s_BV = recommender.score(h_BD)
    assert s_BV.shape == (6, N_ITEMS)
    items_BK = torch.randint(1, N_ITEMS + 1, (6, 4))
    torch.testing.assert_close(recommender.score(h_BD, items_BK), s_BV.gather(1, items_BK - 1))
    torch.testing.assert_close(recommender.score_range(h_BD, 5, 8), s_BV[:, 5:8])


@pytest.mark.parametrize("name", names())
def test_a_model_explains_itself(name: str) -> None:
    kind = get(name)
    assert issubclass(kind, Encoder)
    assert kind.info.family in ("RNN", "Transformer", "MLP", "SSM", "reference")
    assert kind.info.summary.endswith(".")
    assert kind.__doc__
    for field in kind.Settings.model_fields.values():
        assert field.description


@pytest.mark.parametrize("name", names())
def test_equal_seeds_make_equal_models(name: str) -> None:
    kind = get(name)
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        weights.append(Recommender(kind, kind.Settings(), N_ITEMS, LENGTH).state_dict())
    for ours, theirs in zip(weights[0].values(), weights[1].values(), strict=True):
        if kind.learns == "gradient":
            assert torch.equal(ours, theirs)


def test_popularity_counts_the_training_part() -> None:
    recommender = Recommender(get("pop"), get("pop").Settings(), 4, LENGTH)
    recommender.fit_by_counting(torch.tensor([1, 2, 2, 4, 2, 1]), torch.tensor([0, 3, 6]))
    s_BV = recommender.score(recommender.represent(Batch(torch.tensor([[3]]), torch.tensor([1]))))
    assert s_BV.tolist() == [[2.0, 3.0, 0.0, 1.0]]


def test_initialisation_is_that_of_the_reference() -> None:
    torch.manual_seed(0)
    sasrec = Recommender(get("sasrec"), get("sasrec").Settings(), 999, 50)
    assert sasrec.table.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert sasrec.encoder.blocks[0].dense_1.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for name in ("gru4rec", "glintru"):
        narrow = {"width": 64, "heads": 8} if name == "glintru" else {}
        recommender = Recommender(get(name), get(name).Settings(**narrow), 999, 50)
        xavier = (2 / (1000 + 64)) ** 0.5
        assert recommender.table.weight.std().item() == pytest.approx(xavier, rel=0.02)
        in_layer = recommender.encoder.gru.weight_ih_l0
        bound = (6 / sum(in_layer.shape)) ** 0.5
        assert in_layer.abs().max().item() == pytest.approx(bound, rel=0.01)
