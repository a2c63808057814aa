"""The numbers of the references (`tests/golden/*.npz`) and how a model is held against them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srbench.models.base import Batch
from srbench.recommender import Recommender
from srbench.registry import get
from srbench.train.losses import cross_entropy

GOLDEN = Path(__file__).parent.parent / "golden"
EXACT = {"rtol": 0.0, "atol": 1e-10}


@dataclass(frozen=True)
class Golden:
    """One case of a golden file: a part of its arrays by their names within a group."""

    file: str
    case: str

    def __str__(self) -> str:
        return f"{self.file}-{self.case}"

    def group(self, group: str) -> dict[str, Tensor]:
        """The numbers of a group (`param`, `input`, `out`, `grad`, ...), text left out."""
        prefix = f"{self.case}/{group}/"
        with np.load(GOLDEN / f"{self.file}.npz", allow_pickle=False) as arrays:
            found = {
                n.removeprefix(prefix): arrays[n] for n in arrays.files if n.startswith(prefix)
            }
        return {
            name: torch.from_numpy(np.array(a))
            for name, a in found.items()
            if a.dtype.kind in "bfic"
        }

    def fact(self, name: str) -> Any:
        """A fact of the reference's constructor."""
        with np.load(GOLDEN / f"{self.file}.npz", allow_pickle=False) as arrays:
            return arrays[f"{self.case}/cfg/{name}"].item()


Rename = Callable[[str], str]  # a parameter's name in the reference -> its name in the Recommender


def rename_transformer(name: str) -> str:
    """The parts that all of RecBole's Transformers name alike, but the item table."""
    name = re.sub(r"trm_encoder\.layer\.(\d+)\.", r"encoder.blocks.\1.", name)
    name = name.replace("multi_head_attention.LayerNorm", "norm_attention")
    name = name.replace("feed_forward.LayerNorm", "ffn.norm")
    name = name.replace("multi_head_attention.", "").replace("feed_forward.", "ffn.")
    if name.startswith("LayerNorm."):
        name = name.replace("LayerNorm.", "encoder.norm.")
    return name.replace("position_embedding.", "encoder.positions.")


def build(
    golden: Golden, model: str, rename: Rename, settings: dict[str, Any], *, group: str = "param"
) -> Recommender:
    """Our model with the weights of the reference, in float64, not training."""
    kind = get(model)
    n_items, length = golden.fact("n_items") - 1, golden.fact("max_len")
    recommender = Recommender(kind, kind.Settings(**settings), n_items, length).double().eval()
    weights = {rename(name): value for name, value in golden.group(group).items()}
    recommender.load_state_dict(weights, strict=True)
    return recommender


def histories(golden: Golden) -> Batch:
    """The input of the reference, which pads on the right."""
    inputs = golden.group("input")
    return Batch(inputs["item_seq"], inputs["item_seq_len"])


def assert_same_outputs_loss_and_gradients(
    golden: Golden, recommender: Recommender, rename: Rename
) -> None:
    """Last states, scores, the loss over all rows of the table (the pad row is a class) and every
    gradient that the file holds, against those of the reference."""
    out = golden.group("out")
    h_BD = recommender.represent(histories(golden))
    torch.testing.assert_close(h_BD, out["last"], **EXACT)
    torch.testing.assert_close(recommender.score(h_BD), out["scores"][:, 1:], **EXACT)
    loss = cross_entropy(h_BD, recommender.table.weight, golden.group("input")["pos_items"])
    torch.testing.assert_close(loss, out["loss"], **EXACT)
    loss.backward()
    assert_same_gradients(golden, recommender, rename)


def assert_same_gradients(golden: Golden, recommender: Recommender, rename: Rename) -> None:
    """The gradients in our parameters against those of the reference; none may be left over."""
    gradients = {rename(name): value for name, value in golden.group("grad").items()}
    assert "table.weight" in gradients
    for name, parameter in recommender.named_parameters():
        if name not in gradients:
            continue
        assert parameter.grad is not None, f"{name} has no gradient"
        ours, theirs = parameter.grad, gradients.pop(name)
        torch.testing.assert_close(ours, theirs, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
    assert not gradients, f"not compared: {sorted(gradients)}"


def assert_same_states(golden: Golden, recommender: Recommender) -> None:
    """The states of a causal model at every real position against those of the reference."""
    batch = histories(golden)
    mask_BL = batch.mask_BL()
    expected = golden.group("out")["hidden"][mask_BL]
    torch.testing.assert_close(recommender.prefixes(batch)[mask_BL], expected, **EXACT)
