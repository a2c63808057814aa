"""One step of the optimiser on one batch: what a training repeats, and what is timed of it."""

from __future__ import annotations

import torch
from torch import Tensor, optim

from srbench.config.settings import TrainSettings
from srbench.data.batches import Supervision, TrainingBatch
from srbench.recommender import Recommender
from srbench.train.losses import cross_entropy

WAYS = {"all": "prefixes", "last": "represent", "cloze": "cloze"}  # of having what is asked


class Stepper:
    """Forward, loss, backward, update. The model is to be in training mode."""

    def __init__(
        self, recommender: Recommender, supervision: Supervision, settings: TrainSettings
    ) -> None:
        self.recommender, self.settings = recommender, settings
        kind = optim.AdamW if settings.optimizer == "adamw" else optim.Adam
        self.optimizer = kind(
            recommender.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self.encode = getattr(recommender, WAYS[supervision])
        if settings.compile:
            self.encode = torch.compile(self.encode)

    def set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, batch: TrainingBatch) -> Tensor:
        """Takes the step and returns the mean loss of the batch before it."""
        with torch.autocast(
            batch.targets.device.type,
            torch.bfloat16,
            enabled=self.settings.precision == "bf16",
        ):
            h = self.encode(batch.batch)
        h_ND = h.reshape(-1, h.shape[-1])
        targets_N = batch.targets.reshape(-1)
        if batch.count < len(targets_N):
            asked = targets_N.nonzero().squeeze(1)
            h_ND, targets_N = h_ND[asked], targets_N[asked]
        table, first = self.recommender.classes()
        loss = cross_entropy(h_ND.to(table.dtype), table, targets_N - first)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.recommender.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        return loss.detach()
