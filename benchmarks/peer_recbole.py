"""Times RecBole: training steps or a whole epoch, the evaluation, and the memory it took.

Runs inside the peers' environment (see peers.py) and prints one JSON object on its last line:

    .venv/peers/bin/python benchmarks/peer_recbole.py --model SASRec --steps 6

RecBole makes one window of every prefix and pads it to the full length. Its epochs take minutes,
so by default a number of steps is timed after a warm-up and the epoch is computed from them; the
output says which. RecBole's own trainer, loader, sampler and models run unchanged; the clock sits
in the loader, which knows when the trainer comes back for the next batch.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from glintru_published import PublishedGlintru

SETTINGS: dict[str, dict[str, Any]] = {
    "SASRec": {
        "n_layers": 2,
        "n_heads": 2,
        "hidden_size": 64,
        "inner_size": 256,
        "hidden_dropout_prob": 0.5,
        "attn_dropout_prob": 0.5,
        "hidden_act": "gelu",
    },
    "GRU4Rec": {"embedding_size": 64, "hidden_size": 128, "num_layers": 1, "dropout_prob": 0.3},
    "GLINTRU": {"hidden_size": 128, "n_heads": 8},
}


class TimedLoader:
    """A loader that notes the clock each time the trainer has finished a batch.

    Without `limit` it passes the whole epoch. `marks[n]` is the time after n batches.
    """

    def __init__(self, loader: Any, limit: int | None) -> None:
        self.loader = loader
        self.limit = limit
        self.marks: list[float] = []
        self.targets: list[int] = []

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        self.marks.append(perf_counter())
        for number, batch in enumerate(self.loader):
            if number == self.limit:
                return
            yield batch
            self.marks.append(perf_counter())
            self.targets.append(len(batch))


def glintru_class() -> type:
    """GLINT-RU as a RecBole model; made here because its base class is RecBole's."""
    from recbole.model.abstract_recommender import SequentialRecommender
    from torch import nn

    class GLINTRU(SequentialRecommender):  # type: ignore[misc]
        def __init__(self, config: Any, dataset: Any) -> None:
            super().__init__(config, dataset)
            self.encoder = PublishedGlintru(
                self.n_items, config["hidden_size"], config["n_heads"], gru_layers=1
            )
            self.loss = nn.CrossEntropyLoss()

        def calculate_loss(self, interaction: Any) -> Any:
            h_BD = self.encoder.last(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
            return self.loss(self.encoder.scores(h_BD), interaction[self.POS_ITEM_ID])

        def full_sort_predict(self, interaction: Any) -> Any:
            h_BD = self.encoder.last(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
            return self.encoder.scores(h_BD)

    return GLINTRU


def settings(arguments: argparse.Namespace, data_folder: Path) -> dict[str, Any]:
    return SETTINGS[arguments.model] | {
        "data_path": str(data_folder),
        "user_inter_num_interval": f"[{arguments.k_core},inf)",
        "item_inter_num_interval": f"[{arguments.k_core},inf)",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": arguments.length,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "train_batch_size": 2048,
        "eval_batch_size": 2048,
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "group_by": "user",
            "order": "TO",
            "mode": "full",
        },
        "metrics": ["Hit", "NDCG", "MRR"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "learner": "adam",
        "learning_rate": 1e-3,
        "seed": 1,
        "reproducibility": False,
        "use_gpu": False,
        "show_progress": False,
    }


def place_data(arguments: argparse.Namespace, folder: Path) -> Path:
    """The folder for RecBole's `data_path`. For ml-100k it uses the copy in its own wheel."""
    if arguments.file is not None:
        target = folder / arguments.data / f"{arguments.data}.inter"
        target.parent.mkdir()
        opener = gzip.open if arguments.file.suffix == ".gz" else open
        with opener(arguments.file, "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return folder


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import recbole
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    started = perf_counter()
    chosen = glintru_class() if arguments.model == "GLINTRU" else arguments.model
    config = Config(chosen, arguments.data, config_dict=settings(arguments, folder))
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    prepared = perf_counter()

    model_class = chosen if isinstance(chosen, type) else get_model(chosen)
    model = model_class(config, train.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    whole = arguments.full or arguments.warm_up + arguments.steps >= len(train)
    warm_up = 0 if whole else arguments.warm_up
    loader = TimedLoader(train, None if whole else warm_up + arguments.steps)
    trainer._train_epoch(loader, 0)
    seconds = loader.marks[-1] - loader.marks[warm_up]
    targets = sum(loader.targets[warm_up:])
    targets_per_epoch = len(train.dataset)

    evaluation = None
    if arguments.evaluate:
        before = perf_counter()
        trainer.evaluate(test, load_best_model=False)
        evaluation = perf_counter() - before
    return {
        "peer": f"RecBole {recbole.__version__}",
        "model": arguments.model,
        "data": arguments.data,
        "length": arguments.length,
        "users": dataset.user_num - 1,
        "items": dataset.item_num - 1,
        "targets_per_epoch": targets_per_epoch,
        "whole_epoch": whole,
        "warm_up_steps": warm_up,
        "timed_steps": len(loader.targets) - warm_up,
        "timed_targets": targets,
        "timed_seconds": seconds,
        "step_seconds": [
            later - earlier
            for earlier, later in zip(
                loader.marks[warm_up:], loader.marks[warm_up + 1 :], strict=False
            )
        ],
        "epoch_seconds": [seconds * targets_per_epoch / targets],
        "preparation_seconds": prepared - started,
        "evaluation_seconds": evaluation,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--data", default="ml-100k", help="name of the dataset")
    parser.add_argument("--file", type=Path, help="its .inter file (ml-100k: RecBole's own copy)")
    parser.add_argument("--k-core", type=int, default=0, help="interactions a user or item needs")
    parser.add_argument("--length", type=int, default=50, help="history length L")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=6, help="steps that are timed")
    parser.add_argument("--full", action="store_true", help="time a whole epoch instead")
    parser.add_argument("--evaluate", action="store_true", help="time the test evaluation too")
    arguments = parser.parse_args()
    if arguments.file is not None:
        arguments.file = arguments.file.resolve()

    with contextlib.suppress(OSError):  # where memory ends, this program goes and no other
        Path("/proc/self/oom_score_adj").write_text("1000")
    sys.argv = sys.argv[:1]  # RecBole reads the command line as settings of its own
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = place_data(arguments, Path(name))
        os.chdir(folder)  # RecBole writes logs and checkpoints where it stands
        result = measure(arguments, folder)
        os.chdir("/")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
