"""Where a training stands, in one file: tensors and plain JSON, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from srbench.errors import SrbenchError
from srbench.record.files import write_bytes_atomically

FORMAT = 1


@dataclass
class Progress:
    """What a training has done so far. `curve` holds one row an epoch, as in the record.

    began_with: the version of the code that began it, None before it is known.
    """

    epoch: int = 0
    steps: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    resumed_from: list[int] = field(default_factory=list)
    began_with: dict[str, Any] | None = None


class Checkpoint:
    """The file of one run. `key` is the record's: a checkpoint of other settings is refused."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key

    def exists(self) -> bool:
        return self.path.is_file()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def save(
        self,
        progress: Progress,
        model: nn.Module,
        optimizer: optim.Optimizer,
        best: dict[str, Tensor],
    ) -> None:
        """Writes the model, the best model so far, the optimiser's state and the progress."""
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in state.items()}
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        about = {"format": FORMAT, "key": self.key, "progress": asdict(progress)}
        about["sha256"] = _digest(plain)
        write_bytes_atomically(self.path, save(plain, {"srbench": json.dumps(about)}))

    def load(
        self, model: nn.Module, optimizer: optim.Optimizer
    ) -> tuple[Progress, dict[str, Tensor]]:
        """Restores model and optimiser in place; returns the progress and the best model.

        Raises SrbenchError if the file is damaged or belongs to another run.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["srbench"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (FORMAT, self.key, _digest(tensors))
            if (about["format"], about["key"], about["sha256"]) != expected:
                raise KeyError("key")
            progress = Progress(**about["progress"])
            model.load_state_dict(_below("model/", tensors))
            _load_optimizer(optimizer, _below("optimizer/", tensors))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            raise SrbenchError(
                f"The checkpoint {self.path} is damaged or of another run; delete it, or start "
                "again with --fresh."
            ) from error
        return progress, _below("best/", tensors)


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def _load_optimizer(optimizer: optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, field_name = name.partition("/")
        state.setdefault(int(index), {})[field_name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def copy_of(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors as they are now."""
    return {name: torch.clone(value.detach()) for name, value in model.state_dict().items()}
