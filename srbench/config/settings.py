"""What a run may be told: every setting with its default, its bounds and what it does."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CUTOFFS = (1, 5, 10, 20, 50)
QUANTILE = r"0\.\d*[1-9]\d*"

TimeTies = Annotated[str, Field(pattern=r"^(row|item|shuffle:\d+)$")]
SplitName = Annotated[str, Field(pattern=rf"^(loo|temporal:{QUANTILE})$")]
Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSettings(_Section):
    """How a dataset is prepared and split."""

    k_core: int = Field(
        default=5, ge=0, description="least interactions of each user and item; 0: no filter"
    )
    duplicates: Literal["keep", "first", "last"] = Field(
        default="keep", description="which of a user's repeated interactions with one item stay"
    )
    time_ties: TimeTies = Field(
        default="row",
        description="order of equal timestamps: row (as in the file), item or shuffle:SEED",
    )
    split: SplitName = Field(
        default="loo",
        description="how events are divided: loo (leave one out) or temporal:Q, where Q is the "
        "share of events that trains",
    )
    length: Positive = Field(
        default=200, description="history length L: the latest events a model sees"
    )


class TrainSettings(_Section):
    """How a model is fitted."""

    epochs: Positive = Field(default=200, description="epochs at most")
    lr: float = Field(default=1e-3, gt=0, description="learning rate")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="learning rate over the training: constant, or down to 0 at the last epoch",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay of the optimiser")
    optimizer: Literal["adam", "adamw"] = Field(default="adam", description="optimiser")
    batch_tokens: Positive = Field(
        default=3200, description="positions a step, pads included; 3200 = 16 users of 200"
    )
    batch_users: Positive | None = Field(default=None, description="users a step at most")
    stride: Positive | None = Field(
        default=None,
        description="how users longer than L are cut: none, end to end; S, windows S apart of "
        "which only the last S positions are targets",
    )
    supervision: Literal["auto", "all", "last", "cloze"] = Field(
        default="auto",
        description="targets: all positions in one pass, the last of each prefix, or hidden events "
        "(cloze); auto: as the model is made to learn",
    )
    prefixes_per_user: Positive | None = Field(
        default=None,
        description="with supervision last: prefixes per user and epoch; none: all of them",
    )
    loss: Literal["ce"] = Field(
        default="ce", description="ce: cross-entropy over the whole catalogue"
    )
    patience: Positive = Field(
        default=10, description="validations without gain before training stops"
    )
    validate_every: Positive = Field(default=1, description="epochs between validations")
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="arithmetic of training")
    compile: bool = Field(default=False, description="compile the encoder with torch.compile")

    @model_validator(mode="after")
    def _prefixes_need_last(self) -> Self:
        if self.supervision in ("all", "cloze") and self.prefixes_per_user is not None:
            raise ValueError(
                f"train.prefixes_per_user has no effect with train.supervision = "
                f"{self.supervision}; "
                "leave it out, or use train.supervision = last."
            )
        return self


def _select_by_pattern() -> str:
    cutoffs = "|".join(map(str, CUTOFFS))
    protocols = r"full\|seen:keep|full\|seen:drop|uni100\|seen:drop|pop100\|seen:drop"
    return rf"^(hr|ndcg|mrr)@({cutoffs})\|({protocols})$"


class EvaluateSettings(_Section):
    """How a model is ranked."""

    select_by: str = Field(
        default="ndcg@10|full|seen:drop",
        pattern=_select_by_pattern(),
        description="what picks the best epoch on validation: METRIC@K|CANDIDATES|SEEN, such as "
        "ndcg@10|full|seen:drop, hr@20|full|seen:keep or mrr@10|pop100|seen:drop",
    )
    batch_tokens: Positive = Field(
        default=51200, description="positions encoded at once, pads included"
    )


class MeasureSettings(_Section):
    """What is measured beside accuracy."""

    flops: bool = Field(default=True, description="count the floating-point operations of a pass")
    requests: bool = Field(default=True, description="time the requests of one user")
    seconds: float = Field(
        default=0.5, gt=0, description="budget for each part of a request that is timed"
    )


class RunSettings(_Section):
    """One run: a model on a dataset. `settings` are those of the model's own class, validated."""

    model: str
    dataset: str
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="seed of initialisation, order and dropout"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU where there is one"
    )
    threads: Positive | None = Field(
        default=None, description="CPU threads; none: as torch chooses"
    )
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    measure: MeasureSettings = MeasureSettings()
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _stride_fits(self) -> Self:
        if self.train.stride is not None and self.train.stride > self.data.length:
            raise ValueError(
                f"train.stride = {self.train.stride} is longer than data.length = "
                f"{self.data.length}; choose a stride of at most the length."
            )
        return self


SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "measure": MeasureSettings,
}
TOP = ("seed", "device", "threads")
