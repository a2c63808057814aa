"""SASRec: causal self-attention over the items.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, in the form of RecBole
1.2.1 (`sasrec.py`), which most papers of the field compare with.

    x = LN(E[item_t] + P[t])
    a = LN(W_o softmax(q k' / sqrt(C) + causal mask) v + x)
    h = LN(W_2 gelu(W_1 a) + a)                                     for each layer

Differs from the paper: normalisation after the residual (not before), gelu, an inner layer of four
times the width, the embedding is not multiplied by sqrt(D), positions count from the first item.
Differs from RecBole: the mask is minus infinity, not -10000 (equal in float32); every position is a
target of the one pass, not one a prefix.

    B  users, L  positions, D  width, C  channels of a head
"""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor, nn

from srbench.models.attention import CausalBlock
from srbench.models.base import Batch, Encoder, HeadSettings, Info
from srbench.models.layers import Dropout, initialise


class SASRecSettings(HeadSettings):
    """Defaults: RecBole 1.2.1, `properties/model/SASRec.yaml`."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of attention and feed-forward")
    heads: int = Field(2, ge=1, description="attention heads; must divide the width")
    inner: int = Field(256, ge=1, description="inner width of the feed-forward layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    attention_dropout: float = Field(0.5, ge=0, lt=1, description="dropout on attention weights")


class SASRec(Encoder):
    """Item and position embedding, then blocks of causal self-attention."""

    info = Info(
        family="Transformer",
        year=2018,
        paper="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018",
        reference="RecBole 1.2.1, recbole/model/sequential_recommender/sasrec.py",
        summary="Causal self-attention over the items.",
    )
    Settings = SASRecSettings

    def __init__(self, settings: SASRecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.positions = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(
            CausalBlock(
                settings.width,
                heads=settings.heads,
                inner=settings.inner,
                dropout=settings.dropout,
                attention_dropout=settings.attention_dropout,
            )
            for _ in range(settings.layers)
        )
        self.blocks = cast("list[CausalBlock]", blocks)
        initialise(self)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD)
        for block in self.blocks[:-1]:
            h_BLD = block(h_BLD)
        return self.blocks[-1].last(h_BLD, batch)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD)
        for block in self.blocks:
            h_BLD = block(h_BLD)
        return h_BLD

    def embed(self, x_BLD: Tensor) -> Tensor:
        return self.dropout(self.norm(x_BLD + self.positions.weight[: x_BLD.shape[1]]))
