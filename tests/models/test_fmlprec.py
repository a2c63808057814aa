"""FMLP-Rec's filters: transforms against sums over lags, and what is told of its settings."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from srbench.models.base import Batch
from srbench.models.fmlprec import FilterBlock, FMLPRec, FMLPRecSettings
from srbench.models.fmlprec_official import FMLPRecOfficialSettings

CLOSE = {"rtol": 0.0, "atol": 1e-10}
SETTINGS = FMLPRecSettings(width=4, inner=8, dropout=0.0)


def obvious(block: FilterBlock, x_BLD: Tensor, batch: Batch) -> Tensor:
    """y_BLD of the equation: y_i = sum over the events j of c[(i - j) mod L] x_j."""
    c_LD, y_BLD = block.lags(), torch.zeros_like(x_BLD)
    for row, length in enumerate(batch.lengths_B.tolist()):
        for i in range(length):
            for j in range(length):
                y_BLD[row, i] += c_LD[(i - j) % block.length] * x_BLD[row, j]
    return block.rest(y_BLD, x_BLD)


@pytest.mark.parametrize("window", [8, 9])
@pytest.mark.parametrize("events", [1, 3, 4, 5, 8])  # up to half a window: a shorter transform
def test_the_transform_is_the_sum_over_lags(window: int, events: int) -> None:
    torch.manual_seed(0)
    block = FilterBlock(SETTINGS, window).double()
    torch.nn.init.normal_(block.filter)
    lengths_B = torch.tensor([events, 1, max(1, events - 1)])
    batch = Batch(torch.ones(3, events, dtype=torch.int64), lengths_B)
    x_BLD = torch.randn(3, events, 4, dtype=torch.float64)
    up_BLD = torch.randn_like(x_BLD) * batch.mask_BL()[..., None]
    found = []
    for way in (block.forward, lambda x, batch: obvious(block, x, batch)):
        block.zero_grad()
        x = x_BLD.clone().requires_grad_()
        y_BLD = way(x, batch) * batch.mask_BL()[..., None]
        (y_BLD * up_BLD).sum().backward()
        found.append([y_BLD, x.grad, *(p.grad for p in block.parameters())])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, **CLOSE)
    last_BD = found[1][0][torch.arange(3), lengths_B - 1]
    torch.testing.assert_close(block.last(x_BLD, batch), last_BD, **CLOSE)


def test_all_layers_begin_with_the_same_filter() -> None:
    torch.manual_seed(0)
    model = FMLPRec(FMLPRecSettings(layers=3), 9, 200)
    filters = [block.get_parameter("filter") for block in model.blocks]
    assert all(torch.equal(filters[0], other) for other in filters[1:])
    assert filters[0].std().item() == pytest.approx(0.02, rel=0.03)
    dense = [block.get_parameter("ffn.dense_1.weight") for block in model.blocks]
    assert not torch.equal(dense[0], dense[1])


def test_settings_that_cannot_be() -> None:
    assert FMLPRecSettings(width=9).filters  # heads matter to attention alone
    with pytest.raises(ValidationError, match=r"heads \(2\) must divide width \(9\)"):
        FMLPRecSettings(width=9, filters=False)
    with pytest.raises(ValidationError, match=r"heads has no effect with filters = true"):
        FMLPRecSettings(heads=4)
    with pytest.raises(ValidationError, match="filters must be true"):
        FMLPRecOfficialSettings(filters=False)
