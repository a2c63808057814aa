"""FMLP-Rec: a learnable filter over the whole window in place of attention.

Zhou et al., "Filter-enhanced MLP is All You Need for Sequential Recommendation", WWW 2022. Events
count from the end: the last one always has the last of the L positions of the window.

    x = LN(E[item_s] + P[position of s])
    a = LN(F^-1(W * F(x)) + x)                  F: the real Fourier transform over the window
    h = LN(W_2 gelu(W_1 a + b_1) + b_2 + a)                              for each layer

A filter is a circular convolution, y_i = sum over j of c[(i - j) mod L] x_j with c = F^-1(W): every
event sees every other, later ones by the lags that wrap around. Pads are absent: they add nothing
to that sum. A circular convolution does not mind where the window begins, so a history padded on
the right is filtered as it stands; where it is short, only the lags that occur are transformed.

There are no `prefixes`. With two layers an event inside a prefix has seen all of the prefix. With
one, which looks back alone, the positions still count from the end of each prefix, so that nothing
of one prefix is left in the next. The model trains on prefixes, as published.

Differs from the paper: its loss compares one item with one sampled negative; here it is the
cross-entropy over the catalogue, as for every model of a comparison. Differs from the reference:
pads take part there (`fmlprec-official` has them). `filters=False` is the reference's option
`no_filters`, causal self-attention in the place of the filters, in which pads are masked there too.

    B  users, L  positions, M  length of a transform, D  width
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from srbench.models.attention import CausalBlock
from srbench.models.base import Batch, Encoder, HeadSettings, Info, last_BD
from srbench.models.layers import Dropout, FeedForward, initialise


class FMLPRecSettings(HeadSettings):
    """Defaults: Woeee/FMLP-Rec, `main.py` at 51acc8c."""

    idle = (("heads", "filters", True), ("attention_dropout", "filters", True))
    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks of filter and feed-forward")
    inner: int = Field(256, ge=1, description="inner width of the feed-forward layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    filters: bool = Field(True, description="filters; without them causal self-attention")
    heads: int = Field(2, ge=1, description="attention heads, without filters; divide the width")
    attention_dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout on attention weights, without filters"
    )


class FilterBlock(nn.Module):
    """Filter and feed-forward, each with residual and normalisation behind it."""

    pads_enter = False

    def __init__(self, settings: FMLPRecSettings, length: int) -> None:
        super().__init__()
        width, self.length = settings.width, length
        self.filter = nn.Parameter(torch.empty(length // 2 + 1, width, 2))  # real, imaginary
        self.norm_filter = nn.LayerNorm(width, eps=1e-12)
        self.ffn = FeedForward(width, settings.inner, settings.dropout)
        self.dropout = Dropout(settings.dropout)

    def lags(self) -> Tensor:
        """c_LD: what an event takes from the one so many positions before it, modulo L."""
        return torch.fft.irfft(torch.view_as_complex(self.filter), n=self.length, dim=0)

    def present(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """What the filter sees: zero where no event stands."""
        return x_BLD if self.pads_enter else x_BLD * batch.mask_BL()[..., None]

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """All positions."""
        events, size = x_BLD.shape[1], self.length
        if 2 * events > size:
            w_DM = torch.view_as_complex(self.filter).t()
        else:
            c_LD, size = self.lags(), 2 * events
            w_DM = torch.fft.rfft(torch.cat([c_LD[:events], c_LD[-events:]]).t())
        x_DM = torch.fft.rfft(self.present(x_BLD, batch).transpose(1, 2).contiguous(), n=size)
        y_BLD = torch.fft.irfft(x_DM * w_DM, n=size)[..., :events].transpose(1, 2)
        return self.rest(y_BLD, x_BLD)

    def last(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """The last event of each history alone, [B, D]."""
        slots_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        c_BLD = self.lags()[(batch.lengths_B[:, None] - 1 - slots_L) % self.length]
        y_BD = (c_BLD * self.present(x_BLD, batch)).sum(1)
        return self.rest(y_BD, last_BD(x_BLD, batch.lengths_B))

    def rest(self, y_BD: Tensor, x_BD: Tensor) -> Tensor:
        """What looks at one position at a time; leading axes are free."""
        h_BD: Tensor = self.ffn(self.norm_filter(self.dropout(y_BD) + x_BD))
        return h_BD


class UnfilteredBlock(CausalBlock):
    """SASRec's block, asked like the other one."""

    def __init__(self, settings: FMLPRecSettings, length: int) -> None:
        super().__init__(
            settings.width,
            heads=settings.heads,
            inner=settings.inner,
            dropout=settings.dropout,
            attention_dropout=settings.attention_dropout,
        )

    def forward(self, x_BLD: Tensor, batch: Batch | None = None) -> Tensor:
        return super().forward(x_BLD)


class FMLPRec(Encoder):
    """Item and position embedding, then blocks of filter and feed-forward."""

    info = Info(
        family="MLP",
        year=2022,
        paper="Zhou et al., Filter-enhanced MLP is All You Need, WWW 2022",
        reference="Woeee/FMLP-Rec, models.py and modules.py at 51acc8c",
        summary="Learnable filters over the whole window.",
    )
    Settings = FMLPRecSettings

    def __init__(self, settings: FMLPRecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width, self.length = settings.width, length
        self.positions = nn.Embedding(length, settings.width)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        kind = FilterBlock if settings.filters else UnfilteredBlock
        blocks = nn.ModuleList(kind(settings, length) for _ in range(settings.layers))
        self.blocks = cast("list[FilterBlock | UnfilteredBlock]", blocks)
        initialise(self)
        same = torch.randn(length // 2 + 1, settings.width, 2) * 0.02  # in every layer
        for block in self.blocks:
            if isinstance(block, FilterBlock):
                block.filter.data.copy_(same)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        h_BLD = self.embed(x_BLD, batch.lengths_B)
        for block in self.blocks[:-1]:
            h_BLD = block(h_BLD, batch)
        return self.blocks[-1].last(h_BLD, batch)

    def embed(self, x_BLD: Tensor, lengths_B: Tensor) -> Tensor:
        """Items with their positions; the pads behind the end have those before the first event."""
        slots_L = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        positions_BL = (self.length - lengths_B[:, None] + slots_L) % self.length
        return self.dropout(self.norm(x_BLD + self.positions(positions_BL)))
