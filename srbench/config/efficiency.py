"""What `srbench measure` may be told."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
Sizes = Annotated[tuple[Positive, ...], Field(min_length=1)]

Axis = Literal["length", "items", "batch", "width"]
AXES: tuple[Axis, ...] = ("length", "items", "batch", "width")


def whole(text: str) -> int:
    """`200`, `10_000`, `1k`, `2.5M`. Raises ValueError for what is no whole number above 0."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", text.strip().replace("_", "").lower())
    size = float(found[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[found[2]] if found else 0.0
    if size < 1 or size != int(size):
        raise ValueError(f"{text!r} is no whole number above 0")
    return int(size)


class EfficiencySettings(BaseModel):
    """Sizes and care of one measurement. `models` are measured in turn, in one go."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    dataset: str | None = None
    items: Sizes = (3416,)
    length: Sizes = (50,)
    batch: Sizes = (1, 256)
    width: Annotated[tuple[Positive, ...], Field()] = ()
    sweep: Axis | None = None
    top: Positive = Field(default=10, description="items asked for")
    stream: bool = Field(default=False, description="one event more on a kept state, too")
    training: bool = Field(default=False, description="a step of the training, too")
    memory: bool = Field(default=True, description="peaks of memory, each in its own process")
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive | None = None
    repeat: Positive = Field(default=1, description="times that everything is measured")
    seconds: float = Field(default=1.5, gt=0, description="budget for each thing timed")
    interval: float = Field(
        default=0.03, gt=0, lt=1, description="width of the 95 % interval of the median, as share"
    )
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        twice = [name for name in self.models if self.models.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is named twice among the models; name it once.")
        smallest = min(self.items)
        if self.top > smallest:
            raise ValueError(f"top = {self.top} is more than the catalogue of {smallest} items.")
        return self
