"""Times RecTools' SASRec: whole training epochs, as its own trainer runs them.

Runs inside the peers' environment (see peers.py) and prints one JSON object on its last line:

    .venv/peers/bin/python benchmarks/peer_rectools.py --file ml-100k.inter --epochs 3

It trains on every position of the last `length` + 1 training events of a user, in batches of 128
users padded to the full length; events before those are not trained on, and the output says how
many targets that leaves. Learning rate, batch size, dropout and loader are RecTools' defaults.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any


def training_interactions(file: Path) -> Any:
    """The interactions of a leave-one-out split that train: all but each user's last two."""
    import pandas as pd

    raw = pd.read_csv(file, sep="\t")
    raw.columns = [name.split(":")[0] for name in raw.columns]
    raw = raw.sort_values(["user_id", "timestamp"], kind="stable")
    raw = raw[raw.groupby("user_id").cumcount(ascending=False) >= 2]
    return pd.DataFrame(
        {
            "user_id": raw["user_id"],
            "item_id": raw["item_id"],
            "weight": 1.0,
            "datetime": pd.to_datetime(raw["timestamp"], unit="s"),
        }
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch
    from pytorch_lightning import Callback, Trainer
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    class Clock(Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.started = perf_counter()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            self.seconds.append(perf_counter() - self.started)

    def trainer() -> Any:
        return Trainer(
            max_epochs=1 + arguments.epochs,
            min_epochs=1 + arguments.epochs,
            callbacks=[Clock()],
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    torch.manual_seed(1)
    interactions = training_interactions(arguments.file)
    lengths = interactions.groupby("user_id").size().to_numpy()
    model = SASRecModel(
        n_factors=64,
        n_blocks=2,
        n_heads=2,
        session_max_len=arguments.length,
        loss="softmax",
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions))
    clock = next(c for c in model.fit_trainer.callbacks if isinstance(c, Clock))
    targets = int((lengths.clip(max=arguments.length + 1) - 1).sum())
    return {
        "peer": f"RecTools {version('rectools')}",
        "model": "SASRec",
        "data": arguments.file.name.split(".")[0],
        "length": arguments.length,
        "users": len(lengths),
        "items": int(interactions["item_id"].nunique()),
        "targets_per_epoch": targets,
        "whole_epoch": True,
        "warm_up_epochs": 1,
        "epoch_seconds": clock.seconds[1:],
        "parameters": sum(p.numel() for p in model.torch_model.parameters()),
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, required=True, help="an .inter file, or .inter.gz")
    parser.add_argument("--length", type=int, default=200, help="history length L")
    parser.add_argument("--epochs", type=int, default=3, help="epochs that are timed")
    arguments = parser.parse_args()
    arguments.file = arguments.file.resolve()

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        result = measure(arguments)
        os.chdir("/")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
