"""HSTU is the authors' research code: numbers of the reference in float64.

The reference gives each event the time of the next one, so here `target_time` is on; it divides by
the width that it pads to, so that is the window here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden import EXACT, Golden
from torch import Tensor

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.registry import get

CASES = [Golden("hstu", case) for case in ("b2", "b1h1_concat_ua")]


def rename(name: str) -> str:
    name = name.replace("_embedding_module._item_emb.", "table.")
    name = name.replace("_input_features_preproc._pos_emb.", "encoder.positions.")
    name = name.replace("_hstu._attention_layers.", "encoder.blocks.").replace("._o.", ".out.")
    name = name.replace("_rel_attn_bias._ts_w", "time_bias")
    return name.replace("_rel_attn_bias._pos_w", "distance_bias").replace("._uvqk", ".uvqk")


def by_distance(weight: Tensor) -> Tensor:
    """The reference holds p[N - 1 + j - i] for later events j too; ours p[i - j]."""
    return weight[: (len(weight) + 1) // 2].flip(0)


def model(golden: Golden, *, target_time: bool = True) -> Recommender:
    kind = get("hstu")
    settings = kind.Settings(
        width=golden.fact("embedding_dim"),
        layers=golden.fact("num_blocks"),
        heads=golden.fact("num_heads"),
        dqk=golden.fact("dqk"),
        dv=golden.fact("dv"),
        concat_ua=golden.fact("concat_ua"),
        temperature=golden.fact("temperature"),
        target_time=target_time,
    )
    recommender = Recommender(kind, settings, golden.fact("n_items") - 1, golden.fact("N"))
    weights = {rename(name): value for name, value in golden.group("param").items()}
    weights |= {n: by_distance(w) for n, w in weights.items() if n.endswith("distance_bias")}
    recommender.double().eval().load_state_dict(weights, strict=True)
    return recommender


def histories(golden: Golden) -> Batch:
    """The reference keeps the target's time in the slot behind the history."""
    inputs = golden.group("input")
    lengths_B, times_BL = inputs["past_lengths"], inputs["timestamps"]
    target_times_B = times_BL.gather(1, lengths_B[:, None]).squeeze(1)
    batch = Batch(inputs["past_ids"], lengths_B, times_BL, target_times_B)
    return replace(batch, times_BL=times_BL * batch.mask_BL())


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_states_and_scores_are_those_of_the_reference(golden: Golden) -> None:
    recommender, batch, out = model(golden), histories(golden), golden.group("out")
    temperature = golden.fact("temperature")  # the reference divides in its loss
    mask_BL = batch.mask_BL()
    h_BLD = recommender.prefixes(batch) * temperature
    torch.testing.assert_close(h_BLD[mask_BL], out["hidden"][mask_BL], **EXACT)
    h_BD = recommender.represent(batch)
    torch.testing.assert_close(h_BD * temperature, out["last"], **EXACT)
    scores = recommender.score(h_BD) * temperature
    torch.testing.assert_close(scores, out["scores"][:, 1:], **EXACT)
    rows_VD = recommender.encoder.rows(recommender.table.weight)
    torch.testing.assert_close(rows_VD, out["item_emb_l2"], **EXACT)


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_the_sampled_loss_and_its_gradients_are_those_of_the_reference(golden: Golden) -> None:
    """A soft-max over the target and five sampled items, at every event; a sampled item that is the
    target counts nothing."""
    recommender, batch, inputs = model(golden), histories(golden), golden.group("input")
    mask_BL = batch.mask_BL()
    h_ND = recommender.prefixes(batch)[mask_BL]
    targets_N = inputs["train_ids"][:, 1:][mask_BL[:, :-1]]
    sampled_NK = inputs["sampled_negative_ids"]
    s_NK = recommender.score(h_ND, torch.cat([targets_N[:, None], sampled_NK], dim=1))
    s_NK[:, 1:] = s_NK[:, 1:].masked_fill(sampled_NK == targets_N[:, None], -5e4)
    loss = -s_NK.log_softmax(dim=1)[:, 0].mean()
    torch.testing.assert_close(loss, golden.group("out")["loss"], **EXACT)
    loss.backward()

    gradients = {rename(name): value for name, value in golden.group("grad").items()}
    assert "table.weight" in gradients
    for name, theirs in gradients.items():
        ours = recommender.get_parameter(name).grad
        assert ours is not None, f"{name} has no gradient"
        expected = by_distance(theirs) if name.endswith("distance_bias") else theirs
        torch.testing.assert_close(ours, expected, **EXACT, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("golden", CASES, ids=str)
def test_without_the_targets_time_only_times_so_far_matter(golden: Golden) -> None:
    recommender, batch = model(golden, target_time=False), histories(golden)
    assert batch.times_BL is not None
    before = recommender.prefixes(batch)
    for place in range(1, batch.times_BL.shape[1]):
        later = batch.times_BL.clone()
        later[:, place:] += 10**6
        after = recommender.prefixes(replace(batch, times_BL=later))
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=0)
