"""LightSANs: each event attends to a few interests of the history, and apart from that to places.

Fan et al., "Lighter and Better: Low-Rank Decomposed Self-Attention Networks for Next-Item
Recommendation", SIGIR 2021, in the form of RecBole 1.2.1 (`lightsans.py`), whose layers are the
authors' own (BELIEVEfxy/LightSANs at 94ce7e5).

    x = LN(E[item_t])                                       no positions here; q, K, V linear in x
    K' = D' K,  D = softmax(K theta_K) over the events      theta: D x I; V' likewise with theta_V
    c = softmax(q K'' / sqrt(C)) V'                         K'' is K' transposed
      + softmax(p_q p_k' / (sqrt(2) C)) V                   p_q, p_k linear in LN(P), C per head
    a = LN(W_o c + b_o + x)      h = LN(W_2 gelu(W_1 a) + a)            for each layer

Both soft-maxes of c are taken over the *asking* events, not over what is attended to: so it is in
the authors' code and in RecBole's. How much an event draws from an interest depends on all events
of the history, so the model is not causal and trains on prefixes, one pass each.

Differs from the paper: the axis of these soft-maxes. Differs from the code: pads do not take part.
There they are events like others in D, in both soft-maxes and in V; `lightsans-official` does that.
Here each of these runs over the events of the history alone, so on a history that fills the window
both agree.

    B  users, L  positions, D  width, H  heads, C  channels of a head, I  interests
    Q  positions that are asked: all L, or the last event alone
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, HeadSettings, Info, last_BD
from srbench.models.layers import Dropout, FeedForward, initialise


class LightSANsSettings(HeadSettings):
    """Defaults: RecBole 1.2.1, `properties/model/LightSANs.yaml`."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of attention and feed-forward")
    heads: int = Field(2, ge=1, description="attention heads; must divide the width")
    inner: int = Field(256, ge=1, description="inner width of the feed-forward layer")
    interests: int = Field(5, ge=1, description="interests that a history is summed up in")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    attention_dropout: float = Field(0.5, ge=0, lt=1, description="dropout on weights of interests")


class Block(nn.Module):
    """Low-rank attention with places apart, and feed-forward, each with residual and norm."""

    def __init__(self, settings: LightSANsSettings) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.channels = settings.heads, width // settings.heads
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))
        self.theta_key, self.theta_value = (
            nn.Parameter(torch.empty(width, settings.interests)) for _ in range(2)
        )
        self.norm_places = nn.LayerNorm(width, eps=1e-12)
        self.query_places, self.key_places = nn.Linear(width, width), nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width, eps=1e-12)
        self.ffn = FeedForward(width, settings.inner, settings.dropout)
        self.dropout = Dropout(settings.dropout)
        self.attention_dropout = Dropout(settings.attention_dropout)

    def forward(
        self, x_BLD: Tensor, places_LD: Tensor, seen_B: Tensor, last_B: Tensor | None = None
    ) -> Tensor:
        """h_BLD, or with `last_B` h_BD at that position alone; `seen_B` positions take part."""
        positions_L = torch.arange(x_BLD.shape[1], device=seen_B.device)
        absent_BL1 = (positions_L >= seen_B[:, None])[..., None]
        k_BLD, v_BLD = self.key(x_BLD), self.value(x_BLD)
        k_BHIC = self.split(self.interests(k_BLD, self.theta_key, absent_BL1))
        v_BHIC = self.split(self.interests(v_BLD, self.theta_value, absent_BL1))
        s_BHLI = self.split(self.query(x_BLD)) @ k_BHIC.transpose(-1, -2) * self.channels**-0.5
        a_BHLI = s_BHLI.masked_fill(absent_BL1[:, None], float("-inf")).softmax(2)
        places_HLL, sums_HLL = self.places(places_LD)
        sums_BHL = sums_HLL[:, seen_B - 1].transpose(0, 1)
        v_BHLC = self.split(v_BLD.masked_fill(absent_BL1, 0)) / sums_BHL[..., None]
        if last_B is None:
            y_BHLC = places_HLL @ v_BHLC
        else:
            a_BHLI = last_BD(a_BHLI.transpose(1, 2), last_B)[:, :, None]
            y_BHLC = places_HLL[:, last_B - 1].transpose(0, 1)[:, :, None] @ v_BHLC
            x_BLD = last_BD(x_BLD, last_B)[:, None]
        y_BHLC = y_BHLC + self.attention_dropout(a_BHLI) @ v_BHIC
        a_BLD = self.dense(y_BHLC.transpose(1, 2).flatten(2))
        h_BLD: Tensor = self.ffn(self.norm_attention(self.dropout(a_BLD) + x_BLD))
        return h_BLD if last_B is None else h_BLD[:, 0]

    def split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.heads, self.channels)).transpose(-2, -3)

    def interests(self, y_BLD: Tensor, theta_DI: Tensor, absent_BL1: Tensor) -> Tensor:
        """[B, I, D]: sums of the events, by their share in each interest."""
        share_BLI = (y_BLD @ theta_DI).masked_fill(absent_BL1, float("-inf")).softmax(1)
        return share_BLI.transpose(1, 2) @ y_BLD

    def places(self, places_LD: Tensor) -> tuple[Tensor, Tensor]:
        """exp of the scores between places, and its sums over the asking places up to each.

        Divided by the sum of a history's last place, the first is the soft-max of that history. It
        is v that is divided, so the scores are those of all users.
        """
        p_LD = self.norm_places(places_LD)
        q_HLC, k_HLC = self.split(self.query_places(p_LD)), self.split(self.key_places(p_LD))
        s_HLL = q_HLC @ k_HLC.transpose(-1, -2) / (2**0.5 * self.channels)
        e_HLL = (s_HLL - s_HLL.amax(1, keepdim=True).detach()).exp()
        return e_HLL, e_HLL.cumsum(1)


class LightSANs(Encoder):
    """Item embedding, then blocks of attention to interests and places."""

    info = Info(
        family="Transformer",
        year=2021,
        paper="Fan et al., Lighter and Better: Low-Rank Decomposed Self-Attention, SIGIR 2021",
        reference="RecBole 1.2.1, recbole/model/sequential_recommender/lightsans.py",
        summary="Attention to a few interests of the history, and to places apart from that.",
    )
    Settings = LightSANsSettings

    def __init__(self, settings: LightSANsSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width
        self.positions = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        initialise(self)
        thetas = torch.randn(2, settings.width, settings.interests)  # the same in all blocks
        with torch.no_grad():
            for block in self.blocks:
                block.theta_key.copy_(thetas[0])
                block.theta_value.copy_(thetas[1])

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.encode(x_BLD, batch.lengths_B, batch.lengths_B)

    def encode(self, x_BLD: Tensor, seen_B: Tensor, last_B: Tensor | None) -> Tensor:
        """h_BD at the `last_B`-th position, or h_BLD, when `seen_B` positions take part."""
        places_LD = self.positions(torch.arange(x_BLD.shape[1], device=x_BLD.device))
        h_BLD = self.dropout(self.norm(x_BLD))
        for block in self.blocks[:-1]:
            h_BLD = block(h_BLD, places_LD, seen_B)
        return self.blocks[-1](h_BLD, places_LD, seen_B, last_B)
