"""What a model is: the representation of a history, and how it may be had faster.

Tensor names carry their shape:
    B  users (rows) of a batch          L  positions of the longest history of the batch
    D  width of a representation        V  items of the catalogue, V + 1 rows with the pad row 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

Idle = tuple[tuple[str, str, Any], ...]  # a setting, another one, and its value; see Settings
Pick = Callable[[Tensor], Tensor]  # from the events of a time-first tensor to those asked for
State = Any  # what a model carries from one event to the next: a tensor or a tuple of tensors


@dataclass(frozen=True)
class Batch:
    """Histories, padded on the right.

    items_BL: int64, item ids 1..V in time order, 0 behind the end of each history.
    lengths_B: int64, at least 1.
    times_BL: int64 seconds, 0 behind the end; None where the dataset has no times.
    target_times_B: int64 seconds, the time of the event to be predicted, the one behind the whole
        history; None where the dataset has no times. At an earlier position t the event to be
        predicted is the next one, of times_BL[:, t + 1]. To look at either is knowledge that other
        models do not have: a model may do so only under a setting `target_time`, off by default.
    """

    items_BL: Tensor
    lengths_B: Tensor
    times_BL: Tensor | None = None
    target_times_B: Tensor | None = None

    def __len__(self) -> int:
        return self.items_BL.shape[0]

    def mask_BL(self) -> Tensor:
        """True where an item stands, False on the padding."""
        positions_L = torch.arange(self.items_BL.shape[1], device=self.items_BL.device)
        return positions_L < self.lengths_B[:, None]

    def hidden_BL(self) -> Tensor:
        """True where an event of the history is hidden: item 0, in training by cloze alone."""
        return self.mask_BL() & (self.items_BL == 0)

    def padded(self, length: int) -> Batch:
        """The same histories with pads up to `length` positions."""
        short = (0, length - self.items_BL.shape[1])
        times_BL = None if self.times_BL is None else F.pad(self.times_BL, short)
        return replace(self, items_BL=F.pad(self.items_BL, short), times_BL=times_BL)


@dataclass(frozen=True)
class Info:
    """Where a model comes from, for `srbench models` and for the record."""

    family: Literal["RNN", "Transformer", "MLP", "SSM", "reference"]
    year: int
    paper: str
    reference: str
    summary: str


class Settings(BaseModel):
    """The settings of a model. Unknown names are errors; every field is documented.

    idle: triples (setting, other, value): the setting has no effect where the other has this value,
    and then must have its default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    idle: ClassVar[Idle] = ()

    @classmethod
    def without_effect(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """What has no effect beside these values, and why; what is not among them is a default."""
        now = {name: field.default for name, field in cls.model_fields.items()} | dict(values)
        return {
            name: f"{other} = {str(value).lower()}"
            for name, other, value in cls.idle
            if now[other] == value
        }

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        for name, why in self.without_effect(vars(self)).items():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with {why}: leave it out")
        return self

    def check_length(self, length: int) -> None:
        """Raises ValueError if histories of at most `length` events are too short for these."""
        for name in ("kernel", "taps"):
            size = getattr(self, name, 1)
            if size > length:
                raise ValueError(f"{name} ({size}) must not be larger than data.length ({length})")

    def check_device(self, device: str) -> None:
        """Raises ValueError if these cannot be had on a device of this type, `cpu` or `cuda`."""


class HeadSettings(Settings):
    """Settings among which `heads` share the `width`, where they have an effect."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        width, heads = (getattr(self, name) for name in ("width", "heads"))
        if width % heads and "heads" not in self.without_effect(vars(self)):
            raise ValueError(f"heads ({heads}) must divide width ({width})")
        return self


class ClozeSettings(Settings):
    """What a model that learns by cloze has among its settings."""

    idle = (("mask_ratio", "mask_last", 1.0),)

    mask_ratio: float = Field(
        default=0.2, gt=0, lt=1, description="cloze: share of events that are hidden"
    )
    mask_last: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="cloze: share of batches whose windows end anywhere, only their end hidden",
    )


class Encoder(nn.Module):
    """A model: from the embedded items of a history to one vector.

    `forward` is the definition. `prefixes` and `step` are the same numbers, faster; a model that
    lacks one of them leaves it alone. The contract tests hold all three against each other.
    """

    info: ClassVar[Info]
    Settings: ClassVar[type[Settings]]
    learns: ClassVar[Literal["gradient", "counts"]] = "gradient"
    pad_invariant: ClassVar[bool] = True  # do pads behind the end leave the result unchanged?
    pad_is_class: ClassVar[bool] = False  # is the pad row a class of the training soft-max?

    width: int  # D of the item table and of the representation

    @property
    def kernel(self) -> str:
        """Whose implementation of the inner loop runs where the model is now, for the record."""
        return "torch"

    def init_table(self, table_VD: Tensor) -> None:
        """Initialises the item table (row 0 is the pad row) in place, as the paper's code does."""
        raise NotImplementedError

    def fit_table(self, items: Tensor, offsets: Tensor, table_VD: Tensor) -> None:
        """Fills the table, or what `scores` reads, by counting training sequences in CSR form."""
        raise NotImplementedError

    def rows(self, table_VD: Tensor) -> Tensor:
        """What representations are multiplied with for scores, from rows of the item table;
        leading dimensions are free."""
        return table_VD

    def scores(self, h_BD: Tensor, start: int, stop: int) -> Tensor:
        """s_BC of the items start + 1 to stop, where scores are no product with an item table.

        A model that has them has no item table: what it is given as x_BL1 are the ids themselves,
        int64, and it keeps what it has counted in parameters of its own.
        """
        raise NotImplementedError

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """The representation h_BD of each whole history. x_BLD are the rows of the item table."""
        raise NotImplementedError

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """h_BLD, where h[:, t] is `forward` of the first t + 1 events, for t below the length."""
        raise NotImplementedError

    def cloze(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        """h_ND of the hidden events of `batch.hidden_BL()`, row by row, from all others.

        A model that has it trains on it, and its settings are `ClozeSettings`. With the event
        behind the history hidden, it is `forward` of the history (of the last `length` - 1 events,
        where there are more).
        """
        raise NotImplementedError

    def init_state(self, x_BD: Tensor) -> State:
        """The state before the first event, on the device and of the type of `x_BD`."""
        raise NotImplementedError

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One event more: the representation h_BD of the history with it, and the new state."""
        raise NotImplementedError

    def step_at(self, x_BD: Tensor, state: State, times_B: Tensor | None) -> tuple[Tensor, State]:
        """`step` of an event at `times_B`, int64 seconds; None where the dataset has no times.

        A model whose representations depend on the times overrides it. Who gives no times gives
        none from the first event on.
        """
        return self.step(x_BD, state)

    @classmethod
    def has_prefixes(cls) -> bool:
        return cls.prefixes is not Encoder.prefixes

    @classmethod
    def can_prefixes(cls, settings: BaseModel) -> bool:
        """Are there `prefixes` with these settings? A class that has them has them with all, unless
        it overrides this; where the answer is no, `prefixes` raises NotImplementedError."""
        return cls.has_prefixes()

    @classmethod
    def has_cloze(cls) -> bool:
        return cls.cloze is not Encoder.cloze

    @classmethod
    def has_step(cls) -> bool:
        return cls.step is not Encoder.step

    @classmethod
    def has_scores(cls) -> bool:
        return cls.scores is not Encoder.scores


def last_BD(h_BLD: Tensor, lengths_B: Tensor) -> Tensor:
    """The row of each history's last event."""
    return h_BLD[torch.arange(len(h_BLD), device=h_BLD.device), lengths_B - 1]


def everything(x_LBD: Tensor) -> Tensor:
    """A Pick: all events."""
    return x_LBD


def last_of(batch: Batch) -> Pick:
    """A Pick: each history's last event, [B, D]."""
    rows_B = batch.lengths_B - 1
    users_B = torch.arange(len(batch), device=rows_B.device)
    return lambda x_LBD: x_LBD[rows_B, users_B]
