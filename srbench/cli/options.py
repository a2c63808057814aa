"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srbench.cli import complete

PREPARATION = "Preparation"

DatasetArgument = Annotated[
    str,
    typer.Argument(
        help="A name of `srbench data list`, or a file of interactions.",
        autocompletion=complete.dataset_names,
        metavar="NAME|FILE",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where datasets lie. Default: $SRBENCH_DATA, then the cache.",
        metavar="DIR",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="The columns of a file of interactions.", metavar="USER,ITEM,TIME"
    ),
]
KCore = Annotated[
    int | None,
    typer.Option(
        "--k-core",
        help="Least interactions of each user and item; 0: no filter.",
        rich_help_panel=PREPARATION,
    ),
]
Duplicates = Annotated[
    str | None,
    typer.Option(
        "--duplicates",
        help="Which of a user's repeated interactions with one item stay.",
        metavar="keep|first|last",
        autocompletion=lambda: ["keep", "first", "last"],
        rich_help_panel=PREPARATION,
    ),
]
TimeTies = Annotated[
    str | None,
    typer.Option(
        "--time-ties",
        help="Order of equal timestamps.",
        metavar="row|item|shuffle:SEED",
        rich_help_panel=PREPARATION,
    ),
]
SplitRule = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Leave one out, or by time.",
        metavar="loo|temporal:0.9",
        rich_help_panel=PREPARATION,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.", metavar="")]
