"""SMLP4Rec: one block that mixes fields, positions and channels side by side.

Gao et al., "SMLP4Rec: An Efficient all-MLP Architecture for Sequential Recommendations", ACM TOIS
2024. X holds the vectors of an item and of its features, F fields a position; the features of this
implementation are the item's id once more, with a table of its own, as the SIGMA paper compares it.

    y = LN(X)                                       s_A(y) = W_A2 gelu(W_A1 y) along the axis A
    X <- s_fields(y) + s_positions(y) + s_channels(y)                       once for every layer
    h = LN(X[the item's own field, last event])

Pads are absent: they add nothing to the mixing along the positions, in which a slot counts from the
first event. With one layer a prefix differs from the next by one column of W_positions1, so
`prefixes` has all of them in one pass by running sums; with more layers every slot of a prefix sees
all of it, nothing can be shared, and the model trains on prefixes.

Differs from the paper: nothing but an item's id is a feature, because a batch has nothing else.
Differs from the reference: pads take part there (`smlp4rec-official` has them); the window is as
long as the run says, where the published constructor fixes 50 positions.

    L  positions, F  fields, B  users, D  width
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings
from srbench.models.mixing import ChannelMixer, Mixer, PositionMixer, fields_LFBD, last_FBD


class SMLP4RecSettings(Settings):
    """Width, one layer and the feature: SIGMA's configuration of it. Dropout: that of MLP4Rec by
    the same group, as none is published. Expansion: the published code."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(1, ge=1, description="how often the one block is applied")
    expansion: int = Field(3, ge=1, description="inner width of each mixer, in widths of its axis")
    item_feature: bool = Field(True, description="the item's id as a second field, with own table")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout inside and behind every mixer")


class Block(nn.Module):
    """Three mixers of the same input, added up; no bias, no residual."""

    def __init__(self, settings: SMLP4RecSettings, fields: int, length: int) -> None:
        super().__init__()
        expansion, dropout = settings.expansion, settings.dropout
        self.fields = Mixer(fields, expansion, dropout, bias=False)
        self.positions = PositionMixer(length, expansion, dropout, bias=False)
        self.channels = ChannelMixer(settings.width, expansion, dropout, bias=False)
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, y_FBD: Tensor, s_FBD: Tensor) -> Tensor:
        """X of the first fields, as many as `s_FBD`, their mixing along the positions, has."""
        fields = s_FBD.shape[-3]
        c_FBD = self.fields(y_FBD.flatten(-2)).view_as(y_FBD)
        return c_FBD[..., :fields, :, :] + s_FBD + self.channels(y_FBD[..., :fields, :, :])


class SMLP4Rec(Encoder):
    """LN -> mixing along fields, positions and channels, summed -> ... -> LN."""

    info = Info(
        family="MLP",
        year=2024,
        paper="Gao et al., SMLP4Rec: An Efficient all-MLP Architecture, ACM TOIS 2024",
        reference="Applied-Machine-Learning-Lab/SMLP4Rec, smlprec.py at 72287e5",
        summary="Perceptrons over fields, positions and channels, side by side.",
    )
    Settings = SMLP4RecSettings

    def __init__(self, settings: SMLP4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width, self.layers = settings.width, settings.layers
        self.features = nn.Embedding(n_items + 1, settings.width) if settings.item_feature else None
        self.block = Block(settings, 1 + settings.item_feature, length)
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    @classmethod
    def can_prefixes(cls, settings: Any) -> bool:
        return cls.has_prefixes() and settings.layers == 1

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.represent(fields_LFBD(x_BLD, self.features, batch.items_BL), batch)

    def represent(self, x_LFBD: Tensor, batch: Batch) -> Tensor:
        """h_BD of histories of which every item has F fields, its own vector first."""
        x_LFBD = self.window(x_LFBD, batch, self.layers - 1)
        y_LFBD = self.present(self.block.norm(x_LFBD), batch)
        s_FBD = self.block.positions.last(y_LFBD[:, :1], batch.lengths_B)
        h_BD: Tensor = self.norm(self.block(last_FBD(y_LFBD, batch.lengths_B), s_FBD)[0])
        return h_BD

    def window(self, x_LFBD: Tensor, batch: Batch, layers: int) -> Tensor:
        """X_LFBD after some layers."""
        for _ in range(layers):
            y_LFBD = self.present(self.block.norm(x_LFBD), batch)
            x_LFBD = self.block(y_LFBD, self.block.positions(y_LFBD))
        return x_LFBD

    def present(self, y_LFBD: Tensor, batch: Batch) -> Tensor:
        """What the mixing along the positions sees: zero where no event stands."""
        return y_LFBD * batch.mask_BL().t()[:, None, :, None]

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        if self.layers > 1:
            raise NotImplementedError("prefixes in one pass exist with one layer alone")
        y_LFBD = self.block.norm(fields_LFBD(x_BLD, self.features, batch.items_BL))
        x_LFBD = self.block(y_LFBD, self.block.positions.prefixes(y_LFBD[:, :1]))
        return self.norm(x_LFBD[:, 0]).transpose(0, 1)
