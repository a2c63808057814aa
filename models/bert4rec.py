"""BERT4Rec: attention to both sides, learnt by filling in hidden events.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
Transformer", CIKM 2019, in the form of RecBole 1.2.1 (`bert4rec.py`, `data/transform.py`).

    x = LN(E[item_t] + P[t])                          E[item_t] is the vector m where t is hidden
    a = LN(W_o softmax(q k' / sqrt(C)) v + x)         every event sees all events, before and after
    h = LN(W_2 gelu(W_1 a) + a)                       for each layer
    o = LN(gelu(W_f h + b_f))
    score(v) = o . E[v] + b[v]

Training (cloze): of each window every event is hidden with probability `mask_ratio`; in a share
`mask_last` of the batches the windows end at a random event, and that one alone is hidden. The
model names the hidden items. To recommend, a
hidden event is put behind the history; a history that fills the window loses its oldest event.
The mask m is the encoder's own, no row of the item table, so it is never scored. The bias b is the
last column of the item table, met by a constant 1 at the end of each representation.

Differs from the paper: gelu in the head is followed by a layer norm (as in the authors' code); the
share of windows with only the last event hidden is RecBole's, 1 in 2, and they end anywhere, as its
prefixes do (authors' code: 1 in 11, whole windows).
Differs from RecBole: only a full window loses its oldest event (RecBole drops it always, so that
one event is no history at all); every hidden event counts (RecBole: not the first of a window, and
the last L mask_ratio at most); an epoch has each window once, not every prefix of it; pads are
absent from the attention (-10000 there, equal in float32). As there, the pad row is a class of the
soft-max.

    B  users, L  positions, Q  asked events of a user, at most, D  width, C  channels of a head,
    N  hidden events of a batch
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from srbench.models.attention import AttentionBlock
from srbench.models.base import Batch, ClozeSettings, Encoder, HeadSettings, Info
from srbench.models.layers import Dropout, initialise


class BERT4RecSettings(ClozeSettings, HeadSettings):
    """Defaults: RecBole 1.2.1, `properties/model/BERT4Rec.yaml`."""

    width: int = Field(64, ge=1, description="width of the item table, beside an item's bias")
    layers: int = Field(2, ge=1, description="blocks of attention and feed-forward")
    heads: int = Field(2, ge=1, description="attention heads; must divide the width")
    inner: int = Field(256, ge=1, description="inner width of the feed-forward layer")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    attention_dropout: float = Field(0.2, ge=0, lt=1, description="dropout on attention weights")


class Block(AttentionBlock):
    """Every event that is asked sees all events, before and after."""

    def forward(self, x_BLD: Tensor, bias_B11L: Tensor, x_BQD: Tensor | None = None) -> Tensor:
        """a_BQD of the asked events, where all are without `x_BQD`.

        The bias is 0 at events and minus infinity at pads. What is left is the feed-forward `ffn`.
        """
        x_BQD = x_BLD if x_BQD is None else x_BQD
        q, k, v = map(self.split, (self.query(x_BQD), self.key(x_BLD), self.value(x_BLD)))
        bias = bias_B11L.to(q.dtype)
        if self.training and self.attention_dropout.rate:  # no fused kernel drops on a CPU
            s_BHQL = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2) + bias
            y_BHQC = self.attention_dropout(torch.softmax(s_BHQL, dim=-1)) @ v
        else:
            y_BHQC = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.attended(y_BHQC, x_BQD)


class BERT4Rec(Encoder):
    """Item and position embedding, blocks of bidirectional attention, a head for hidden events."""

    info = Info(
        family="Transformer",
        year=2019,
        paper="Sun et al., BERT4Rec: Sequential Recommendation with Bidirectional Encoder "
        "Representations from Transformer, CIKM 2019",
        reference="RecBole 1.2.1, recbole/model/sequential_recommender/bert4rec.py",
        summary="Attention to both sides, learnt by filling in hidden events.",
    )
    Settings = BERT4RecSettings
    pad_is_class = True

    def __init__(self, settings: BERT4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        width, self.length = settings.width, length
        self.width = width + 1  # with the bias
        self.mask = nn.Parameter(torch.empty(width))
        self.positions = nn.Embedding(length, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(
            Block(
                width,
                heads=settings.heads,
                inner=settings.inner,
                dropout=settings.dropout,
                attention_dropout=settings.attention_dropout,
            )
            for _ in range(settings.layers)
        )
        self.blocks = cast("list[Block]", blocks)
        self.head = nn.Linear(width, width)
        self.norm_head = nn.LayerNorm(width, eps=1e-12)
        nn.init.normal_(self.mask, std=0.02)
        initialise(self)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD[:, :-1], std=0.02)
        nn.init.zeros_(table_VD[:, -1])

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        full_B = batch.lengths_B == self.length
        ends_B = batch.lengths_B - full_B.long()  # where the hidden event goes
        width = min(x_BLD.shape[1] + 1, self.length)
        slots_L = torch.arange(width, device=x_BLD.device)
        places_BL = (slots_L + full_B[:, None]).clamp_(max=x_BLD.shape[1] - 1)
        x_BLD = x_BLD.gather(1, places_BL[..., None].expand(-1, -1, x_BLD.shape[2]))
        return self.fill_in(x_BLD, slots_L <= ends_B[:, None], slots_L == ends_B[:, None])

    def cloze(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.fill_in(x_BLD, batch.mask_BL(), batch.hidden_BL())

    def fill_in(self, x_BLD: Tensor, inside_BL: Tensor, hidden_BL: Tensor) -> Tensor:
        """h_ND of the hidden events, whose rows x are not looked at, from all that are inside."""
        x_BLD = torch.where(hidden_BL[..., None], self.mask, x_BLD[..., :-1])
        return self.answers(self.embed(x_BLD), inside_BL, hidden_BL)

    def embed(self, x_BLD: Tensor) -> Tensor:
        """The input of the first block."""
        return self.dropout(self.norm(x_BLD + self.positions.weight[: x_BLD.shape[1]]))

    def answers(self, h_BLD: Tensor, inside_BL: Tensor, asked_BL: Tensor) -> Tensor:
        """The representations at the asked events alone, row by row."""
        bias_B11L = torch.zeros_like(inside_BL, dtype=h_BLD.dtype)
        bias_B11L = bias_B11L.masked_fill_(~inside_BL, float("-inf"))[:, None, None]
        *before, last = self.blocks
        for block in before:
            h_BLD = block.ffn(block(h_BLD, bias_B11L))
        counts_B = asked_BL.sum(1)
        slots_BQ = asked_BL.long().argsort(dim=1, descending=True, stable=True)
        slots_BQ = slots_BQ[:, : int(counts_B.max())]  # where each row's asked events stand
        x_BQD = h_BLD.gather(1, slots_BQ[..., None].expand(-1, -1, h_BLD.shape[2]))
        asked_BQ = torch.arange(slots_BQ.shape[1], device=h_BLD.device) < counts_B[:, None]
        h_ND = last.ffn(last(h_BLD, bias_B11L, x_BQD)[asked_BQ])
        o_ND = self.norm_head(F.gelu(self.head(h_ND)))
        return torch.cat([o_ND, torch.ones_like(o_ND[:, :1])], dim=1)
