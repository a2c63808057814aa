"""What RecBole is timed with is what the authors compute: numbers taken from their code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "glintru.npz"

# Their names of the parameters -> ours.
NAMES = {
    "weights": "expert_weights",
    "item_embedding": "table",
    "linearattention.LayerNorm": "attention.norm",
    "linearattention.dense": "attention.out",
    "linearattention": "attention",
    "selective_gate": "selective",
    "gru_layers": "gru",
    "conv1dforgru": "conv_after",
    "conv1d": "conv_before",
    "projection": "from_gru",
    "dense1": "into_gru",
    "dense2": "data_gate",
    "dense3": "mlp_value",
    "dense4": "mlp_gate",
    "denseout": "mlp_out",
    "dense": "mix",
    "LayerNorm": "norm",
}


def our_name(theirs: str) -> str:
    for head in sorted(NAMES, key=len, reverse=True):
        if theirs == head or theirs.startswith(f"{head}."):
            return NAMES[head] + theirs[len(head) :]
    raise KeyError(theirs)


def golden(case: str) -> dict[str, dict[str, Any]]:
    """group -> name -> array of one case."""
    groups: dict[str, dict[str, Any]] = {}
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        for key in arrays.files:
            found, group, name = key.split("/", 2)
            if found == case:
                groups.setdefault(group, {})[name] = arrays[key]
    return groups


def close(got: torch.Tensor, wanted: Any) -> None:
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", ["main", "gru2"])
def test_states_scores_loss_and_gradients(
    case: str, benchmark_file: Callable[[str], ModuleType]
) -> None:
    published = benchmark_file("glintru_published")
    numbers = golden(case)
    cfg = numbers["cfg"]
    model = published.PublishedGlintru(
        int(cfg["n_items"]),
        int(cfg["hidden_size"]),
        int(cfg["n_heads"]),
        gru_layers=int(cfg["num_layers"]),
        eps=float(cfg["layer_norm_eps"]),
    ).double()
    state = {our_name(name): torch.from_numpy(a) for name, a in numbers["param"].items()}
    model.load_state_dict(state, strict=True)
    model.eval()

    items, lengths, wanted = (
        torch.from_numpy(numbers["input"][name])
        for name in ("item_seq", "item_seq_len", "pos_items")
    )
    close(model(items), numbers["out"]["hidden"])
    last = model.last(items, lengths)
    close(last, numbers["out"]["last"])
    scores = model.scores(last)
    close(scores, numbers["out"]["scores"])
    loss = torch.nn.functional.cross_entropy(scores, wanted)
    close(loss, numbers["out"]["loss"])

    loss.backward()
    parameters = dict(model.named_parameters())
    assert numbers["grad"]
    for name, gradient in numbers["grad"].items():
        close(parameters[our_name(name)].grad, gradient)


def test_the_attention_block_alone(benchmark_file: Callable[[str], ModuleType]) -> None:
    published = benchmark_file("glintru_published")
    numbers = golden("block_linattn")
    width = numbers["input"]["x"].shape[-1]
    heads = int(numbers["cfg"]["n_heads"])
    block = published.LinearAttention(width, heads, 0.2, float(numbers["cfg"]["layer_norm_eps"]))
    theirs = {f"linearattention.{name}": array for name, array in numbers["param"].items()}
    prefix = "attention."
    block.double().eval().load_state_dict(
        {our_name(n).removeprefix(prefix): torch.from_numpy(a) for n, a in theirs.items()}
    )
    x = torch.from_numpy(numbers["input"]["x"]).requires_grad_()
    y = block(x)
    close(y, numbers["out"]["y"])
    (y * torch.from_numpy(numbers["input"]["dy"])).sum().backward()
    assert x.grad is not None
    close(x.grad, numbers["grad"]["x"])
