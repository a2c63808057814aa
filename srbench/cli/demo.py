"""`srbench demo`: four models on built-in data, a table and a figure, in about a minute."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srbench.cli.console import err, out
from srbench.errors import RunFailed

if TYPE_CHECKING:
    from srbench.record.schema import Record

# Small models and few epochs; enough steps that each comes close to the best that is possible.
SHARED = {"data.length": "50"}
TRAINED = SHARED | {
    "train.epochs": "8",
    "train.lr": "0.003",
    "train.schedule": "linear",
    "train.batch_tokens": "800",
}
MODELS = {
    "pop": SHARED,
    "gru4rec": TRAINED,
    "sasrec": TRAINED | {"model.dropout": "0.2", "model.attention_dropout": "0.2"},
    "glintru": TRAINED | {"model.width": "64", "model.heads": "4"},
}


def demo(
    results: Annotated[
        Path, typer.Option(help="Where records and figure are written.", metavar="DIR")
    ] = Path("demo"),
    dataset: Annotated[
        str, typer.Option(help="A size of the built-in data.", metavar="synthetic[:users=N,...]")
    ] = "synthetic",
) -> None:
    """Run four small models on built-in data, compare them with the best that is possible.

    Nothing is downloaded. Each run is a command of its own, printed before it starts.
    """
    console = out()
    console.print(
        "Four models on data drawn from a known law, so that the best possible is known too.",
        style="bold",
    )
    records = [_run(model, settings, dataset, results) for model, settings in MODELS.items()]

    from srbench.report.figures import metric_bars
    from srbench.report.style import save
    from srbench.report.tables import comparison

    console.print()
    console.print(comparison(records, console.width))
    pdf, png = save(metric_bars(records), results / "figures" / "demo")
    console.print(f"\nfigure: {png} (and {pdf.name})\nrecords: {results}/", soft_wrap=True)
    if failed := [record.model.name for record in records if record.status != "ok"]:
        raise RunFailed(f"Not every run ended well: {', '.join(failed)}; the table says why.")


def _run(model: str, settings: dict[str, str], dataset: str, results: Path) -> Record:
    """One run in a process of its own: its memory is that of this model alone."""
    from srbench.record.schema import Record

    words = ["run", "--model", model, "--dataset", dataset, "--results", str(results)]
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    err().print(f"\n$ srbench {shlex.join(words)}", style="dim", soft_wrap=True)
    # The bar or the lines of the run are on standard error, which the child shares.
    ended = subprocess.run(
        [sys.executable, "-m", "srbench", *words, "--json", "--fresh"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not ended.stdout:
        raise RunFailed(f"The run of {model} ended with exit code {ended.returncode}; see above.")
    return Record.model_validate_json(ended.stdout)
