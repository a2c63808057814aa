"""MLP4Rec: perceptrons along positions, channels and fields, one after the other.

Li et al., "MLP4Rec: A Pure MLP Architecture for Sequential Recommendations", IJCAI 2022. X holds
the vectors of an item and of its features, F fields a position; the features of this implementation
are the item's id once more, with a table of its own, as the SIGMA paper compares it.

    M_A(X) = X + W_A2 gelu(W_A1 LN_A(X) + b_A1) + b_A2              along the axis A
    X <- M_fields(M_channels(M_positions(X)))                       once for every layer
    h = LN(X[the item's own field, last event])

One set of three mixers serves all layers and, along positions and channels, all fields. Pads are
absent: they add nothing to the mixing along the positions, in which a slot counts from the first
event. With one layer a prefix differs from the next by one column of W_positions1, so `prefixes`
has all of them in one pass by running sums; with more layers (8 are published) every slot of a
prefix sees all of it, nothing can be shared, and the model trains on prefixes.

Differs from the paper: nothing but an item's id is a feature, because a batch has nothing else.
Differs from the reference: pads take part there (`mlp4rec-official` has them), and a batch of one
user breaks it.

    L  positions, F  fields, B  users, D  width
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings
from srbench.models.mixing import ChannelMixer, Mixer, PositionMixer, fields_LFBD, last_FBD


class MLP4RecSettings(Settings):
    """Defaults: Li-Muyang/MLP4Rec, `MLP4Rec.yaml`; the expansion stands in the code."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(8, ge=1, description="how often the three mixers are applied")
    expansion: int = Field(4, ge=1, description="inner width of each mixer, in widths of its axis")
    item_feature: bool = Field(True, description="the item's id as a second field, with own table")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout inside and behind every mixer")


class MLP4Rec(Encoder):
    """Mixing along positions, channels and fields, each with norm before it and residual."""

    info = Info(
        family="MLP",
        year=2022,
        paper="Li et al., MLP4Rec: A Pure MLP Architecture, IJCAI 2022",
        reference="Li-Muyang/MLP4Rec, recbole/model/sequential_recommender/mlp4rec.py at 2366572",
        summary="Perceptrons along positions, channels and fields, in turn.",
    )
    Settings = MLP4RecSettings

    def __init__(self, settings: MLP4RecSettings, n_items: int, length: int) -> None:
        super().__init__()
        width, expansion, dropout = settings.width, settings.expansion, settings.dropout
        self.width, self.layers = width, settings.layers
        self.features = nn.Embedding(n_items + 1, width) if settings.item_feature else None
        self.positions = PositionMixer(length, expansion, dropout, bias=True)
        self.norm_positions = nn.LayerNorm(width)
        self.channels = ChannelMixer(width, expansion, dropout, bias=True)
        self.norm_channels = nn.LayerNorm(width)
        self.fields = Mixer(1 + settings.item_feature, expansion, dropout, bias=True)
        self.norm_fields = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        for linear in (self.channels.first, self.channels.second):  # others keep torch's own
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        if self.features is not None:
            nn.init.normal_(self.features.weight, std=0.02)

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
        s_FBD = self.positions.last(self.present(x_LFBD, batch), batch.lengths_B)
        h_BD: Tensor = self.norm(self.place(last_FBD(x_LFBD, batch.lengths_B) + s_FBD)[0])
        return h_BD

    def window(self, x_LFBD: Tensor, batch: Batch, layers: int) -> Tensor:
        """X_LFBD after some layers."""
        for _ in range(layers):
            x_LFBD = self.place(x_LFBD + self.positions(self.present(x_LFBD, batch)))
        return x_LFBD

    def present(self, x_LFBD: Tensor, batch: Batch) -> Tensor:
        """What the mixing along the positions sees: zero where no event stands."""
        return self.norm_positions(x_LFBD) * batch.mask_BL().t()[:, None, :, None]

    def place(self, x_FBD: Tensor) -> Tensor:
        """The rest of a layer, which looks at one position at a time; leading axes are free."""
        x_FBD = x_FBD + self.channels(self.norm_channels(x_FBD))
        y_FBD = self.norm_fields(x_FBD)
        return x_FBD + self.fields(y_FBD.flatten(-2)).view_as(x_FBD)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        if self.layers > 1:
            raise NotImplementedError("prefixes in one pass exist with one layer alone")
        x_LFBD = fields_LFBD(x_BLD, self.features, batch.items_BL)
        s_LFBD = self.positions.prefixes(self.norm_positions(x_LFBD))
        return self.norm(self.place(x_LFBD + s_LFBD)[:, 0]).transpose(0, 1)
